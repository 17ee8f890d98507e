"""`run_eval.py --robustness`: clips scored again after what happens to them on their way through cameras and web sites.

Pictures are corrupted as they lie in the store. Frame rate and H.264 are done to the clip, whose faces are then looked
for anew, with the settings of the store and through its strip codec: what is left to differ is the corruption.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import WITH_FACES, Clip
from tfdfd.commands.corrupted_clips import score_clips
from tfdfd.commands.corrupted_pictures import score_pictures
from tfdfd.data.frame_source import AUTO
from tfdfd.data.store import FaceStore, source_bytes
from tfdfd.data.strips import check_strips
from tfdfd.data.tables import rows_where, some, values
from tfdfd.data.tracks import scoring_rows
from tfdfd.data.transcoding import require_h264_encoder
from tfdfd.evaluation.corruptions import CLIP_CORRUPTIONS, CORRUPTIONS, LEVELS, RULES, Strengths
from tfdfd.evaluation.logits_record import UNCORRUPTED, LogitsRecord, Records
from tfdfd.evaluation.robustness import CLEAN, RobustnessPoint, ScoreFaces, choose_evenly, curve
from tfdfd.faces.config import ExtractionConfig
from tfdfd.models.scoring import ScoringRule


def measure_robustness(
    score_faces: ScoreFaces,
    clips: pd.DataFrame,
    store: FaceStore,
    rule: ScoringRule,
    extraction: ExtractionConfig | None,
    *,
    num_clips: int,
    folder: Path,
    key: str,
    console: Console,
    batch_size: int,
    decoder: str = AUTO,
) -> list[RobustnessPoint]:
    """Score clips again at five levels of every corruption; what is scored is kept, so that a killed run goes on.

    Args:
        score_faces: the network.
        clips: rows of the manifest with clip_id, label and path; those without a face in the store are left out.
        store: holds them.
        rule: how logits become a clip score.
        extraction: how the store's crops were made; None for ready-made crops, of which there is no clip.
        num_clips: most clips to score.
        folder: where logits are kept, in a folder of their own.
        key: of network and store: logits that were kept under another are not used.
        console: for progress and for what is left out.
        batch_size: tracks a batch.
        decoder: what decodes, one of `inputs.DECODERS`.

    Returns:
        The points of one corruption after the other, each from level 0 on; none of a corruption that no clip is left
        for.

    Raises:
        TfdfdError: if a strip is missing, the network gives something that is no number, PyAV cannot encode H.264, or
            the folder cannot be written.
    """
    if extraction is not None:
        if (extraction.crop_size, extraction.places) != (store.crop_size, store.num_places):
            raise ValueError(
                f"extraction makes {extraction.places} places of {extraction.crop_size} px, the store has "
                f"{store.num_places} of {store.crop_size} px"
            )
        require_h264_encoder()
    chosen = _choose(clips, store, num_clips, console)
    if chosen.empty:
        return []
    rows = scoring_rows(store, chosen)
    check_strips(rows.strip_paths)
    on_disk = _on_disk(chosen, extraction, console)
    records = _open_records(folder / "robustness", key, chosen, on_disk, extraction, store.num_places)
    clip_ids = values(chosen, "clip_id").tolist()
    score_pictures(score_faces, clip_ids, rows, records, console=console, batch_size=batch_size)
    failed: dict[str, set[str]] = {}
    if extraction is not None:
        failed = score_clips(
            score_faces,
            on_disk,
            extraction,
            records,
            folder=folder,
            console=console,
            batch_size=batch_size,
            decoder=decoder,
        )
    with_clip = rows_where(chosen, np.isin(values(chosen, "clip_id"), [clip.clip_id for clip in on_disk]))
    points = []
    for name, strengths in {**CORRUPTIONS, **CLIP_CORRUPTIONS}.items():
        left = chosen
        if name in CLIP_CORRUPTIONS:
            left = rows_where(with_clip, ~np.isin(values(with_clip, "clip_id"), list(failed.get(name, ()))))
        if not left.empty:
            points += _points(strengths, left, records, rule)
    return points


def _choose(clips: pd.DataFrame, store: FaceStore, num_clips: int, console: Console) -> pd.DataFrame:
    found = store.clips()
    with_face = values(rows_where(found, np.isin(values(found, "status"), WITH_FACES)), "clip_id")
    usable = rows_where(clips, np.isin(values(clips, "clip_id"), with_face))
    chosen = usable.iloc[choose_evenly(usable, num_clips)].reset_index(drop=True)
    num_fake = int(chosen["label"].sum())
    without = len(clips) - len(usable)
    console.print(
        f"robustness: {len(chosen)} of {len(usable)} clips ({len(chosen) - num_fake} real, {num_fake} fake), evenly "
        "chosen by clip id" + (f"; {without} without a face are left out" if without else "")
    )
    return chosen


def _on_disk(chosen: pd.DataFrame, extraction: ExtractionConfig | None, console: Console) -> list[Clip]:
    """Return the clips that can be changed themselves, and say which cannot."""
    names = " and ".join(CLIP_CORRUPTIONS)
    if extraction is None:
        console.print(f"{names} are left out: these are ready-made crops, there is no clip to change", style="yellow")
        return []
    pairs = zip(values(chosen, "clip_id"), values(chosen, "path"), strict=True)
    clips = [Clip(clip_id, Path(path)) for clip_id, path in pairs]
    missing = [clip.clip_id for clip in clips if not clip.path.is_file()]
    if missing:
        console.print(
            f"{names}: {len(missing)} of {len(clips)} clips are left out, their files are not there: {some(missing)}",
            style="yellow",
        )
    return [clip for clip in clips if clip.path.is_file()]


def _open_records(
    folder: Path,
    key: str,
    chosen: pd.DataFrame,
    on_disk: Sequence[Clip],
    extraction: ExtractionConfig | None,
    num_places: int,
) -> Records:
    def record(name: str, clip_id: str, levels: Sequence[float], **more: Any) -> LogitsRecord:
        made_with = {"key": key, "rules": RULES, "levels": list(levels), **more}
        return LogitsRecord(folder, name, clip_id, made_with=made_with, num_places=num_places)

    of_pictures = {name: corruption.levels for name, corruption in CORRUPTIONS.items()}
    records = {
        (name, clip_id): record(name, clip_id, levels)
        for clip_id in values(chosen, "clip_id")
        for name, levels in {UNCORRUPTED: (), **of_pictures}.items()
    }
    if extraction is not None:
        more = {"extraction": dataclasses.asdict(extraction)}
        records |= {
            (name, clip.clip_id): record(
                name, clip.clip_id, strengths.levels, source_bytes=source_bytes(clip.path), **more
            )
            for clip in on_disk
            for name, strengths in CLIP_CORRUPTIONS.items()
        }
    return records


def _points(strengths: Strengths, clips: pd.DataFrame, records: Records, rule: ScoringRule) -> list[RobustnessPoint]:
    clip_ids = values(clips, "clip_id").tolist()
    clean = [records[UNCORRUPTED, clip_id][CLEAN] for clip_id in clip_ids]
    corrupted = [[records[strengths.name, clip_id][level] for clip_id in clip_ids] for level in LEVELS]
    return curve(strengths, clip_ids, clips["label"].to_numpy(), [clean, *corrupted], rule)
