"""How numbers and foreign text are put into sentences: `1 clip`, and no character that a terminal would obey."""

from __future__ import annotations

import unicodedata

_ESCAPED = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's controls, halves of pairs (what Python makes of bytes in a name that are not UTF-8), and other ends of
lines."""
_MISLEADING = frozenset(
    (
        0x061C,  # marks of direction, and what embeds, overrides and isolates one
        *(0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
        *(0x180E, 0x200B, 0x2060, 0xFEFF),  # nothing to be seen
        *range(0xFFF9, 0xFFFC),  # annotations between lines
        *range(0xE0000, 0xE0080),  # tags, which spell text that nobody sees
    )
)
"""Characters that show text in another order than it has, or are not seen at all. Joiners are not among them: Persian
and emoji need those."""


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a number with its words: `1 clip`, `1,200 clips`.

    Args:
        count: the number.
        singular: the words for one, a noun or more, e.g. `clip has`.
        plural: those for any other number; empty for the singular and an s.
    """
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def shown(text: object, *, keep_lines: bool = False) -> str:
    r"""Return text that others wrote, e.g. a file's name, as it may be shown: controls as `\x1b`, `\n`, `\u202e`.

    All that a terminal would obey, that would begin a further line or turn the order of what is read is escaped, and
    bytes that are not UTF-8 as `\xff`. What is shown already stays as it is.

    Args:
        text: what is shown; of an object its `str`.
        keep_lines: leave ends of lines: for messages of our own that have several.
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(one) if _is_escaped(one) and not (keep_lines and one == "\n") else one for one in text)


def _is_escaped(one: str) -> bool:
    return ord(one) in _MISLEADING or unicodedata.category(one) in _ESCAPED


def _escaped(one: str) -> str:
    code = ord(one)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return one.encode("unicode_escape", "surrogatepass").decode("ascii")
