"""Figures with their intervals as a page writes them, and tables of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A figure and how sure it is."""

    value: float | None
    """None where it is not defined, such as the AUC of clips of one label."""
    low: float | None = None
    """Both None where there is no interval."""
    high: float | None = None
    digits: int = 3
    is_share: bool = False
    """Shown as per cent, with two digits fewer."""
    is_difference: bool = False
    """Shown with its sign."""

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"an interval has two edges, got {self.low} and {self.high}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"an interval goes from low to high, got {self.low} and {self.high}")

    @property
    def text(self) -> str:
        """The value alone."""
        return "\N{EN DASH}" if self.value is None else self._write(self.value)

    @property
    def interval(self) -> str:
        """Such as `[0.880, 0.941]`, empty where there is none."""
        if self.value is None or self.low is None or self.high is None:
            return ""
        return f"[{self._write(self.low)}, {self._write(self.high)}]"

    @property
    def range_in_words(self) -> str:
        """Such as `between 0.880 and 0.941`, empty where there is no interval."""
        if self.value is None or self.low is None or self.high is None:
            return ""
        return f"between {self._write(self.low)} and {self._write(self.high)}"

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def _write(self, number: float) -> str:
        scale, digits, unit = 1, self.digits, ""
        if self.is_share:
            scale, digits, unit = 100, max(self.digits - 2, 0), "\N{NO-BREAK SPACE}%"
        written = f"{number * scale:{'+' if self.is_difference else ''}.{digits}f}"
        return written.replace("-", "\N{MINUS SIGN}") + unit


Cell = str | int | Estimate


@dataclass(frozen=True)
class Row:
    """One row of a table; its first cell names it."""

    cells: tuple[Cell, ...]
    is_marked: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under a header."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    """What stands under it."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.header):
                raise ValueError(f"the row {row.cells[:1]} has {len(row.cells)} cells, the header {len(self.header)}")

    def is_number(self, column: int) -> bool:
        """Return whether a column holds nothing but numbers."""
        return bool(self.rows) and all(not isinstance(row.cells[column], str) for row in self.rows)
