"""Fixtures shared by the tests of serving."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serving.c_api_model import export_small


@pytest.fixture(scope="session")
def small_version(tmp_path_factory) -> Path:
    """The folder of a version with all signatures, of a small network; not to be written to."""
    return export_small(tmp_path_factory.mktemp("models") / "small")
