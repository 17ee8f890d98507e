"""What a backbone is: a network without its top and pooling, and the preprocessing that it was trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Backbone:
    """A network from pictures to feature maps."""

    name: str
    """What `--backbone` takes, e.g. `xception`."""
    build: Callable[[int, str | None], keras.Model]
    """(input_size, weights) -> the network as keras.applications makes it, so that weights saved from it can be loaded:
    float32 [batch, input_size, input_size, 3] -> feature maps [batch, height, width, n]; weights is `imagenet`
    (downloads) or None."""
    preprocess: Callable[[], keras.layers.Layer]
    """Makes the layer from pixels 0 to 255 to what the network expects, in float32 also under mixed precision."""
    min_input_size: int
    """The smallest side in pixels that the network takes."""
    weights_file: str
    """File name of its ImageNet weights as Keras publishes them, for the message when they cannot be downloaded."""
    source: str
    """The paper."""
    adapt: Callable[[keras.Model], keras.Model] | None = None
    """Makes of what `build` made, its weights loaded, the network that is trained; None for the same."""
    has_batchnorm: bool = True
    """Whether there is any BatchNorm whose statistics could be frozen or shared."""
