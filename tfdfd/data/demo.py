"""A small data set in DFDC layout, rendered from a public-domain portrait: no download, no private faces.

The portrait is NASA's photograph of Eileen Collins, which ships inside scikit-image. Every original is the portrait
under one look (crop, colour, gamma, mirroring, backdrop) and one motion; its fakes share look, motion and sound and
differ only inside the face: an ellipse of it is warped, shifted in colour, and blended back. So a classifier cannot
tell the labels apart by the clip's overall colour, only by the altered face. It is for smoke runs, not a benchmark.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tfdfd.clip import FAKE, LABEL_NAMES, REAL, TfdfdError
from tfdfd.data.demo_frames import Forgery, Look, draw_forgery, draw_frames, draw_look, padded_portrait

FOLDERS = ("dfdc_train_part_0", "dfdc_train_part_1")
STAMP = "demo.json"
FRAMES_PER_SECOND = Fraction(30000, 1001)
SOUND_RATE = 44100


@dataclass(frozen=True)
class _Plan:
    clip_id: str
    folder: str
    label: int
    original: str
    look: Look
    forgery: Forgery | None
    noise_seed: int


def render_demo(folder: Path, *, num_clips: int = 24, num_frames: int = 34, seed: int = 2020) -> Path:
    """Render the demo's clips: two DFDC folders, each with its metadata.json, a third of the clips real.

    The folder appears only when it is complete; a folder that an earlier call finished is kept as it is.

    Args:
        folder: where to put the clips; must not exist, be empty, or come from an earlier call with these settings.
        num_clips: clips in all, at least 4: each folder gets half, at least one real and one fake.
        num_frames: frames a clip, at 29.97 a second, at least 1.
        seed: the same seed and versions give the same files.

    Returns:
        The folder, absolute: it holds `dfdc_train_part_0`, `dfdc_train_part_1` and a stamp with the settings.

    Raises:
        TfdfdError: if the folder holds something else.
        ValueError: if num_clips or num_frames is too small.
    """
    if num_clips < 4 or num_frames < 1:
        raise ValueError(f"num_clips must be at least 4 and num_frames at least 1, got {num_clips} and {num_frames}")
    folder = folder.absolute()
    stamp = {"num_clips": num_clips, "num_frames": num_frames, "seed": seed}
    if _is_rendered(folder, stamp):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.unfinished-", dir=folder.parent))
    try:
        portrait = padded_portrait()
        plans = list(_plan_clips(num_clips, seed))
        for name in FOLDERS:
            (unfinished / name).mkdir()
            metadata = {f"{p.clip_id}.mp4": _metadata_entry(p) for p in plans if p.folder == name}
            (unfinished / name / "metadata.json").write_text(json.dumps(metadata, indent=1) + "\n")

        def render(plan: _Plan) -> None:
            frames = draw_frames(portrait, plan.look, plan.forgery, num_frames)
            sound = _sound(plan.look.tone_hz, num_frames / float(FRAMES_PER_SECOND), plan.noise_seed)
            _write_mp4(unfinished / plan.folder / f"{plan.clip_id}.mp4", frames, plan.look.frame_size, sound)

        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            list(pool.map(render, plans))
        (unfinished / STAMP).write_text(json.dumps(stamp) + "\n")
        unfinished.chmod(0o755)
        os.replace(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return folder


def _is_rendered(folder: Path, stamp: dict[str, int]) -> bool:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / STAMP).read_text())
    except (OSError, ValueError):
        found = None
    if found == stamp:
        return True
    what = f"a demo of other settings ({found})" if found else "something that is not the demo"
    raise TfdfdError(f"cannot render the demo ({stamp}) into {folder}: it holds {what}. Remove or rename it.")


def _plan_clips(num_clips: int, seed: int) -> Iterator[_Plan]:
    """Yield what to render: in each folder a third originals, and fakes spread evenly over them."""
    rng = np.random.default_rng(seed)
    clip_ids = [
        "".join(chr(ord("a") + int(k)) for k in row) for row in rng.permuted(rng.integers(0, 26, (num_clips, 10)))
    ]
    if len(set(clip_ids)) < num_clips:
        raise ValueError(f"seed {seed} draws the same clip id twice; choose another")
    for part, name in enumerate(FOLDERS):
        mine = clip_ids[part::2]
        num_originals = max(1, len(mine) // 3)
        looks = [draw_look(np.random.default_rng([seed, part, k]), k) for k in range(num_originals)]
        for k, clip_id in enumerate(mine):
            source = k % num_originals
            is_fake = k >= num_originals
            yield _Plan(
                clip_id=clip_id,
                folder=name,
                label=FAKE if is_fake else REAL,
                original=mine[source] if is_fake else "",
                look=looks[source],
                forgery=draw_forgery(np.random.default_rng([seed, part, 1000 + k])) if is_fake else None,
                noise_seed=seed + 2 * source + part,
            )


def _metadata_entry(plan: _Plan) -> dict[str, str]:
    entry = {"label": LABEL_NAMES[plan.label], "split": "train"}
    return entry | {"original": f"{plan.original}.mp4"} if plan.original else entry


def _sound(tone_hz: float, seconds: float, seed: int) -> np.ndarray:
    """Return a wavering tone in noise, float32 in [-1, 1], shape (1, seconds * SOUND_RATE)."""
    time = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    tone = 0.2 * np.sin(2 * np.pi * tone_hz * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
    noise = 0.02 * np.random.default_rng(seed).standard_normal(len(time))
    return (tone + noise).astype(np.float32)[None]


def _write_mp4(path: Path, frames: Iterator[np.ndarray], size: tuple[int, int], sound: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        # The same frames must give the same file: x264's result depends on its number of threads, and its
        # macroblock tree gave another file on every run at a width of 320.
        options = {"crf": "20", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
        video = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for picture in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        piece = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
        piece.sample_rate = SOUND_RATE
        piece.pts = 0
        container.mux(audio.encode(piece))
        container.mux(audio.encode())
