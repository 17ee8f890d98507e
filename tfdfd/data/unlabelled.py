"""A folder of videos that nobody has labelled: what is there to score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tfdfd.clip import TfdfdError
from tfdfd.data.data_tree import VIDEO_SUFFIXES
from tfdfd.data.manifest import COLUMNS, NO_LABEL, UNLABELLED, Manifest
from tfdfd.data.tables import columns


def load_unlabelled(folder: Path) -> Manifest:
    """Return the videos of a folder and of the folders in it, without labels.

    Args:
        folder: the folder; lists of labels in it are not read.

    Returns:
        Clips in the order of their paths; `clip_id` is the path in the folder with its suffix, `folder` the folder in
        it, `label` NO_LABEL.

    Raises:
        TfdfdError: if it is no folder, or holds no video.
    """
    root = Path(folder).expanduser().absolute()
    if not root.is_dir():
        raise TfdfdError(f"--submission scores the videos of a folder, and {root} is none: give --data DIR")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    if not paths:
        raise TfdfdError(f"{root} holds no video ({', '.join(VIDEO_SUFFIXES)})")
    inside = [path.relative_to(root) for path in paths]
    table = pd.DataFrame("", index=pd.RangeIndex(len(paths)), columns=list(COLUMNS)).astype("str")
    table = table.assign(
        clip_id=[path.as_posix() for path in inside],
        path=[str(path) for path in paths],
        label=np.full(len(paths), NO_LABEL, np.int64),
        folder=[path.parent.as_posix() for path in inside],
        dataset=UNLABELLED,
    )
    return Manifest(table=columns(table, COLUMNS), layout=UNLABELLED, root=root)
