"""A model's crops are made again as its fingerprint says."""

import dataclasses

from tfdfd.commands.evaluate import extraction_of
from tfdfd.extraction import extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig


def test_every_setting_of_the_crops_comes_back_from_the_fingerprint():
    config = ExtractionConfig(
        places=5, crop_size=96, margin=0.1, min_face_share=0.1, alignment="landmarks", detect_every=2.0
    )
    defaults = ExtractionConfig()
    for field in dataclasses.fields(config):
        assert getattr(config, field.name) != getattr(defaults, field.name), f"set {field.name} in this test too"
    made = extraction_fingerprint(config, {"min_face_share": 0.1}, {"num_places": 5})
    assert extraction_of(made, None) == config
    assert extraction_of(made, 9) == dataclasses.replace(config, places=9)
