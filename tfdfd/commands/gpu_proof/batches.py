"""One DALI pipeline a replica: every face once an epoch, with its own label, on the right replica."""

from __future__ import annotations

import math

from tfdfd.commands.gpu_proof.context import Context, Figures, require
from tfdfd.commands.gpu_proof.process import part


def exact_rows(context: Context) -> Figures:
    """Read epochs on one replica and on all; the global batches must be the same faces."""
    counts = sorted({*context.replica_counts, min(2, context.num_replicas)})
    batch = 4 * math.lcm(*counts)
    orders = {count: part(context.with_cards(count), "batch_parts:read_epochs", count, batch) for count in counts}
    require(
        all(order == orders[1] for order in orders.values()),
        f"the faces come in another order for another number of replicas, of {counts}",
    )
    epochs = orders[1]
    require(len({tuple(order) for order in epochs}) == len(epochs) > 1, "two epochs come in the same order")
    return {"replicas": counts, "epochs": len(epochs), "faces_an_epoch": len(epochs[0])}
