"""What a run folder says of the run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfdfd.data.atomic import explain_write_errors, write_atomically
from tfdfd.training.config import TrainConfig
from tfdfd.training.settings_file import settings_text
from tfdfd.training.team import team_of

CONFIG_FILE = "config.json"
SETTINGS_FILE = "config.toml"
"""What `--config` reads back."""


def write_config(
    run_folder: Path,
    config: TrainConfig,
    identity: dict[str, Any],
    strategy: tf.distribute.Strategy,
    settings: Mapping[str, Any],
) -> None:
    """Write config.json: settings, fingerprint, data, replicas, git commit and versions; and config.toml.

    Args:
        run_folder: gets the files.
        config: the settings of training.
        identity: what must not change between a run and its resume, JSON-able.
        strategy: for the number of replicas and workers.
        settings: table of config.toml -> settings dataclass.
    """
    content = {
        "config": asdict(config),
        **{name: value for name, value in identity.items() if name != "settings"},
        "replicas": strategy.num_replicas_in_sync,
        "workers": team_of(strategy).size,
        "git_commit": _git_commit(),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }
    with explain_write_errors(run_folder):
        write_atomically(run_folder / CONFIG_FILE, json.dumps(content, indent=1).encode() + b"\n")
        write_atomically(run_folder / SETTINGS_FILE, settings_text(settings).encode())


def _git_commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""  # an installed package has no history
