"""The options of a split: what can be said of them without a manifest."""

from __future__ import annotations

from tfdfd.clip import TfdfdError


def check_options(
    *, val_folders: str | None, val_originals: str | None, val_fraction: float | None, drop_parted: bool
) -> dict[str, object]:
    """Return those options that choose the validation side and are given.

    Args: as in `splits.split_manifest`.

    Raises:
        TfdfdError: if several of them are given, or one that cannot be honoured.
    """
    options = {"val_folders": val_folders, "val_originals": val_originals, "val_fraction": val_fraction}
    given = {name: value for name, value in options.items() if value is not None}
    if len(given) > 1:
        raise TfdfdError(f"Give one of --val-folders, --val-originals and --val-fraction, got {told(given)}.")
    if drop_parted and val_folders is None and val_originals is None:
        raise TfdfdError(
            "--drop-parted leaves out what --val-folders or --val-originals would put on both sides: give one of "
            "these, or leave it out"
        )
    if val_fraction is not None and not 0 < val_fraction < 1:
        raise TfdfdError(f"--val-fraction must be above 0 and below 1, got {val_fraction}.")
    return given


def told(options: dict[str, object]) -> str:
    """Return options as a person gave them, such as `--val-folders f0`."""
    return " and ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
