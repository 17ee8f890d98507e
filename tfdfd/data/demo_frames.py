"""Draw the demo's pictures: a public-domain portrait under a look, in motion, with or without a forged inner face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

# The face in skimage.data.astronaut(), in pixels of its 512 x 512: where MTCNN sees it.
FACE_CENTRE_XY = (223.5, 118.0)
FACE_HEIGHT = 107.0
# The portrait is mirrored outwards this far, so that a window that leaves it shows no black.
BORDER = 160


@dataclass(frozen=True)
class Look:
    """How an original looks, moves and sounds; its fakes share it."""

    frame_size: tuple[int, int]
    """Width and height of the frame in pixels, even."""
    face_share: float
    """Height of the face as a share of the frame's shorter side."""
    centre: tuple[float, float]
    """Where the face rests, as shares of width and height."""
    mirrored: bool
    gamma: float
    gains: tuple[float, float, float]
    """What red, green and blue are multiplied by."""
    saturation: float
    backdrop: tuple[tuple[int, int, int], tuple[int, int, int]] | None
    """RGB at the top and at the bottom of a painted backdrop, or None for the portrait's own."""
    sway: tuple[float, float, float, float]
    """Amplitudes of the motion: x and y in shares of the shorter side, zoom as a share, rotation in degrees."""
    phases: tuple[float, float, float, float]
    """Where each of the four motions starts, in radians."""
    tone_hz: float


@dataclass(frozen=True)
class Forgery:
    """How the inner face of a fake differs from its original."""

    colour_shift: tuple[float, float, float]
    """Levels (of 255) added to red, green and blue inside the ellipse."""
    magnify: float
    """How much larger the inner face is drawn about its centre."""
    wave: tuple[float, float]
    """Amplitude in pixels of the portrait, and phase in radians, of the smooth displacement."""
    radii: tuple[float, float]
    """Half axes of the blended ellipse in pixels of the portrait."""
    flicker: float
    """How far the blend's strength swings from frame to frame, as a share."""


def draw_look(rng: np.random.Generator, index: int) -> Look:
    """Draw the look of a folder's original number `index`; odd ones are landscape, with a painted backdrop."""

    def rgb() -> tuple[int, int, int]:
        r, g, b = (int(v) for v in rng.integers(20, 220, 3))
        return r, g, b

    def between(low: float, high: float, count: int) -> list[float]:
        return [float(v) for v in rng.uniform(low, high, count)]

    red, green, blue = between(0.85, 1.15, 3)
    x, y, zoom, degrees = between(0.3, 1.0, 4)
    first, second, third, fourth = between(0.0, 2 * np.pi, 4)
    return Look(
        frame_size=(320, 360) if index % 2 == 0 else (384, 320),
        face_share=float(rng.uniform(0.34, 0.44)),
        centre=(float(rng.uniform(0.44, 0.56)), float(rng.uniform(0.40, 0.45))),
        mirrored=bool(rng.integers(2)),
        gamma=float(rng.uniform(0.8, 1.3)),
        gains=(red, green, blue),
        saturation=float(rng.uniform(0.5, 1.2)),
        backdrop=(rgb(), rgb()) if index % 2 else None,
        sway=(0.05 * x, 0.03 * y, 0.08 * zoom, 5.0 * degrees),
        phases=(first, second, third, fourth),
        tone_hz=float(rng.uniform(180.0, 700.0)),
    )


def draw_forgery(rng: np.random.Generator) -> Forgery:
    """Draw a forgery that a small network can learn in a few epochs."""
    # One channel goes one way and another the other way: the face's mean brightness says little.
    up, down, rest = rng.permutation(3)
    shift = [0.0, 0.0, 0.0]
    shift[int(up)] = float(rng.uniform(22.0, 34.0))
    shift[int(down)] = -float(rng.uniform(22.0, 34.0))
    shift[int(rest)] = float(rng.uniform(-8.0, 8.0))
    return Forgery(
        colour_shift=(shift[0], shift[1], shift[2]),
        magnify=float(rng.uniform(1.08, 1.18)),
        wave=(float(rng.uniform(1.5, 3.0)), float(rng.uniform(0.0, 2 * np.pi))),
        radii=(float(rng.uniform(31.0, 35.0)), float(rng.uniform(40.0, 46.0))),
        flicker=float(rng.uniform(0.05, 0.15)),
    )


def padded_portrait() -> np.ndarray:
    """Return the portrait as float32 RGB in [0, 1], mirrored outwards by BORDER pixels on every side."""
    from skimage.data import astronaut

    padded = np.pad(astronaut(), ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="reflect")
    # Out of focus but for the head: MTCNN at times takes a badge on the suit for a small face.
    blurred = np.asarray(Image.fromarray(padded).filter(ImageFilter.GaussianBlur(5)), np.float32)
    head = np.clip(4 * (1.2 - _head_distance(padded.shape[0], padded.shape[1])), 0, 1)[..., None]
    return (head * padded + (1 - head) * blurred).astype(np.float32) / 255


