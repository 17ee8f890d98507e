"""Colours of pages, as those who read them see them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

TEMPLATES = Path(__file__).parent.parent / "tfdfd" / "reports" / "templates"
_ROOT = re.compile(r":root \{(.*?)\}", re.DOTALL)
# Linear RGB as those see it whose eyes lack one kind of cone: Machado, Oliveira and Fernandes 2009, severity 1.
_BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
KINDS_OF_SIGHT = tuple(_BLINDNESS)


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the contrast of two colours, RGB from 0 to 255: from 1, the same, to 21, black on white.

    Source: Web Content Accessibility Guidelines 2.2, relative luminance.
    """
    lights = sorted(float(_linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def seen(colour: tuple[float, ...], sight: str) -> tuple[float, ...]:
    """Return a colour as someone with a kind of sight sees it, RGB from 0 to 255."""
    light = np.clip(_BLINDNESS[sight] @ _linear(colour), 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return tuple(float(part) for part in 255 * encoded)


def theme_variables(theme: str) -> dict[str, tuple[float, ...]]:
    """Return the colours that the styles of an evaluation's page name, RGB from 0 to 255.

    Args:
        theme: `light`, `dark` or `print`.
    """
    found: dict[str, tuple[float, ...]] = {}
    for name in ("page.css", "evaluation.css"):
        blocks = _ROOT.findall((TEMPLATES / name).read_text())
        assert len(blocks) == 3, f"{name} has a :root for light, dark and print each"
        light, dark, paper = blocks
        for block in {"light": [light], "dark": [light, dark], "print": [light, dark, paper]}[theme]:
            found |= {key: _rgb(value) for key, value in re.findall(r"(--[\w-]+): (#[0-9a-f]{3,6});", block)}
    return found


def _rgb(text: str) -> tuple[float, ...]:
    digits = text[1:] if len(text) == 7 else "".join(digit * 2 for digit in text[1:])
    return tuple(float(int(digits[start : start + 2], 16)) for start in (0, 2, 4))


def _linear(colour: tuple[float, ...]) -> np.ndarray:
    share = np.asarray(colour, np.float64) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
