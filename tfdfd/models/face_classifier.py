"""The face classifier: uint8 crops in, one logit a crop out, with all preprocessing inside."""

from __future__ import annotations

import keras

from tfdfd.clip import TfdfdError
from tfdfd.models import BACKBONES
from tfdfd.models.head import build_head
from tfdfd.models.resizing import SquareResizing
from tfdfd.models.segmentation import SEGMENTATIONS, MaskToLogit, build_decoder, with_skips
from tfdfd.models.weights import holds_classifier, load_backbone_file, load_classifier_file, load_imagenet

BATCHNORM_CHOICES = {
    "per_replica": "each replica normalises with the statistics of its own faces",
    "synchronized": "all replicas share the statistics of the global batch",
    "frozen": "the statistics and scales that the weights came with, never changed",
}
"""How BatchNorm works during training."""

PRETRAINED_MOMENTUM, SCRATCH_MOMENTUM = 0.99, 0.9
"""BatchNorm momentum: Keras's own for pretrained statistics; from scratch on little data 0.99 leaves them so far
behind that validation stays at chance."""


def build_face_classifier(
    *,
    backbone: str,
    crop_size: int,
    input_size: int | None = None,
    weights: str = "imagenet",
    pooling: str = "avg",
    dropout: float = 0.3,
    hidden_size: int | None = None,
    batchnorm: str = "per_replica",
    batchnorm_momentum: float | None = None,
    segmentation: str = "none",
    dtype_policy: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """Build a classifier of faces.

    Args:
        backbone: one of BACKBONES.
        crop_size: side of the crops in pixels.
        input_size: side that the network sees in pixels; crops are resized to it. None for crop_size.
        weights: `imagenet` (downloads), `none` (random), or a file: weights of the backbone without its top as
            keras.applications makes it, or of a whole classifier of the same kind.
        pooling, dropout, hidden_size: the head, as in `build_head`.
        batchnorm: one of BATCHNORM_CHOICES; `per_replica` for a backbone without BatchNorm.
        batchnorm_momentum: in (0, 1); None for 0.99, or 0.9 where the weights are `none`, or where there is none.
        segmentation: one of SEGMENTATIONS: whether the network also tells what of a face was altered.
        dtype_policy: `float32` or `mixed_float16`; weights, preprocessing and logits are float32 in both.
        seed: of dropout and of the random weights.

    Returns:
        uint8 [batch, crop_size, crop_size, 3] -> float32 logits [batch, 1]; above 0 is fake. With segmentation a second
        output: float32 logits of masks [batch, side, side], above 0 where altered.

    Raises:
        TfdfdError: for an unknown choice, a size that the backbone does not take, a way of BatchNorm for a backbone
            that has none, ImageNet weights that cannot be downloaded, or a file that is not weights of this network.
    """
    for name, value, choices in (
        ("backbone", backbone, BACKBONES),
        ("batchnorm", batchnorm, BATCHNORM_CHOICES),
        ("segmentation", segmentation, SEGMENTATIONS),
    ):
        if value not in choices:
            raise TfdfdError(f"{name} must be one of {sorted(choices)}, got {value!r}")
    chosen = BACKBONES[backbone]
    size = input_size or crop_size
    if size < chosen.min_input_size:
        raise TfdfdError(
            f"{backbone} takes faces of at least {chosen.min_input_size} px, got {size}: "
            f"give --input-size {chosen.min_input_size} or more"
        )
    if not chosen.has_batchnorm and (batchnorm != "per_replica" or batchnorm_momentum is not None):
        raise TfdfdError(
            f"{backbone} has no BatchNorm: leave out --batchnorm and --batchnorm-momentum, which would change nothing"
        )
    is_file = weights not in ("imagenet", "none")
    of_classifier = is_file and holds_classifier(weights)
    keras.utils.set_random_seed(seed)  # Keras's own layers draw their first weights from the global state
    with _policy(dtype_policy):
        network = load_imagenet(chosen, size) if weights == "imagenet" else chosen.build(size, None)
        if is_file and not of_classifier:
            load_backbone_file(network, weights)
        if chosen.adapt is not None:
            network = chosen.adapt(network)
        crops = keras.Input((crop_size, crop_size, 3), dtype="uint8", name="crops")
        pixels = keras.layers.Rescaling(1.0, dtype="float32", name="pixels")(crops)
        if size != crop_size:
            pixels = SquareResizing(size_in=crop_size, size_out=size, name="resizing")(pixels)
        if segmentation == "none":
            maps = network(chosen.preprocess()(pixels))
            outputs = build_head(maps, pooling=pooling, dropout=dropout, hidden_size=hidden_size, seed=seed)
        else:
            network = with_skips(network)
            *skips, maps = network(chosen.preprocess()(pixels))
            masks = build_decoder(maps, skips, dropout=dropout, seed=seed)
            if segmentation == "alone":
                logits = MaskToLogit(name="logit")(masks)
            else:
                logits = build_head(maps, pooling=pooling, dropout=dropout, hidden_size=hidden_size, seed=seed)
            outputs = [logits, masks]
        classifier = keras.Model(crops, outputs, name="face_classifier")
    if of_classifier:
        load_classifier_file(classifier, network, weights)
    if batchnorm_momentum is None:
        batchnorm_momentum = SCRATCH_MOMENTUM if weights == "none" else PRETRAINED_MOMENTUM
    set_batchnorm(network, batchnorm, batchnorm_momentum)
    return classifier


def backbone_and_head(
    classifier: keras.Model,
) -> tuple[list[keras.layers.Layer], list[keras.layers.Layer]]:
    """Return the layers of a classifier's backbone, and those behind it that make its logit of the feature maps.

    Each stands for itself, none holds others: what one layer was told, e.g. that it is frozen, can be told it again.

    Args:
        classifier: as `build_face_classifier` makes it.

    Raises:
        ValueError: if it holds no network that could be its backbone.
    """
    for number, layer in enumerate(classifier.layers):
        if isinstance(layer, keras.Model):
            inside = [each for each in layer._flatten_layers() if not isinstance(each, keras.Model)]
            return inside, classifier.layers[number + 1 :]
    raise ValueError(f"a face classifier holds a network as its backbone, got {[x.name for x in classifier.layers]}")


def set_batchnorm(network: keras.Model, mode: str, momentum: float) -> None:
    """Set how every BatchNorm layer of a network works during training.

    Args:
        network: changed in place, before its training step is traced.
        mode: one of BATCHNORM_CHOICES.
        momentum: share of the old statistics that one step keeps, in (0, 1).
    """
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
            layer.synchronized = mode == "synchronized"
            # `network(x, training=False)` would be ignored inside a training step of Keras 3; this is not.
            layer.trainable = mode != "frozen"


class _policy:
    """Set the global dtype policy for a while: keras.applications takes no dtype."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self._name)

    def __exit__(self, *_: object) -> None:
        keras.config.set_dtype_policy(self._before)
