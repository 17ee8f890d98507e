"""One exported model, scored on the CPU and on a card."""

from __future__ import annotations

import numpy as np

from tfdfd.commands.gpu_proof.context import NONE, ONE, Context, Figures, require
from tfdfd.commands.gpu_proof.process import part
from tfdfd.commands.gpu_proof.samples import demo_clips

SAME_CROPS = 2e-4
"""By how much face probabilities of the same crops may differ: float32 sums of some thousand numbers in another order
are apart by 1e-6 (measured between oneDNN's kernels and Eigen's), by cuDNN's fast transforms by some 1e-5. TF32, which
scoring must not use, rounds each product to 5e-4."""
SAME_CLIPS = 0.02
"""By how much scores of the same clips may: their crops may differ by a level, see the check of faces."""


def scored_alike(context: Context) -> Figures:
    """Export Xception, and score crops and clips by it in a process with a card and in one without."""
    model = context.folder / "model"
    clips = [str(path) for path in demo_clips(context.data)]
    signatures = part(context, "export_parts:export", str(model), cards=NONE)
    scores = {}
    # A dry run's second time is by other kernels, which add in another order.
    other_kernels = {"TF_ENABLE_ONEDNN_OPTS": "0"} if context.is_dry else {}
    for kind, cards, env in (("cpu", NONE, {}), ("card", ONE, other_kernels)):
        scores[kind] = part(context, "export_parts:score", str(model), clips, cards=cards, env=env)
    crops, of_clips = (
        float(np.abs(np.array(scores["cpu"][name]) - np.array(scores["card"][name])).max())
        for name in ("face_probabilities", "clip_scores")
    )
    spread = float(np.ptp(scores["cpu"]["face_probabilities"]))
    require(spread > 100 * SAME_CROPS, f"all crops have the same probability within {spread:g}: nothing is shown")
    require(crops <= SAME_CROPS, f"face probabilities of the same crops differ by {crops:g}, at most {SAME_CROPS:g}")
    require(of_clips <= SAME_CLIPS, f"scores of the same clips differ by {of_clips:g}, at most {SAME_CLIPS:g}")
    return {
        "signatures": signatures,
        "crops_apart": round(crops, 7),
        "clips_apart": round(of_clips, 7),
        "spread_of_crops": round(spread, 4),
        "seconds_a_clip_cpu": scores["cpu"]["seconds_a_clip"],
        "seconds_a_clip_card": scores["card"]["seconds_a_clip"],
    }
