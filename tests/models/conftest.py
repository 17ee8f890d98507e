"""Fixtures shared by the tests of networks."""

from __future__ import annotations

import pytest

from tests.tiny_backbone import TINY
from tfdfd.models import BACKBONES


@pytest.fixture
def tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> str:
    """Put the tiny backbone among the choices and return its name."""
    monkeypatch.setitem(BACKBONES, "tiny", TINY)
    return "tiny"
