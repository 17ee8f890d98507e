"""What stops a training before hours of extraction, rather than after them."""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
import numpy as np

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.commands.sequence_inputs import check_face_network
from tfdfd.data.atomic import explain_write_errors
from tfdfd.data.sampling import no_pairs
from tfdfd.data.splits import TRAIN, Split
from tfdfd.data.tables import values
from tfdfd.faces.config import ExtractionConfig
from tfdfd.training.config import TrainConfig


def check_networks_and_folders(arguments: argparse.Namespace, config: TrainConfig, crops: ExtractionConfig) -> None:
    """Find out whether the first weights and the folders of the output can be used.

    Raises:
        TfdfdError: says which cannot, and what to give instead.
    """
    from tfdfd.models import BACKBONES
    from tfdfd.models.weights import load_imagenet
    from tfdfd.training.build import classifier_builder

    backbone = BACKBONES[config.network_of_faces]
    smallest = backbone.min_input_size
    if config.input_size is not None and config.input_size < smallest:
        raise TfdfdError(f"--input-size must be at least {smallest} for {backbone.name}, got {config.input_size}")
    if config.input_size is None and crops.crop_size < smallest:
        raise TfdfdError(
            f"--crop-size {crops.crop_size} is too small for {backbone.name}, which takes faces of at least "
            f"{smallest} px: give --input-size {smallest} too"
        )
    if config.weights == "imagenet":
        load_imagenet(backbone, config.input_size or crops.crop_size)  # downloads them, or says that it cannot
    elif config.weights != "none":
        if not Path(config.weights).is_file():
            raise TfdfdError(f"--weights {config.weights}: no such file; it must be imagenet, none or a weights file")
        if not h5py.is_hdf5(config.weights):
            raise TfdfdError(f"--weights {config.weights} is no HDF5 file, as Keras writes weights")
        if config.sees_sequences:
            check_face_network(config, crops.crop_size)
        else:
            classifier_builder(config, max(crops.crop_size, config.input_size or 0))("float32")
    for folder in (arguments.output, arguments.run_folder):
        if folder:
            with explain_write_errors(Path(folder)):
                Path(folder).mkdir(parents=True, exist_ok=True)


def check_pairs(split: Split, config: TrainConfig) -> None:
    """Find out whether there is anything to pair: whatever faces are found, more pairs will not come of it.

    Raises:
        TfdfdError: if no fake to train on has its original there.
    """
    if config.balance != "paired" or config.fakes != "given":
        return
    label, clip_id, original = (values(split.table, name) for name in ("label", "clip_id", "original"))
    is_training = split.sides == TRAIN
    is_real, is_fake = (is_training & (label == wanted) for wanted in (REAL, FAKE))
    if not np.isin(original[is_fake], clip_id[is_real]).any():
        raise no_pairs(int(is_fake.sum()), int(is_real.sum()), "clips")
