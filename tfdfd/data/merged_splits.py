"""What several models were made with as one record, so that an ensemble is not judged by what a member knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tfdfd.clip import REAL
from tfdfd.data.connected_sets import connected_sets
from tfdfd.data.splits import CALIBRATION, TRAIN, VAL
from tfdfd.data.tables import values

_STRONGEST_FIRST = (TRAIN, CALIBRATION, VAL)


def merge_splits(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Merge what models record of the clips that they were made with.

    A clip, with the originals and fakes that it is connected to, is on the side of `train` if any model was trained on
    one of these; else on that of `calibration` if a rule was fitted on one; else it stays `val`. So each clip that is
    left for validation is unknown to all, though their splits differ.

    Args:
        tables: at least one, each with the columns `clip_id`, `original`, `donor`, `folder`, `split`, one of SPLITS,
            and perhaps `person`.

    Returns:
        The same columns; a clip of which models record something else, such as another original, has a row for each.
    """
    merged = pd.concat(tables, ignore_index=True)
    person = merged["person"].fillna("") if "person" in merged else ""
    # No table says of its ids which hold a compression, so each is looked at as if it did.
    sets = connected_sets(merged.assign(person=person, dataset="", label=REAL, compression="any"))
    ranks = np.array([_STRONGEST_FIRST.index(side) for side in values(merged, "split")], np.int64)
    strongest = np.full(len(merged), len(_STRONGEST_FIRST))
    np.minimum.at(strongest, sets, ranks)
    merged["split"] = [_STRONGEST_FIRST[rank] for rank in strongest[sets]]
    return merged.drop_duplicates(ignore_index=True)
