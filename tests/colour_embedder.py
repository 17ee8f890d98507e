"""A face embedder that knows painted faces by their colour, for `--embedder tests.colour_embedder:ColourEmbedder`."""

import numpy as np

from tfdfd.faces.identity import unit_vectors


class ColourEmbedder:
    name, version, input_size = "colour", "1", 8
    landmarks_xy = np.array([[2, 2], [6, 2], [4, 4], [2, 6], [6, 6]], np.float32)

    def embed(self, faces):
        return unit_vectors(faces.reshape(len(faces), -1, 3).mean(axis=1))


class OtherEmbedder(ColourEmbedder):
    version = "2"


class NoEmbedder:
    name = "nothing"
