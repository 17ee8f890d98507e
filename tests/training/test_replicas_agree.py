"""One replica and two see the same global batches and end with the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent


def run(folder: Path, kind: str, num_replicas: int, *more: str) -> dict[str, np.ndarray]:
    """Run in a process of its own; returns the arrays that it wrote."""
    run_folder = folder / f"{kind}{num_replicas}"
    run_folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(HERE / "replica_runs.py"), kind, str(num_replicas), str(run_folder), *more],
        env=os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(run_folder / "state.npz") as file:
        return {key: file[key] for key in file.files if key != "state"}


def largest_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(one[key].astype(np.float64) - other[key]).max()) for key in one)


def test_a_small_network_with_synchronized_batchnorm_ends_alike(tmp_path: Path) -> None:
    one = run(tmp_path, "synchronized", 1)
    two = run(tmp_path, "synchronized", 2)
    assert all(len(array) == 1 for array in two.values())  # the replicas' copies are equal
    assert largest_difference(one, two) < 1e-5
    per_replica = run(tmp_path, "per_replica", 2)
    assert largest_difference(one, per_replica) > 1e-4  # else the setting would change nothing


@pytest.mark.slow
def test_the_clipped_gradient_is_the_global_batch_s_and_the_averages_are_alike(tmp_path: Path) -> None:
    one = run(tmp_path, "clipped_and_averaged", 1)
    two = run(tmp_path, "clipped_and_averaged", 2)
    assert any(key.startswith("average") for key in one)
    assert all(len(array) == 1 for array in two.values())
    assert largest_difference(one, two) < 1e-5
    unclipped = run(tmp_path, "synchronized", 1)
    assert largest_difference(unclipped, {key: one[key] for key in unclipped}) > 1e-3


@pytest.mark.slow
def test_xla_augmentation_and_freezing_work_on_two_replicas_and_give_them_the_same_weights(tmp_path: Path) -> None:
    arrays = run(tmp_path, "compiled_and_augmented", 2)
    assert all(len(array) == 1 for array in arrays.values())
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_all_replicas_skip_a_step_that_overflows_in_one(tmp_path: Path) -> None:
    arrays = run(tmp_path, "overflow", 2)
    assert np.array_equal(arrays["start"], arrays["skipped"])
    assert arrays["scale"] == 2.0
    assert np.isfinite(arrays["moved"]).all()
    assert not np.array_equal(arrays["moved"], arrays["skipped"])


@pytest.mark.slow
@pytest.mark.clips
def test_xception_with_fixed_batchnorm_ends_alike(tmp_path: Path, test_data: Path) -> None:
    weights = str(test_data / "weights" / "xception_imagenet_notop.weights.h5")
    one = run(tmp_path, "xception", 1, weights)
    two = run(tmp_path, "xception", 2, weights)
    assert one.pop("moved") > 1e-4
    two.pop("moved")
    assert largest_difference(one, two) < 1e-5
