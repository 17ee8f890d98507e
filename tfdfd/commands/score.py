"""`tfdfd score`: video files in, a score each out, by a SavedModel on this machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfdfd.clip import OK, Clip, ClipFaces, TfdfdError
from tfdfd.commands.console import import_tensorflow, make_console, print_table
from tfdfd.commands.inputs import has_gpu, make_frame_source, newest_model, provenance
from tfdfd.commands.scoring import extraction_of


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd score`; the exit status is 1 if no clip could be scored."""
    parser = argparse.ArgumentParser(prog="tfdfd score", description=__doc__)
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files")
    parser.add_argument("--model", metavar="DIR", help="saved_models/NAME or one of its versions (default: the newest)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a clip instead of a table")
    parser.add_argument("--accept-mismatch", action="store_true", help="go on although crops were made otherwise")
    arguments = parser.parse_args(argv)
    folder = Path(arguments.model) if arguments.model else newest_model(Path("saved_models"))
    paths = [Path(video) for video in arguments.videos]
    if folders := [str(path) for path in paths if path.is_dir()]:
        raise TfdfdError(f"tfdfd score takes video files, these are folders: {', '.join(folders)}; try DIR/*.mp4")

    import_tensorflow()
    from tfdfd.data.fingerprint import require_same_preprocessing
    from tfdfd.extraction import extract_clip, extraction_fingerprint
    from tfdfd.faces.mtcnn import MTCNN
    from tfdfd.serving.saved_model import LoadedModel

    console = make_console(stderr=arguments.json)
    model = LoadedModel(folder)
    config = extraction_of(model.fingerprint, None)
    detector = MTCNN(min_face_share=config.min_face_share)
    warning = require_same_preprocessing(
        model.fingerprint,
        extraction_fingerprint(config, detector.settings, provenance(Path())),
        expected_name="the model",
        found_name="this run",
        accept=arguments.accept_mismatch,
    )
    if warning:
        console.print(f"accepted: {warning}", style="yellow")
    frame_source = make_frame_source(console, gpu=has_gpu())
    rows = []
    for path in paths:
        faces = extract_clip(Clip(str(path), path), frame_source, detector, config)
        score = _score(faces, model)
        if arguments.json:
            print(json.dumps({"path": str(path), "clip_score": score, "status": faces.status, "reason": faces.reason}))
        rows.append([str(path), "-" if score is None else score, _verdict(score, model), faces.status, faces.reason])
    if not arguments.json:
        print_table(console, f"Scores by {model.folder}", ["clip", "score", "verdict", "status", "reason"], rows)
    return 0 if any(row[3] == OK for row in rows) else 1


def _score(faces: ClipFaces, model) -> float | None:
    """Return the clip score; None, not the no-evidence score, for a clip without a face: here a person reads it."""
    if faces.status != OK:
        return None
    is_face = np.stack([track.is_face for track in faces.tracks])
    _, probabilities = model.score(np.stack(faces.crops), is_face)
    rows = np.zeros(len(is_face), np.int64)
    return float(model.rule.clip_scores(probabilities, is_face, rows, 1)[0])


def _verdict(score: float | None, model) -> str:
    if score is None:
        return "no evidence"
    return "fake" if model.rule.is_fake(np.array(score)) else "real"
