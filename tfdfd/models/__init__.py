"""Networks, one file a backbone with its own preprocessing, and how faces make a clip score."""

from tfdfd.models.backbone import Backbone
from tfdfd.models.xception import XCEPTION

BACKBONES: dict[str, Backbone] = {backbone.name: backbone for backbone in (XCEPTION,)}
"""The networks that can be trained, by the name that `--backbone` takes. Importing this does not load TensorFlow."""
