"""What is painted into a crop comes out with its own label, whoever reads it and for how many replicas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nvidia.dali.plugin.tf", reason="DALI and its TensorFlow plugin are not installed")

REPOSITORY = Path(__file__).parents[2]
SOURCES = ["tf.data", "dali"]
REPLICAS = [1, 2]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict]:
    """A process of its own: logical devices can be set only before TensorFlow starts."""
    job, store = Path(__file__).with_name("pairing_job.py"), tmp_path_factory.mktemp("painted")
    done = subprocess.run(
        [sys.executable, str(job), str(store), *map(str, REPLICAS)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": "-1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {int(count): result for count, result in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize("replicas", REPLICAS)
@pytest.mark.parametrize("source", SOURCES)
def test_each_of_1000_clips_comes_with_its_own_label_weight_and_row_in_every_epoch(results, source, replicas):
    epochs = results[replicas]["epochs"][source]
    assert [epoch["mismatches"] for epoch in epochs] == [0, 0, 0]
    assert [epoch["clips"] for epoch in epochs] == [1000, 1000, 1000]
    assert all(epoch["every face once"] for epoch in epochs)
    assert all(0.4 < epoch["mirrored"] < 0.6 for epoch in epochs)


@pytest.mark.parametrize("replicas", REPLICAS)
@pytest.mark.parametrize("source", SOURCES)
def test_each_of_1000_strips_is_scored_once_under_its_own_number(results, source, replicas):
    assert results[replicas]["strips"][source] == {"mismatches": 0, "every strip once": True}


def test_global_batches_are_the_same_bytes_for_both_sources_and_any_number_of_replicas(results):
    digests = {
        tuple(epoch["digest"] for epoch in results[replicas]["epochs"][source])
        for replicas in REPLICAS
        for source in SOURCES
    }
    assert len(digests) == 1
    assert len(set(next(iter(digests)))) == 3  # but another order each epoch
