"""Clips changed themselves, their faces looked for anew as the store's were, and scored again."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from tfdfd.clip import FAILED, Clip, ClipError, ClipFaces
from tfdfd.commands.console import WorkProgress, guarding
from tfdfd.commands.inputs import has_gpu, make_frame_source
from tfdfd.data.strips import decode_strip, encode_strip
from tfdfd.data.thinned_frames import ThinnedFrameSource
from tfdfd.data.transcoding import reencode_h264
from tfdfd.evaluation.corruptions import CLIP_CORRUPTIONS, LEVELS
from tfdfd.evaluation.logits_record import Records
from tfdfd.evaluation.robustness import ClipLogits, ScoreFaces, checked_logits
from tfdfd.extraction import extract_clip
from tfdfd.faces.config import ExtractionConfig
from tfdfd.guard import Failed
from tfdfd.phrases import shown


def score_clips(
    score_faces: ScoreFaces,
    clips: Sequence[Clip],
    extraction: ExtractionConfig,
    records: Records,
    *,
    folder: Path,
    console: Console,
    batch_size: int,
    decoder: str,
) -> dict[str, set[str]]:
    """Change clips, find their faces anew and score them; levels that a record has are not scored again.

    Args:
        score_faces: the network.
        clips: the clips, whose files are there.
        extraction: how the store's crops were made.
        records: of every clip, for every one of CLIP_CORRUPTIONS; they are filled level by level.
        folder: for the log of what nobody foresaw.
        console: for progress and for what fails.
        batch_size: tracks a batch.
        decoder: what decodes, one of `inputs.DECODERS`.

    Returns:
        By corruption the ids of the clips that it could not be done to.

    Raises:
        TfdfdError: if the network gives something that is no number, a file cannot be written, or many clips in a row
            fail alike.
    """
    failed: dict[str, set[str]] = {name: set() for name in CLIP_CORRUPTIONS}
    todo = [
        (clip, name, [level for level in LEVELS if level not in records[name, clip.clip_id]])
        for clip in clips
        for name in CLIP_CORRUPTIONS
    ]
    num_levels = sum(len(missing) for _, _, missing in todo)
    if not num_levels:
        return failed
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        changer = _ClipChanger(extraction, scratch, console, decoder)
        progress = stack.enter_context(WorkProgress(console, "robustness of clips", "levels", num_levels))
        guard = stack.enter_context(guarding(console, folder))

        def score(clip: Clip, name: str, level: int) -> ClipLogits:
            faces, is_unchanged = changer.changed(clip, name, CLIP_CORRUPTIONS[name].levels[level - 1])
            if faces.status == FAILED:
                raise ClipError(faces.reason)
            logits, is_face = _score_faces_of(faces, extraction.places, score_faces, batch_size)
            return ClipLogits(logits, is_face, is_unchanged)

        for clip, name, missing in todo:
            for number, level in enumerate(missing):
                scored = guard.run(clip.clip_id, partial(score, clip, name, level))
                if isinstance(scored, Failed):
                    console.print(shown(f"  {clip.clip_id} is left out of {name}: {scored.reason}"), style="yellow")
                    failed[name].add(clip.clip_id)
                    progress.advance(len(missing) - number)
                    break
                records[name, clip.clip_id].add(level, scored)
                progress.advance()
    return failed


def _score_faces_of(
    faces: ClipFaces, num_places: int, score_faces: ScoreFaces, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and is_face of the tracks of a clip, each of shape (tracks, places)."""
    is_face = np.array([track.is_face for track in faces.tracks], np.bool_).reshape(-1, num_places)
    logits = np.zeros(is_face.shape, np.float32)
    for start in range(0, len(is_face), batch_size):
        part = slice(start, start + batch_size)
        # As the store would hold them: its JPEG is no part of the corruption.
        crops = [decode_strip(encode_strip(crops), num_places=num_places) for crops in faces.crops[part]]
        masked = np.stack(crops) * is_face[part][..., None, None, None].astype(np.uint8)
        logits[part] = checked_logits(score_faces, masked, is_face[part])
    return logits, is_face


class _ClipChanger:
    """Changes clips and finds their faces anew, as the store's were found.

    Args:
        extraction: how the store's crops were made.
        scratch: a folder for the changed clip.
        console: where it is announced what decodes.
        decoder: one of `inputs.DECODERS`.
    """

    def __init__(self, extraction: ExtractionConfig, scratch: Path, console: Console, decoder: str) -> None:
        from tfdfd.faces.mtcnn import MTCNN

        self._extraction = extraction
        self._scratch = scratch
        self._detector = MTCNN(min_face_share=extraction.min_face_share)
        self._source = make_frame_source(console, gpu=has_gpu(), decoder=decoder)

    def changed(self, clip: Clip, name: str, value: float) -> tuple[ClipFaces, bool]:
        """Return what is found in the changed clip, failed where it cannot be changed, and whether it stayed as it is.

        Args:
            clip: the clip.
            name: a key of CLIP_CORRUPTIONS.
            value: its level.
        """
        if name == "frame_rate":
            thinned = ThinnedFrameSource(value)
            faces = extract_clip(clip, thinned, self._detector, self._extraction)
            return faces, clip.path in thinned.unchanged
        encoded = self._scratch / "encoded.mp4"
        try:
            reencode_h264(clip.path, encoded, crf=int(value))
        except ClipError as error:
            return ClipFaces(clip.clip_id, FAILED, str(error)), False
        return extract_clip(Clip(clip.clip_id, encoded), self._source, self._detector, self._extraction), False
