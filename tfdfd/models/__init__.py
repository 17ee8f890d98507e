"""Networks, one file a family with its own preprocessing, and how faces make a clip score."""

from tfdfd.models.backbone import Backbone
from tfdfd.models.convnext import CONVNEXTS
from tfdfd.models.efficientnet import EFFICIENTNETS
from tfdfd.models.inception_resnet import INCEPTION_RESNET
from tfdfd.models.xception import XCEPTION

BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone for backbone in (XCEPTION, INCEPTION_RESNET, *EFFICIENTNETS, *CONVNEXTS)
}
"""The networks that can be trained, by the name that `--backbone` takes. Importing this does not load TensorFlow."""
