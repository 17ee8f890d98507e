"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real clips, faces and weights, or a skip that says why."""
    folder = os.environ.get("TFDFD_TEST_DATA", "")
    if not folder:
        pytest.skip("TFDFD_TEST_DATA is not set: no real clips on this machine")
    if not Path(folder).is_dir():
        pytest.fail(f"TFDFD_TEST_DATA={folder} is not a folder")
    return Path(folder)
