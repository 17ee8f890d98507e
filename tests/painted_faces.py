"""Painted face crops and a network that sees how red they are: an evaluation whose right answers are obvious."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from PIL import Image

from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.manifest import load_manifest
from tfdfd.data.ready_crops import ready_crops_fingerprint
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.export import ModelCard, export_saved_model

SIZE = 32
NO_CLIPS = pd.DataFrame(columns=["clip_id", "original", "donor", "folder", "split"], dtype=str)


def paint_faces(
    folder: Path, *, folders: Sequence[str] = ("part_0", "part_1"), originals: int = 8, seed: int = 0
) -> Path:
    """Write crops and faces.csv: in each folder so many originals and two fakes of each.

    The redness of a crop, 0 to 1, is 0.35 for a real one and 0.65 for a fake, give or take 0.15: some lie on the wrong
    side of 0.5. Clip ids are `<folder>_<number>` and `<folder>_<number>_<fake>`.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for name in folders:
        (folder / name).mkdir(parents=True)
        for number in range(originals):
            original = f"{name}_{number}"
            for clip_id, is_fake in ((original, False), (f"{original}_a", True), (f"{original}_b", True)):
                redness = np.clip((0.65 if is_fake else 0.35) + rng.normal(0, 0.15), 0, 1)
                _paint(folder / name / f"{clip_id}.jpg", redness)
                label, made_from = ("FAKE", original) if is_fake else ("REAL", "")
                rows.append(
                    (
                        f"{name}/{clip_id}.jpg",
                        clip_id,
                        label,
                        made_from,
                        name,
                        f"method_{clip_id[-1]}" if is_fake else "",
                    )
                )
    header = ["path", "clip_id", "label", "original", "folder", "method"]
    pd.DataFrame(rows, columns=header).to_csv(folder / "faces.csv", index=False)
    return folder


def _paint(path: Path, redness: float) -> None:
    crop = np.full((SIZE, SIZE, 3), 128, np.uint8)
    crop[..., 0] = round(255 * redness)
    Image.fromarray(crop).save(path, quality=95, subsampling=0)


def redness_model(
    folder: Path,
    data: Path,
    *,
    strength: float = 10.0,
    trained_on: pd.DataFrame = NO_CLIPS,
    rule: ScoringRule = ScoringRule(),  # noqa: B008, frozen
    fingerprint: Fingerprint | None = None,
) -> Path:
    """Export a network whose logit is `strength` times (redness - 0.5), and return its version's folder.

    Args:
        folder: `saved_models/<name>`.
        data: the crops of `paint_faces`, from which the fingerprint is taken.
        strength: of the logit; NaN for a network that is broken.
        trained_on: the clips that its card records.
        rule: its scoring rule.
        fingerprint: another than that of the crops.
    """
    crops = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    pixels = keras.layers.Rescaling(1 / 255)(crops)
    first = keras.layers.Conv2D(1, 1, use_bias=False)
    features = keras.layers.GlobalAveragePooling2D()(first(pixels))
    last = keras.layers.Dense(1)
    classifier = keras.Model(crops, last(features))
    first.set_weights([np.array([1.0, 0.0, 0.0]).reshape(1, 1, 3, 1)])
    last.set_weights([np.array([[strength]]), np.array([-strength / 2])])
    if fingerprint is None:
        made = ready_crops_fingerprint(load_manifest(data / "faces.csv"), 0.1, {})
        fingerprint = Fingerprint(made.preprocessing, {"num_places": 1})
    card = ModelCard(folder.name, "sees how red a face is", "redness", SIZE, {}, {}, {}, {})
    return export_saved_model(classifier, rule, fingerprint, card, trained_on, crop_size=SIZE, folder=folder)
