"""Fixtures shared by the tests of serving."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serving.bright_clips import serving, write_clips
from tests.serving.signature_requests import export_small


@pytest.fixture(scope="session")
def small_version(tmp_path_factory) -> Path:
    """The folder of a version with all signatures, of a small network; not to be written to."""
    return export_small(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder of bright clips and others."""
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def face(folder) -> Path:
    """A clip whose face is all bright."""
    return folder / "face.mp4"


@pytest.fixture
def server():
    """A server that knows how bright faces are."""
    with serving() as running:
        yield running
