"""What the flags of a page have in common, whichever command writes it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.data.atomic import require_writable_folder


def check_page(flag: str, what: str, path: str | None, clips: int | None, *, file_name: str) -> None:
    """Refuse what could not be honoured, before any work.

    Args:
        flag: asks for the page; the one with `-clips` behind it says how much it shows.
        what: the page, for a person.
        path: what the flag was given; None where the page is not asked for, empty for the default file.
        clips: clips to show, None where not given.
        file_name: name of the default file.

    Raises:
        TfdfdError: if the page is to have no clips, to replace a folder or to lie where nothing can be written, or its
            size is given without it.
    """
    if clips is not None and path is None:
        raise TfdfdError(f"{flag}-clips says what {what} shows: add {flag}")
    if clips is not None and clips < 1:
        raise TfdfdError(f"{flag}-clips must be at least 1, got {clips}")
    if path and Path(path).is_dir():
        raise TfdfdError(f"{flag} must be a file, {path} is a folder: use {Path(path) / file_name}")
    if path:
        require_writable_folder(Path(path).parent)


def print_page(what: str, path: Path, size: int, console: Console) -> None:
    """Print where a page is and how large.

    Args:
        what: the page, for a person.
        path: its file.
        size: in bytes.
        console: gets the line.
    """
    shown = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(size / 1e3, 1):.0f} KB"
    console.print(f"{what} {path}: {shown}, open it in a browser")
