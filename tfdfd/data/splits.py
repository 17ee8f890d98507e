"""Training and validation sides of a manifest that never part a connected set of originals and fakes."""

from __future__ import annotations

import difflib
import fnmatch
import glob
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tfdfd.clip import TfdfdError
from tfdfd.data.connected_sets import (
    choose_sets,
    connected_sets,
    is_fake,
    unknown_originals,
)
from tfdfd.data.originals import recording_key, recording_keys
from tfdfd.data.split_options import check_options, told
from tfdfd.data.split_people import parted_families, require_whole_people, without_people
from tfdfd.data.tables import rows_where, some, values

__all__ = ["CALIBRATION", "SPLITS", "TRAIN", "VAL", "Split", "connected_sets", "describe_split", "split_manifest"]

TRAIN, VAL, CALIBRATION = "train", "val", "calibration"
SPLITS = (TRAIN, VAL, CALIBRATION)
"""What a clip was used for: the network's weights, the best epoch, temperature and threshold."""
DEFAULT_VAL_FRACTION = 0.2


@dataclass(frozen=True)
class Split:
    """A manifest's table with its sides, and how they were chosen."""

    table: pd.DataFrame = field(repr=False)
    """The table that was split, without the clips that were left out, with a column `split` of `train` and `val`."""
    rule: str
    """What chose the sides, e.g. `val_folders=dfdc_train_part_4?`; goes into the model card."""
    notes: tuple[str, ...] = ()
    """What the run should tell the person."""

    @property
    def sides(self) -> np.ndarray:
        """`train` or `val` of each row, an object array of shape (n,)."""
        return values(self.table, "split")


def split_manifest(
    table: pd.DataFrame,
    *,
    val_folders: str | None = None,
    val_originals: str | None = None,
    val_fraction: float | None = None,
    seed: int,
    needs_fakes: bool = True,
    drop_parted: bool = False,
) -> Split:
    """Choose the validation side by folders, by originals, by a fraction, or, without any, by the default.

    The default is the published testing list if the data set has one that parts no connected set and leaves both
    labels on both sides; else about 0.2 of the clips in whole folders; else, where folders cannot do that (those of
    FaceForensics++ and Celeb-DF are methods), in whole connected sets.

    Args:
        table: a manifest's table.
        val_folders: comma list of folder names or patterns, e.g. `dfdc_train_part_4?`.
        val_originals: comma list of originals by clip id or its last part, e.g. `183,253`; their fakes go along.
        val_fraction: share of the clips to validate on, in (0, 1); whole sets, so only about that share.
        seed: chooses the sets for val_fraction; the order of the rows does not matter.
        needs_fakes: whether each side must have fakes; not where they are made from the real clips.
        drop_parted: where val_folders or val_originals would put a person on both sides, leave out the training clips
            that show this person, each with its original and fakes, rather than refuse.

    Raises:
        TfdfdError: if the options are wrong, part a connected set, or leave a side empty or without a label it needs.
    """
    given = check_options(
        val_folders=val_folders, val_originals=val_originals, val_fraction=val_fraction, drop_parted=drop_parted
    )
    sets = connected_sets(table)
    _check_sides(table, np.zeros(len(table), bool), "the data", needs_fakes, whole=True)
    notes = []
    if val_folders is not None or val_originals is not None:
        families = connected_sets(without_people(table))
        if val_folders is not None:
            is_val = in_folders(table, val_folders)
            require_whole_sets(table, families, is_val, f"--val-folders {val_folders}")
        else:
            is_val = _of_originals(table, families, val_originals or "")
        if drop_parted:
            kept = ~parted_families(table, families, is_val)
            notes.append(_left_out(table, kept))
            table, is_val = rows_where(table, kept), is_val[kept]
        else:
            require_whole_people(table, is_val, told(given))
    elif val_fraction is not None:
        is_val = _fraction_of_sets(table, sets, val_fraction, seed, needs_fakes)
    else:
        given, is_val, note = _default(table, sets, seed, needs_fakes)
        notes.append(note)
    _check_sides(table, is_val, told(given), needs_fakes)
    loose = int((unknown_originals(table) & (values(table, "folder") == "")).sum())
    if loose:
        notes.append(
            f"{loose:,} fakes have neither an original nor a folder in the manifest: nothing keeps them on the side of "
            "the clip that they were made from. Add a column `original` or `folder`."
        )
    rule = ", ".join(f"{name}={value}" for name, value in given.items())
    return Split(table.assign(split=np.where(is_val, VAL, TRAIN)), rule, tuple(notes))


