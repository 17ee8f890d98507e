"""One exported model, scored on the CPU and on a card."""

from __future__ import annotations

import numpy as np

from tfdfd.commands.gpu_proof.context import NONE, ONE, Context, Figures, require
from tfdfd.commands.gpu_proof.process import part
from tfdfd.commands.gpu_proof.samples import demo_clips

SAME_CROPS = 1e-3
"""By how much face probabilities of the same crops may differ: float32 sums of some thousand numbers in another order
are apart by about 1e-5 in a logit, cuDNN's fast transforms by ten times that."""
SAME_CLIPS = 0.02
"""By how much scores of the same clips may: their crops may differ by a level, see the check of faces."""


def scored_alike(context: Context) -> Figures:
    """Export Xception, and score crops and clips by it in a process with a card and in one without."""
    model = context.folder / "model"
    clips = [str(path) for path in demo_clips(context.data)]
    signatures = part(context, "export_parts:export", str(model), cards=NONE)
    scores = {}
    for kind, cards in (("cpu", NONE), ("card", ONE)):
        scores[kind] = part(context, "export_parts:score", str(model), clips, cards=cards)
    crops, of_clips = (
        float(np.abs(np.array(scores["cpu"][name]) - np.array(scores["card"][name])).max())
        for name in ("face_probabilities", "clip_scores")
    )
    spread = float(np.ptp(scores["cpu"]["face_probabilities"]))
    require(spread > SAME_CROPS, f"the model gives all crops the same probability within {spread:g}: nothing is shown")
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
