"""Pages: one HTML file each, pictures and styles inside, nothing fetched from elsewhere."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from tfdfd.data.atomic import TEMPORARY, explain_write_errors

_QUALITY = 82
"""JPEG quality of pictures on a page: for eyes, not for networks."""


def write_page(path: Path, template: str, **values: Any) -> int:
    """Fill a template and write the page, piece by piece, under a temporary name that is then renamed.

    All text is escaped, so file names may hold anything. Values may be generators: a page is never held in memory
    as a whole, so what they make (pictures, mostly) is let go as soon as it is written.

    Args:
        path: the HTML file; its folder is made where it is missing.
        template: a file in `tfdfd/reports/templates` that extends `page.html`.
        values: what the template names; one that it lacks is an error.

    Returns:
        Bytes written.

    Raises:
        TfdfdError: if the disk is full or the file cannot be written.
    """
    page = _environment().get_template(template)
    temporary = path.with_name(path.name + TEMPORARY)
    with explain_write_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            for piece in page.generate(**values):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.replace(temporary, path)
    return size


def fill(template: str, **values: Any) -> str:
    """Fill a template that is part of a page, and return it; all text is escaped.

    Args:
        template: a file in `tfdfd/reports/templates`.
        values: what the template names; one that it lacks is an error.
    """
    return _environment().get_template(template).render(**values)


def picture_uri(rgb: np.ndarray) -> str:
    """Return a picture as the `data:` address of a JPEG.

    Args:
        rgb: uint8, shape (height, width, 3).
    """
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: `1 clip`, `1,200 clips`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = counted
    return environment
