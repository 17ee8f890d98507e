"""Count the kernels of a training step that run outside of functions which XLA compiles, in the traced graph.

Each of them is started by the host on its own; a compiled function counts as one. Nothing is run: a CPU will do.

    python benchmarks/step_graph.py                          # Xception, one and two replicas, with and without XLA
    python benchmarks/step_graph.py --backbone convnext_tiny
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import Any

FREE = frozenset(
    ("Const", "Placeholder", "_Arg", "_Retval", "NoOp", "Identity", "IdentityN", "ReadVariableOp", "VarHandleOp")
)
"""What starts nothing on a device."""
_CALLS = {"PartitionedCall": ("f",), "StatefulPartitionedCall": ("f",)}
_BRANCHES = {"If": ("then_branch", "else_branch"), "StatelessIf": ("then_branch", "else_branch")}


def kernels_outside(graph: Any) -> int:
    """Count the operations of a graph that would start a kernel: of two branches the larger, of functions their own.

    Args:
        graph: a tf.Graph, such as `TrainStep.graph` returns.
    """
    functions = {function.signature.name: function for function in graph.as_graph_def().library.function}

    def count(nodes: Any) -> int:
        return sum(count_node(node) for node in nodes)

    def count_node(node: Any) -> int:
        if node.op in FREE:
            return 0
        if node.attr["_XlaMustCompile"].b:
            return 1
        if node.op in _CALLS:
            return count(functions[node.attr["f"].func.name].node_def)
        if node.op in _BRANCHES:
            return 1 + max(count(functions[node.attr[name].func.name].node_def) for name in _BRANCHES[node.op])
        return 1

    return count(graph.as_graph_def().node)


def count_step(backbone: str, num_replicas: int, *, xla: bool) -> int:
    """Trace a step of mixed precision with an average of weights and clipping, on logical CPUs, and count it."""
    import keras
    import tensorflow as tf

    from tfdfd.models.face_classifier import build_face_classifier
    from tfdfd.training.step import make_train_step
    from tfdfd.training.strategy import make_strategy
    from tfdfd.training.weight_average import WeightAverage

    strategy, _ = make_strategy(None, num_replicas)
    size, batch = 96, 2
    with strategy.scope():
        model = build_face_classifier(backbone=backbone, crop_size=size, weights="none", dtype_policy="mixed_float16")
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-4))
        optimizer.build(model.trainable_variables)
    average = WeightAverage(model, 0.99, strategy)
    step = make_train_step(model, optimizer, strategy, batch * num_replicas, clip_norm=1.0, average=average, xla=xla)
    own = (tf.zeros((batch, size, size, 3), tf.uint8), tf.ones(batch), tf.ones(batch), tf.zeros(batch, tf.int32))
    return kernels_outside(
        step.graph(
            tuple(strategy.experimental_distribute_values_from_function(lambda _, part=part: part) for part in own)
        )
    )


def main() -> int:
    """Print a row for each number of replicas; a process holds one strategy, so each count has its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="xception")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--count", choices=("on", "off"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.count:
        print(count_step(arguments.backbone, arguments.replicas[0], xla=arguments.count == "on"))
        return 0
    print(f"{arguments.backbone}, mixed precision, average of weights, clipping: kernels outside compiled functions")
    print(f"{'replicas':>8} {'--xla off':>10} {'--xla on':>10}")
    for number in arguments.replicas:
        counts = []
        for xla in ("off", "on"):
            command = [sys.executable, __file__, "--backbone", arguments.backbone, "--replicas", str(number)]
            counts.append(
                subprocess.run(
                    [*command, "--count", xla],
                    check=True,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
                ).stdout.split()[-1]
            )
        print(f"{number:>8} {counts[0]:>10} {counts[1]:>10}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
