"""The settings check themselves and list the choices."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.training.toy_training import TOY_DATASETS, toy_config, toy_strips, toy_table
from tfdfd.clip import TfdfdError
from tfdfd.training.config import BATCHNORMS, MAY_CHANGE, TrainConfig
from tfdfd.training.sources import FaceTableSource, StripSource


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "rmsprop"}, r"optimizer must be one of \['adam', 'adamw', 'sgd'\], got 'rmsprop'"),
        ({"backbone": "exception"}, r"backbone must be one of \[.*'xception'\], got 'exception'"),
        ({"balance": "yes"}, "balance must be one of"),
        ({"sampling": "two"}, "sampling must be one of"),
        ({"fakes": "none"}, "fakes must be one of"),
        ({"mixed_precision": "maybe"}, "mixed_precision must be one of"),
        ({"batchnorm": "shared"}, "batchnorm must be one of"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be at least 1"),
        ({"patience": -1}, "patience must be at least 0"),
        ({"seed": 2**32}, "seed must be in"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"pooling": "sum"}, "pooling must be one of"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"backbone": "convnext_tiny", "batchnorm": "synchronized"}, "convnext_tiny has no BatchNorm: leave out"),
        ({"backbone": "convnext_tiny", "batchnorm_momentum": 0.9}, "convnext_tiny has no BatchNorm: leave out"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"plateau_factor": 1.0}, "plateau_factor must be above 0 and below 1"),
        ({"batchnorm_momentum": 0.0}, "batchnorm_momentum must be above 0"),
        ({"profile_steps": "20"}, "profile_steps must be FIRST,LAST.*got '20'"),
        ({"profile_steps": "3,2"}, "profile_steps must be FIRST,LAST"),
        ({"profile_steps": "0,2"}, "profile_steps must be FIRST,LAST"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


def test_every_setting_has_a_help_and_the_choices_are_those_of_the_model() -> None:
    from tfdfd.models.face_classifier import BATCHNORM_CHOICES

    fields = dataclasses.fields(TrainConfig)
    assert all(field.metadata["help"] for field in fields)
    assert set(BATCHNORMS) == set(BATCHNORM_CHOICES)
    assert set(MAY_CHANGE) < {field.name for field in fields}


def test_mixed_precision_is_automatic_on_gpus() -> None:
    config = TrainConfig()
    assert [config.dtype_policy(on_gpus=gpus) for gpus in (True, False)] == ["mixed_float16", "float32"]
    assert TrainConfig(mixed_precision="off").dtype_policy(on_gpus=True) == "float32"
    assert TrainConfig(mixed_precision="on").dtype_policy(on_gpus=False) == "mixed_float16"


def test_the_batch_must_divide_among_the_replicas() -> None:
    assert TrainConfig(batch_size=32).per_replica_batch(2) == 16
    with pytest.raises(ValueError, match="multiple of the 3 replicas, got 32"):
        TrainConfig(batch_size=32).per_replica_batch(3)


def test_pairs_need_an_even_number_of_faces_a_replica() -> None:
    assert TrainConfig(batch_size=12, balance="paired").per_replica_batch(2) == 6
    with pytest.raises(ValueError, match="batch_size 6 gives each of 2 replicas 3: write batch_size 8"):
        TrainConfig(batch_size=6, balance="paired").per_replica_batch(2)


@pytest.mark.parametrize("change", [{"mixup": 0.5}, {"cutmix": 0.5}])
def test_one_face_a_replica_cannot_be_mixed(change):
    assert TrainConfig(batch_size=4, **change).per_replica_batch(2) == 2
    with pytest.raises(ValueError, match="write batch_size 4"):
        TrainConfig(batch_size=2, **change).per_replica_batch(2)


def test_early_stopping_waits_for_the_end_of_a_cosine_unless_told_otherwise():
    assert TrainConfig(epochs=20).applied_patience == 4
    assert TrainConfig(epochs=20, schedule="cosine").applied_patience == 20
    assert TrainConfig(epochs=20, schedule="cosine", patience=3).applied_patience == 3


def test_one_label_alone_is_refused() -> None:
    import tensorflow as tf

    table = toy_table()
    fakes = dataclasses.replace(table, labels=np.ones_like(table.labels))
    strategy = tf.distribute.get_strategy()
    with pytest.raises(TfdfdError, match="real and fake faces"):
        FaceTableSource(fakes, toy_config(), TOY_DATASETS, strategy, 16)
    FaceTableSource(fakes, toy_config(balance="none"), TOY_DATASETS, strategy, 16)
    rows, labels = toy_strips()
    with pytest.raises(TfdfdError, match="real and fake clips"):
        StripSource(rows, np.where(labels == 1, -1, labels), toy_config(), TOY_DATASETS, strategy, 16)
