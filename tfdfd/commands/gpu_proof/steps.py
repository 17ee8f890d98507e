"""Training steps of mixed precision under XLA, on one card and on all."""

from __future__ import annotations

from tfdfd.commands.gpu_proof.context import Context, Figures, require
from tfdfd.commands.gpu_proof.process import part

AT_THE_END = 5
APART = 0.02
"""Share by which the losses of one card and of several may differ: their float16 sums are rounded in another order."""


def compared_steps(context: Context) -> Figures:
    """Train the same 30 steps on one replica and on all; the loss falls, and falls alike."""
    batch = 8 * context.num_replicas
    runs = {
        count: part(context.with_cards(count), "step_parts:run_steps", count, batch) for count in context.replica_counts
    }
    losses = {count: run["losses"] for count, run in runs.items()}
    for count, found in losses.items():
        first, last = _mean(found[:AT_THE_END]), _mean(found[-AT_THE_END:])
        require(
            last < 0.7 * first,
            f"{count} replicas: the loss must fall by three tenths, it went {first:.4f} to {last:.4f}",
        )
    one, several = _mean(losses[1]), _mean(losses[context.num_replicas])
    apart = abs(one - several) / one
    require(
        apart <= APART,
        f"mean losses must be within {APART:.0%}: {one:.5f} on one, {several:.5f} on {context.num_replicas}",
    )
    return {
        "replicas": list(runs),
        "steps": len(losses[1]),
        "loss_first": round(losses[1][0], 4),
        "loss_last": round(losses[1][-1], 4),
        "apart": round(apart, 6),
        "scale_before_overflow": runs[context.num_replicas]["scale_before"],
        "scale_after_overflow": runs[context.num_replicas]["scale_after"],
    }


def _mean(losses: list[float]) -> float:
    return sum(losses) / len(losses)
