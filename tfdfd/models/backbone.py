"""What a backbone is: a network without its top, and the preprocessing that it was trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Backbone:
    """A network from pictures to features."""

    name: str
    """What `--backbone` takes, e.g. `xception`."""
    build: Callable[[int, str | None], keras.Model]
    """(input_size, weights) -> the network from float32 [batch, input_size, input_size, 3], preprocessed, to
    features [batch, n], globally averaged; weights is `imagenet` (downloads) or None."""
    preprocess: Callable[[], keras.layers.Layer]
    """Makes the layer from pixels 0 to 255 to what the network expects."""
    min_input_size: int
    """The smallest side in pixels that the network takes."""
    weights_file: str
    """File name of its ImageNet weights as Keras publishes them, for the message when they cannot be downloaded."""
    source: str
    """The paper."""
