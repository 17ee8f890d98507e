"""How well a model of an evaluation tells where faces were altered, or why that cannot be said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import WorkProgress
from tfdfd.commands.scoring import ModelScores
from tfdfd.evaluation.config import EvalConfig

if TYPE_CHECKING:
    from tfdfd.evaluation.regions import Regions


def measured_regions(one: ModelScores, config: EvalConfig, console: Console) -> tuple[Regions | None, str]:
    """Compare what a model calls altered with the masks of its store.

    Args:
        one: the model, and the clips that were scored.
        config: how many clips to look at.
        console: for progress, and the reason where masks are there that cannot be used.

    Returns:
        What was found, None with the reason where nothing can be.
    """
    if not one.model.shows_masks:
        return None, "The network was not trained to tell (run_train.py --segmentation)."
    from tfdfd.data.mask_store import MaskStore
    from tfdfd.evaluation.regions import choose_clips, measure_regions

    folder = one.store.folder
    try:
        masks = MaskStore(one.store)
        if not masks.is_there:
            return None, f"The store has no masks to compare with: tfdfd masks --store {folder} makes them."
        compared = choose_clips(one.scored, masks, config.region_clips)
        with WorkProgress(console, f"regions of {one.name}", "clips", len(compared.clip_rows)) as progress:
            found = measure_regions(
                lambda crops, is_face: one.model.explain(crops, is_face)[1],
                one.scored,
                compared,
                num_replicates=config.replicates,
                on_clips=progress.advance,
            )
    except TfdfdError as error:  # the figures of scores do not hang on it
        console.print(f"{one.name}: altered regions are not compared: {error}", style="yellow")
        return None, f"Not compared: {error}"
    return found, "" if found else "No evaluated fake has a mask that shows something."
