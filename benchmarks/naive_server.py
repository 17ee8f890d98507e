"""The naive way to serve: Flask, and Keras's `predict` on what a request holds. Needs flask, keras, TensorFlow, Pillow.

    python naive_server.py INPUT_SIZE

prints its port once it is ready. POST /score takes {"faces": [base64 of a JPEG, ...]} and answers {"clip_score": ...}.
The network is Xception of random weights, which take as long as any.
"""

from __future__ import annotations

import base64
import io
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from flask import Flask, request
from PIL import Image
from werkzeug.serving import make_server


def main() -> None:
    """Serve until told to stop."""
    size = int(sys.argv[1])
    network = keras.applications.Xception(include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")
    classifier = keras.Sequential([network, keras.layers.Dense(1, activation="sigmoid")])
    app = Flask(__name__)

    @app.post("/score")
    def score() -> dict[str, float]:
        pictures = [Image.open(io.BytesIO(base64.b64decode(face))) for face in request.get_json()["faces"]]
        faces = np.stack([np.asarray(picture.resize((size, size))) for picture in pictures]).astype(np.float32)
        return {"clip_score": float(classifier.predict(faces / 127.5 - 1, verbose=0).mean())}

    server = make_server("localhost", 0, app, threaded=True)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
