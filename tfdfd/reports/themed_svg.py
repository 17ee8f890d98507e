"""matplotlib's SVG made part of a page: its colours, its font, and nothing that reaches beyond the drawing.

matplotlib knows no CSS variables. Each colour is drawn as one that stands for it, and becomes `var(--...)` after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

INK, SOFT, LINE = "#0a0001", "#0a0002", "#0a0003"
"""What stands for text, for lesser text, and for grid lines."""
SERIES = tuple(f"#0b000{number}" for number in range(1, 7))
"""The same for lines that are to be told apart."""
MARK = "mark-"
"""Begins the `gid` of what shall have a class in the page, by which it can be found."""
_STANDS_FOR = {INK: "--ink", SOFT: "--soft", LINE: "--line"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES, 1)
}
_COLOUR = re.compile("|".join(_STANDS_FOR))
_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_SPACE = re.compile(r"\s*([MLCQz])\s*")
_REFERENCE = re.compile(r"^#|^url\(#")


def themed(source: bytes, key: str, label: str) -> str:
    """Return matplotlib's SVG as a page takes it: no ids but its own, no styles for others, colours by variable.

    Args:
        source: the SVG, drawn with the colours above.
        key: what its ids begin with.
        label: what it shows, in words.
    """
    root = ElementTree.fromstring(source)
    for element in list(root):
        if _local(element.tag) == "metadata" or element.find("{*}style") is not None:
            root.remove(element)
    elements = list(root.iter())
    used = {
        _REFERENCE.sub("", value).rstrip(")")
        for element in elements
        for value in element.attrib.values()
        if _REFERENCE.match(value)
    }
    for element in elements:
        element.tag = _local(element.tag)
        element.text = element.text if element.tag == "text" else None
        element.tail = None
        element.attrib = {
            name: value for name, value in _attributes(element.attrib, key, used) if (name, value) != ("style", "")
        }
    root.attrib = {
        "class": "chart",
        "viewBox": root.attrib["viewBox"],
        "width": "100%",
        "role": "img",
        "aria-label": " ".join(label.split()),
        "stroke-linejoin": "round",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _attributes(attributes: dict[str, str], key: str, used: set[str]) -> Iterator[tuple[str, str]]:
    for name, value in attributes.items():
        name = _local(name)
        if name == "id":
            if value in used:
                yield name, f"{key}-{value}"
            elif value.startswith(MARK):
                yield "class", value.removeprefix(MARK)
        elif _REFERENCE.match(value):
            yield name, value.replace("#", f"#{key}-", 1)
        elif name == "style":
            parts = (part for part in value.split("; ") if not part.startswith("font-family"))
            yield name, _COLOUR.sub(lambda found: f"var({_STANDS_FOR[found[0]]})", _short("; ".join(parts)))
        elif name == "d":
            yield name, _SPACE.sub(r"\1", _short(value)).strip()
        elif name != "transform" or not value.startswith("rotate(-0 "):
            yield name, _short(value)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _short(numbers: str) -> str:
    # Half a tenth of a unit is nothing in a long line, but much in a marker.
    digits = 1 if len(numbers) > 2000 else 2
    return _NUMBER.sub(lambda found: f"{float(found[0]):.{digits}f}".rstrip("0").rstrip("."), numbers)
