"""What a check is given, and how it says that its claim does not hold. Loads no TensorFlow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
"""What a check measured, JSON-able: name -> number, text, truth value or list of these."""

ALL, ONE, NONE = "all", "one", "none"
"""Which cards a check's process sees."""


class NotShownError(Exception):
    """The claim of a check does not hold; the message says what was expected and what was found."""


class SkippedError(Exception):
    """A check cannot be done on this machine; the message says why."""


@dataclass(frozen=True)
class Check:
    """One line of the proof."""

    claim: str
    """What it shows, in a few words."""
    function: str
    """`module:function` in this package; called with a `Context`, returns Figures."""
    limit_seconds: int
    """After so long its process is ended and the check has failed."""
    dry: str
    """What a dry run does in place of a card, or why it does nothing."""
    cards: str = ONE
    """Which cards its process sees: ALL, ONE or NONE."""
    needs_card: bool = False
    """Whether a dry run leaves it out."""

    def __post_init__(self) -> None:
        if self.cards not in (ALL, ONE, NONE):
            raise ValueError(f"cards must be one of {[ALL, ONE, NONE]}, got {self.cards!r}")
        if not self.dry:
            raise ValueError(f"{self.function}: dry must say what a dry run does, or why nothing")


@dataclass(frozen=True)
class Context:
    """What a check works with; travels between processes as JSON."""

    folder: Path
    """Its own scratch folder, empty at first."""
    data: Path
    """Folder of what is rendered once for all checks."""
    cards: tuple[str, ...] = ()
    """What CUDA_VISIBLE_DEVICES calls the cards under test; empty in a dry run."""
    card_bytes: int = 0
    """Memory of the smallest of them; 0 in a dry run."""

    @property
    def is_dry(self) -> bool:
        """Whether CPUs stand in for cards."""
        return not self.cards

    @property
    def num_replicas(self) -> int:
        """Replicas of the widest training: the cards, or two logical CPUs."""
        return len(self.cards) or 2

    @property
    def replica_counts(self) -> tuple[int, ...]:
        """Numbers of replicas to compare: one, and all."""
        return tuple(sorted({1, self.num_replicas}))

    @property
    def device_id(self) -> int | None:
        """The number that DALI has for the first card; None for the CPU."""
        return None if self.is_dry else 0

    def with_cards(self, count: int) -> Context:
        """Return the same for the first cards alone."""
        return replace(self, cards=self.cards[:count])

    def to_json(self) -> str:
        """Return it as `from_json` reads it."""
        return json.dumps(asdict(self), default=str)

    @staticmethod
    def from_json(text: str) -> Context:
        """Return what `to_json` wrote."""
        values = json.loads(text)
        paths = {name: Path(values[name]) for name in ("folder", "data")}
        return Context(**{**values, **paths, "cards": tuple(values["cards"])})


def require(holds: bool, otherwise: str) -> None:
    """Raise NotShownError where a claim does not hold.

    Args:
        holds: the claim.
        otherwise: what was expected and what was found.
    """
    if not holds:
        raise NotShownError(otherwise)