def _head_distance(height: int, width: int) -> np.ndarray:
    """Return how far each pixel of the padded portrait lies from the head's middle; 1 is its outline."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32) - BORDER
    x, y = FACE_CENTRE_XY
    return ((columns - x) / 95) ** 2 + ((rows - y + 5) / 120) ** 2


def _dress(portrait: np.ndarray, look: Look) -> np.ndarray:
    """Give the portrait its look: backdrop, saturation, gains, gamma; float32 RGB in [0, 255]."""
    height, width = portrait.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32) - BORDER
    picture = portrait
    if look.backdrop is not None:
        body = ((columns - FACE_CENTRE_XY[0]) / 230) ** 2 + ((rows - 430) / 240) ** 2
        person = np.clip(4 * (1.2 - np.minimum(_head_distance(height, width), body)), 0, 1)[..., None]
        top, bottom = (np.asarray(colour, np.float32) / 255 for colour in look.backdrop)
        down = np.clip(rows / 400, 0, 1)[..., None]
        painted = 0.75 * (top * (1 - down) + bottom * down) + 0.25 * picture
        picture = person * picture + (1 - person) * painted
    grey = picture.mean(axis=-1, keepdims=True)
    picture = (grey + look.saturation * (picture - grey)) * np.asarray(look.gains, np.float32)
    return 255 * np.clip(picture, 0, 1) ** look.gamma


def _forge(picture: np.ndarray, forgery: Forgery) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """Warp and recolour the inner face.

    Args:
        picture: the dressed portrait, float32 [0, 255], shape (height, width, 3).
        forgery: what to do.

    Returns:
        The altered patch, shape (h, w, 3); its blending weight in [0, 1], shape (h, w, 1); where the patch lies.
    """
    from scipy.ndimage import map_coordinates

    centre_x, centre_y = (c + BORDER for c in FACE_CENTRE_XY)
    centre_y += 6  # the inner face, eyebrows to chin, lies below the middle of the box
    reach_x, reach_y = (int(r) + 12 for r in forgery.radii)
    where = (
        slice(int(centre_y) - reach_y, int(centre_y) + reach_y + 1),
        slice(int(centre_x) - reach_x, int(centre_x) + reach_x + 1),
    )
    rows, columns = np.mgrid[where].astype(np.float32)
    down, across = rows - centre_y, columns - centre_x
    amplitude, phase = forgery.wave
    from_rows = centre_y + down / forgery.magnify + amplitude * np.sin(across / 9 + phase)
    from_columns = centre_x + across / forgery.magnify + amplitude * np.cos(down / 11 + phase)
    channels = [map_coordinates(picture[..., c], (from_rows, from_columns), order=1) for c in range(3)]
    patch = np.stack(channels, axis=-1) + np.asarray(forgery.colour_shift, np.float32)
    radius = np.hypot(across / forgery.radii[0], down / forgery.radii[1])
    weight = np.clip((1.08 - radius) / 0.12, 0, 1)[..., None]
    return np.clip(patch, 0, 255), weight, where


def draw_frames(portrait: np.ndarray, look: Look, forgery: Forgery | None, num_frames: int) -> Iterator[np.ndarray]:
    """Draw the frames of one clip.

    Args:
        portrait: from `padded_portrait`.
        look: how the clip looks and moves.
        forgery: what is done to the inner face of a fake; None for an original.
        num_frames: frames to draw.

    Yields:
        uint8 RGB, shape (height, width, 3).
    """
    picture = _dress(portrait, look)
    forged = _forge(picture, forgery) if forgery else None
    width, height = look.frame_size
    for k in range(num_frames):
        turn = 2 * np.pi * k / 45
        x, y, zoom, degrees = (
            a * np.sin(turn * speed + p)
            for a, p, speed in zip(look.sway, look.phases, (1.0, 1.6, 0.8, 1.2), strict=True)
        )
        shown = picture
        if forgery is not None and forged is not None:
            patch, weight, where = forged
            strength = weight * (1 - forgery.flicker * (0.5 + 0.5 * np.sin(turn * 5)))
            shown = picture.copy()
            shown[where] = (1 - strength) * picture[where] + strength * patch
        still = Image.fromarray(shown.astype(np.uint8))
        shorter = min(width, height)
        # Output pixel -> portrait pixel: about the face's place in the frame, turn, shrink, move to the face.
        scale = FACE_HEIGHT / (look.face_share * (1 + zoom) * shorter)
        cos, sin = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
        at_x, at_y = look.centre[0] * width + x * shorter, look.centre[1] * height + y * shorter
        to_x, to_y = (c + BORDER for c in FACE_CENTRE_XY)
        matrix = (cos, -sin, to_x - cos * at_x + sin * at_y, sin, cos, to_y - sin * at_x - cos * at_y)
        frame = np.asarray(still.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
        yield np.ascontiguousarray(frame[:, ::-1]) if look.mirrored else frame
