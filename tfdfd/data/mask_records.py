"""The records of fakes in a store of masks, and the index made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

_OF_CLIP, _OF_TRACK = ["clip_id", "status", "reason", "fake_bytes"], ["mask", "is_known", "altered_share"]
INDEX_COLUMNS = [*_OF_CLIP, "track", *_OF_TRACK]


def read_record(path: Path) -> dict[str, Any] | None:
    """Return a fake's record, None where there is none or it is damaged."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    is_whole = (
        isinstance(record, dict)
        and record.keys() >= {*_OF_CLIP, "notes", "original_bytes", "tracks"}
        and isinstance(record["tracks"], list)
        and all(isinstance(track, dict) and track.keys() >= set(_OF_TRACK) for track in record["tracks"])
    )
    return record if is_whole else None


def index_of(found: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return one row a track of each record, one alone where it has no masks: INDEX_COLUMNS, by clip id."""
    rows = []
    for record in found:
        of_clip = {name: record[name] for name in _OF_CLIP}
        none: list[dict[str, Any]] = [{"mask": "", "is_known": [], "altered_share": []}]
        rows += [{**of_clip, "track": n, **track} for n, track in enumerate(record["tracks"] or none)]
    table = pd.DataFrame.from_records(rows, columns=INDEX_COLUMNS)
    return table.sort_values(["clip_id", "track"], kind="stable", ignore_index=True)
