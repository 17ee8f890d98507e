"""`tfdfd masks --page`: its flags, and the page that they ask for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfdfd.commands.page_flags import check_page, print_page

if TYPE_CHECKING:
    from tfdfd.data.mask_store import MaskStore

FILE_NAME = "masks.html"
"""Name of the page in the store's folder, unless another file is given."""


def add_page_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the page."""
    parser.add_argument(
        "--page",
        nargs="?",
        const="",
        metavar="FILE",
        help=f"write an HTML page of fakes and where they were altered (default FILE: {FILE_NAME} in the store)",
    )
    parser.add_argument("--page-clips", type=int, metavar="N", help="fakes that the page shows (default: 24)")


def check_page_flags(arguments: argparse.Namespace) -> None:
    """Refuse what could not be honoured, before any work.

    Raises:
        TfdfdError: if the page is to have no fakes or to replace a folder, or its size is given without it.
    """
    check_page("--page", "a page", arguments.page, arguments.page_clips, file_name=FILE_NAME)


def make_mask_page(masks: MaskStore, arguments: argparse.Namespace, console: Console) -> None:
    """Write the page of the masks if it was asked for, and say where.

    Raises:
        TfdfdError: if it cannot be written.
    """
    if arguments.page is None:
        return
    from tfdfd.reports.mask_sheet import CLIPS_SHOWN, write_mask_sheet

    path = Path(arguments.page) if arguments.page else masks.store.folder / FILE_NAME
    size = write_mask_sheet(masks, path, limit=arguments.page_clips or CLIPS_SHOWN)
    print_page("page of masks", path, size, console)
