"""Settings in TOML: what is written is read back, and what is wrong is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfdfd.clip import TfdfdError
from tfdfd.faces.config import ExtractionConfig
from tfdfd.training.config import TrainConfig
from tfdfd.training.settings_file import read_settings, settings_text

TABLES = {"training": TrainConfig, "crops": ExtractionConfig}


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(learning_rate=1e-5, mirror=False, weights='a "quoted"\\ \x7f ü name.h5', clip_norm=1.0, seed=7),
        TrainConfig(optimizer="adamw", weight_decay=1e-4, schedule="cosine", warmup_epochs=0.5, ema_momentum=0.999),
    ],
)
def test_what_is_written_is_read_back_alike(tmp_path: Path, config: TrainConfig) -> None:
    crops = ExtractionConfig(margin=-0.1, detect_every=0.5)
    path = written(tmp_path, settings_text({"training": config, "crops": crops}))
    settings = read_settings(path, TABLES)
    names = ExtractionConfig.__dataclass_fields__
    assert TrainConfig(**{name: value for name, value in settings.items() if name not in names}) == config
    assert ExtractionConfig(**{name: value for name, value in settings.items() if name in names}) == crops


def test_tables_and_keys_above_them_mean_the_same(tmp_path: Path) -> None:
    flat = read_settings(written(tmp_path, "learning_rate = 1\ncrop_size = 96\n"), TABLES)
    tables = read_settings(written(tmp_path, "[training]\nlearning_rate = 1.0\n[crops]\ncrop_size = 96\n"), TABLES)
    assert flat == tables == {"learning_rate": 1.0, "crop_size": 96}
    assert isinstance(flat["learning_rate"], float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[training]\nlerning_rate = 1",
            r"settings\.toml: no setting is called 'lerning_rate' in \[training\]; closest",
        ),
        ("learning-rate = 1", r"no setting is called 'learning-rate'; closest: learning_rate"),
        (
            "[trainning]\nseed = 1",
            r"a table must be one of \['crops', 'training'\], got \[trainning\]; closest",
        ),
        ("[training]\ncrop_size = 96", r"crop_size is a setting of \[crops\], got it in \[training\]"),
        ("seed = 1\n[training]\nseed = 2", "seed is set twice"),
        ("epochs = 2.5", "epochs must be a whole number, got 2.5"),
        ("epochs = true", "epochs must be a whole number, got True"),
        ("[training]\nlearning_rate = 'big'", r"learning_rate in \[training\] must be a number, got 'big'"),
        ("mirror = 1", "mirror must be true or false, got 1"),
        ("backbone = 3", "backbone must be a string, got 3"),
        ("epochs =", r"settings\.toml is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TfdfdError, match=message):
        read_settings(written(tmp_path, text), TABLES)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TfdfdError, match=r"absent\.toml cannot be read: No such file"):
        read_settings(tmp_path / "absent.toml", TABLES)
