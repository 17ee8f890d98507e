"""`tfdfd prepare --contact-sheet`: its flags, and the page that they ask for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfdfd.commands.page_flags import check_page, print_page

if TYPE_CHECKING:
    from tfdfd.data.store import FaceStore

FILE_NAME = "contact_sheet.html"
"""Name of the page in the store's folder, unless another file is given."""


def add_contact_sheet_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the contact sheet."""
    parser.add_argument(
        "--contact-sheet",
        nargs="?",
        const="",
        metavar="FILE",
        help="write an HTML page of the store's faces, worst clips first, and of fakes beside their originals "
        f"(default FILE: {FILE_NAME} in the store)",
    )
    parser.add_argument(
        "--contact-sheet-clips",
        type=int,
        metavar="N",
        help="clips that the page shows of each label, and pairs (default: 24)",
    )


def check_contact_sheet_flags(arguments: argparse.Namespace) -> None:
    """Refuse what could not be honoured, before any work.

    Raises:
        TfdfdError: if the page is to have no clips or to replace a folder, or its size is given without it.
    """
    check_page(
        "--contact-sheet",
        "a contact sheet",
        arguments.contact_sheet,
        arguments.contact_sheet_clips,
        file_name=FILE_NAME,
    )


def make_contact_sheet(store: FaceStore, arguments: argparse.Namespace, console: Console) -> None:
    """Write the contact sheet of a store if it was asked for, and say where.

    Raises:
        TfdfdError: if it cannot be written.
    """
    if arguments.contact_sheet is None:
        return
    from tfdfd.reports.contact_sheet import CLIPS_A_SECTION, write_contact_sheet

    path = Path(arguments.contact_sheet) if arguments.contact_sheet else store.folder / FILE_NAME
    size = write_contact_sheet(store, path, clips_a_section=arguments.contact_sheet_clips or CLIPS_A_SECTION)
    print_page("contact sheet", path, size, console)
