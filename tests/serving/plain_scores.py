"""Answers requests by a SavedModel with TensorFlow and NumPy alone; run by any Python that has them.

python -I plain_scores.py MODEL REQUESTS.npz ANSWERS.npz     arrays called <signature>/<input or output>
python -I plain_scores.py MODEL --ops                        the ops in the graph as JSON, and which of them are unknown
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf


def answer(model: str, requests: str, answers: str) -> None:
    """Answer what is asked, one call a signature."""
    signatures = tf.saved_model.load(model).signatures
    inputs: dict[str, dict[str, tf.Tensor]] = {}
    for path, value in np.load(requests, allow_pickle=True).items():
        name, key = path.split("/")
        inputs.setdefault(name, {})[key] = tf.constant(value if value.dtype != object else value.tolist())
    found = {
        f"{name}/{key}": value.numpy()
        for name, given in inputs.items()
        for key, value in signatures[name](**given).items()
    }
    np.savez(answers, version=tf.__version__, **found)


def list_ops(model: str) -> None:
    """Print the ops of all graphs, and those that this TensorFlow does not know."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tensorflow.python.framework import op_def_registry

    graph = SavedModel.FromString((Path(model) / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    functions = {function.signature.name for function in graph.library.function}
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    ops = sorted({node.op for node in nodes} - functions)
    unknown = [op for op in ops if op_def_registry.get(op) is None]
    print(json.dumps({"version": tf.__version__, "ops": ops, "unknown": unknown}))


if __name__ == "__main__":
    if sys.argv[2] == "--ops":
        list_ops(sys.argv[1])
    else:
        answer(*sys.argv[1:4])
    ours = [name for name in sys.modules if name.partition(".")[0] in ("tfdfd", "pipelines", "keras_cv", "mtcnn")]
    if ours:
        sys.exit(f"not plain TensorFlow: {ours}")
