"""Heat maps of the network that is trained: its logits, and how they spread over the picture."""

import numpy as np

from tfdfd.models.face_classifier import build_face_classifier
from tfdfd.models.heat_maps import with_heat_maps


def test_the_maps_of_xception_add_up_to_its_logits():
    classifier = build_face_classifier(backbone="xception", crop_size=80, input_size=71, weights="none")
    crops = np.random.default_rng(0).integers(0, 256, (2, 80, 80, 3), dtype=np.uint8)
    logits, maps = with_heat_maps(classifier)(crops, training=False)
    np.testing.assert_allclose(logits, classifier(crops, training=False), atol=1e-5)
    bias = classifier.layers[-1].bias.numpy()
    np.testing.assert_allclose(np.mean(maps, axis=(1, 2)) + bias, np.ravel(logits), atol=1e-5)
    assert maps.shape[1] == maps.shape[2] > 1