def describe_split(table: pd.DataFrame) -> pd.DataFrame:
    """Count what is on each side of a split, for printing.

    Args:
        table: the table of a `Split`.

    Returns:
        One row a side (`train`, `val`), columns clips, real, fake, folders, sets (int) and folder_names (str, the
        first few).
    """
    sets, fake, sides, folders = connected_sets(table), is_fake(table), values(table, "split"), values(table, "folder")
    rows = {}
    for name in (TRAIN, VAL):
        side = sides == name
        held = sorted(set(folders[side]) - {""})
        rows[name] = {
            "clips": int(side.sum()),
            "real": int((side & ~fake).sum()),
            "fake": int((side & fake).sum()),
            "folders": len(held),
            "sets": len(np.unique(sets[side])),
            "folder_names": some(held, limit=5),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _left_out(table: pd.DataFrame, kept: np.ndarray) -> str:
    if kept.all():
        return "--drop-parted: nobody is on both sides, and no clip is left out."
    left, fake = rows_where(table, ~kept), is_fake(table)[~kept]
    return (
        f"--drop-parted: {len(left):,} training clips ({int((~fake).sum()):,} real, {int(fake.sum()):,} fake) are left "
        f"out, for people of the validation side are seen in them or in their originals or fakes: "
        f"{some(left['clip_id'], limit=5)}."
    )


def _parts(text: str, flag: str) -> list[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise TfdfdError(f"{flag} must name something, got {text!r}.")
    return parts


# --- the ways to choose ----------------------------------------------------------------------------------------


def in_folders(table: pd.DataFrame, globs: str, *, flag: str = "--val-folders") -> np.ndarray:
    """Return which clips lie in the folders that a comma list of globs names, bool, shape (n,).

    Raises:
        TfdfdError: if one of its globs matches no folder.
    """
    folders = sorted(set(values(table, "folder")))
    chosen: set[str] = set()
    for pattern in _parts(globs, flag):
        matched = fnmatch.filter(folders, pattern)
        if not matched:
            held = [name for name in folders if name]
            there = f"The folders are: {some(held, limit=60)}." if held else "This manifest has no folders."
            raise TfdfdError(f"{flag}: no folder matches {pattern!r}. {there}")
        chosen.update(matched)
    return np.isin(values(table, "folder"), list(chosen))


def _of_originals(table: pd.DataFrame, sets: np.ndarray, val_originals: str) -> np.ndarray:
    """Return the sets of the named originals, if all originals of these sets are named."""
    keys, originals = recording_keys(table, "clip_id"), recording_keys(table, "original")
    # What each clip hangs on: its original, itself if it is real, nothing if it is a fake of unknown original.
    owners = np.where(originals != "", originals, np.where(is_fake(table), "", keys))
    named = [_find_original(name, keys, owners) for name in _parts(val_originals, "--val-originals")]
    asked = np.isin(owners, named) | np.isin(keys, named)
    is_val = np.isin(sets, sets[asked])
    left = is_val & ~asked & (owners != "")
    if left.any():
        others = sorted({name.rsplit("/", 1)[-1] for name in owners[left]})
        advice = f"Name also {some(others, limit=20)}, or choose by --val-fraction."
        require_whole_sets(table, sets, is_val & ~left, f"--val-originals {val_originals}", advice=advice)
    return is_val


def _find_original(name: str, keys: np.ndarray, owners: np.ndarray) -> str:
    """Return the key of the original that a person named by clip id or its last part."""
    candidates = set(owners) - {""}
    key = recording_key(name)
    if key in candidates:
        return key
    last = key.rsplit("/", 1)[-1]
    found = sorted(owner for owner in candidates if owner.rsplit("/", 1)[-1] == last)
    if len(found) == 1:
        return found[0]
    if found:
        raise TfdfdError(f"--val-originals: {name!r} may be any of {some(found)}; give the whole clip id.")
    for row, clip in enumerate(keys):
        if clip == key or clip.rsplit("/", 1)[-1] == last:
            of = f"; name its original {owners[row]}" if owners[row] else " of unknown original; use --val-folders"
            raise TfdfdError(f"--val-originals: {name!r} is a fake{of}.")
    stems = sorted({owner.rsplit("/", 1)[-1] for owner in candidates})
    near = difflib.get_close_matches(last, stems[:20_000], n=3)
    hint = f"Near it: {', '.join(near)}." if near else f"There are: {some(stems)}."
    raise TfdfdError(f"--val-originals: there is no original {name!r} among {len(stems):,}. {hint}")


def _fraction_of_sets(
    table: pd.DataFrame, sets: np.ndarray, fraction: float, seed: int, needs_fakes: bool
) -> np.ndarray:
    is_val = choose_sets(table, sets, fraction=fraction, seed=seed)
    if _lacking(table, is_val, needs_fakes):
        sizes = np.bincount(sets)
        unknown = int(unknown_originals(table).sum())
        why = f" {unknown:,} fakes of unknown original hold their folders together." if unknown else ""
        raise TfdfdError(
            f"--val-fraction {fraction}: the {len(table):,} clips form {len(sizes):,} connected sets (the largest has "
            f"{sizes.max():,} clips) that cannot be put on two sides with "
            f"{'both labels' if needs_fakes else 'real clips'} on each.{why} Give more clips, or validate on another "
            "data folder."
        )
    return is_val


def _default(
    table: pd.DataFrame, sets: np.ndarray, seed: int, needs_fakes: bool
) -> tuple[dict[str, object], np.ndarray, str]:
    """Return the rule, the validation side and what to tell the person who asked for no split."""
    listed = values(table, "official_split") == "test"
    why = "No split was asked for"
    if listed.any():
        parted = np.intersect1d(sets[listed], sets[~listed])
        lacking = _lacking(table, listed, needs_fakes)
        if not len(parted) and not lacking:
            note = f"{why}: validation is the {int(listed.sum()):,} clips of the published testing list."
            return {"official_split": "test"}, listed, note
        reason = lacking or f"it parts {len(parted):,} connected sets of originals and fakes"
        why += f", and the published testing list cannot serve for training ({reason})"
    share = f"about {DEFAULT_VAL_FRACTION} of the clips"
    folders = values(table, "folder")
    if all(folders) and not any("," in name for name in set(folders)):
        by_folder = connected_sets(table, whole_folders=True)
        whole = choose_sets(table, by_folder, fraction=DEFAULT_VAL_FRACTION, seed=seed)
        if (
            not _lacking(table, whole, needs_fakes)
            and abs(whole.mean() - DEFAULT_VAL_FRACTION) < DEFAULT_VAL_FRACTION / 2
        ):
            note = f"{why}: validation is {share}, in whole folders, since people may recur within a folder."
            return {"val_folders": ",".join(glob.escape(name) for name in sorted(set(folders[whole])))}, whole, note
    is_val = _fraction_of_sets(table, sets, DEFAULT_VAL_FRACTION, seed, needs_fakes)
    note = f"{why}: validation is {share}, in whole sets of originals and their fakes."
    return {"val_fraction": DEFAULT_VAL_FRACTION}, is_val, note


# --- what every split must keep --------------------------------------------------------------------------------


def require_whole_sets(
    table: pd.DataFrame,
    sets: np.ndarray,
    is_val: np.ndarray,
    flag: str,
    *,
    advice: str = "",
    sides: tuple[str, str] = ("training", "validation"),
) -> None:
    """Refuse sides that part a connected set.

    Args:
        table: a manifest's table, n rows.
        sets: int, shape (n,), from `connected_sets`.
        is_val: bool, shape (n,): which clips are on the second side.
        flag: what chose them, for the message.
        advice: what to do instead, for the message.
        sides: what the sides are called.

    Raises:
        TfdfdError: if a set has clips on both sides; lists some of both.
    """
    parted = np.intersect1d(sets[is_val], sets[~is_val])
    if not len(parted):
        return
    held = np.isin(sets, parted)
    first, second = (values(table, "clip_id")[held & side] for side in (~is_val, is_val))
    raise TfdfdError(
        f"{flag} parts connected sets of originals and fakes, which must stay on one side: {len(parted):,} of them."
        f"\n  on the {sides[0]} side ({len(first):,} clips): {some(first)}"
        f"\n  on the {sides[1]} side ({len(second):,} clips): {some(second)}"
        f"\n{advice or 'Choose folders that keep them together, or use --val-originals or --val-fraction.'}"
    )


def _lacking(table: pd.DataFrame, is_val: np.ndarray, needs_fakes: bool) -> str:
    """Return which side lacks which label, empty if none does."""
    fake = is_fake(table)
    lacks: list[str] = []
    for name, side in (("training", ~is_val), ("validation", is_val)):
        lacks += [f"{name} has no real clip"] * (not (side & ~fake).any())
        lacks += [f"{name} has no fake clip"] * (needs_fakes and not (side & fake).any())
    return ", ".join(lacks)


def _check_sides(table: pd.DataFrame, is_val: np.ndarray, what: str, needs_fakes: bool, *, whole: bool = False) -> None:
    """Raise with the counts if a side (or the whole table) is empty or lacks a label that it needs."""
    sides = (("all clips", ~is_val),) if whole else (("training", ~is_val), ("validation", is_val))
    fake = is_fake(table)
    counts = [(name, int((side & ~fake).sum()), int((side & fake).sum())) for name, side in sides]
    if any(not reals or (needs_fakes and not fakes) for _, reals, fakes in counts):
        got = "; ".join(f"{name} {r + f:,} clips ({r:,} real, {f:,} fake)" for name, r, f in counts)
        needed = "real and fake clips" if needs_fakes else "real clips"
        advice = " Where there are no fakes, --fakes self_blended makes them." if not fake.any() else ""
        raise TfdfdError(f"Training needs {needed} on both sides; {what} gives {got}.{advice}")
