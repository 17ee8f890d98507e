"""`tfdfd ensemble`: several SavedModels to one that returns the mean of their face probabilities."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import import_tensorflow, make_console, print_table
from tfdfd.commands.flags import CommandParser, add_config_flags, config_from_flags
from tfdfd.evaluation.config import RULE_FIELDS, RuleValues
from tfdfd.serving.versions import newest_version

if TYPE_CHECKING:
    from tfdfd.models.scoring import ScoringRule
    from tfdfd.serving.saved_model import LoadedModel

MEAN_NAMES = ("arithmetic", "geometric")
"""As MEANS, which loads TensorFlow; a test holds them together."""
MIN_SHARE = 1e-6
"""Of the sum of all weights: less is lost in float32, and somebody's slip."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd ensemble`."""
    arguments = _parser().parse_args(argv)
    values = config_from_flags(RuleValues, arguments)
    if len(arguments.models) < 2:
        raise TfdfdError(
            f"an ensemble needs at least two models, got {arguments.models[0]} alone: name another beside it. It "
            "scores as it is (tfdfd score --model), and run_eval.py --save-rule gives it another rule"
        )
    folders = [newest_version(Path(folder)) for folder in arguments.models]
    weights = _weights(arguments.weights, len(folders))
    output = Path(arguments.output)
    _require_folder_of_its_own(output, folders)
    console = make_console()

    import_tensorflow(gpus=0)
    from tfdfd.serving.ensemble import require_different_networks, write_ensemble
    from tfdfd.serving.saved_model import LoadedModel

    models = [LoadedModel(folder) for folder in folders]
    require_different_networks(models)  # before their rules: versions of one network mostly differ in these
    rule = agreed_rule(models, values)
    rows = [
        [model.name, str(model.card().get("backbone", "unknown")), weight / sum(weights), model.rule.temperature]
        for model, weight in zip(models, weights, strict=True)
    ]
    print_table(console, "Members", ["model", "backbone", "weight", "temperature"], rows)
    written = write_ensemble(
        models,
        weights,
        arguments.mean,
        rule,
        folder=output,
        accept_mismatch=arguments.accept_mismatch,
        say=console.print,
    )
    console.print(f"saved {written}: the {arguments.mean} mean of {len(models)} models, rule {rule.to_json()}")
    console.print(
        f"it has no figures yet: run_eval.py --model {output} measures it on clips that no member was trained on"
    )
    return 0


def agreed_rule(models: Sequence[LoadedModel], values: RuleValues) -> ScoringRule:
    """Return the rule of an ensemble: the members', but for what the person sets.

    Its temperature is 1 unless set: those of the members divide their own logits.

    Args:
        models: the members.
        values: what the person sets.

    Raises:
        TfdfdError: if the members differ in something else; names the value of each.
    """
    from tfdfd.evaluation.rule_choice import changed_rule

    differing = []
    for option, field in RULE_FIELDS.items():
        found = {model.name: getattr(model.rule, field) for model in models}
        if field != "temperature" and getattr(values, option) is None and len(set(found.values())) > 1:
            listed = ", ".join(f"{value!r} in {name}" for name, value in found.items())
            differing.append(f"  {field}: {listed} (--{option.replace('_', '-')})")
    if differing:
        raise TfdfdError(
            "the members' scoring rules differ:\n"
            + "\n".join(differing)
            + "\nSay by the flags beside them what the ensemble's is to be"
        )
    return changed_rule(dataclasses.replace(models[0].rule, temperature=1.0), values)


def _weights(given: str | None, count: int) -> list[float]:
    """Read `--weights`: as many numbers above 0 as there are models, commas between; all 1 where it is not given."""
    if given is None:
        return [1.0] * count
    try:
        found = [float(text) for text in given.split(",")]
    except ValueError:
        raise TfdfdError(f"--weights must be numbers with commas between, such as 1,2.5, got {given!r}") from None
    if len(found) != count:
        raise TfdfdError(f"--weights must have one number for each of the {count} models, got {len(found)}: {given!r}")
    if not all(0 < weight < math.inf and weight / sum(found) >= MIN_SHARE for weight in found):
        raise TfdfdError(
            f"--weights must be above 0, finite and at least {MIN_SHARE:g} of their sum each, got {given!r}: leave a "
            "model out that is to count for nothing"
        )
    return found


def _require_folder_of_its_own(output: Path, folders: Sequence[Path]) -> None:
    """Refuse an output in which the ensemble would be taken for another version of something else."""
    if (output / "saved_model.pb").is_file():
        raise TfdfdError(
            f"--output {output} is a version of a model: give a folder saved_models/NAME, versions go into it"
        )
    if members := [folder for folder in folders if folder.resolve().parent == output.resolve()]:
        raise TfdfdError(
            f"--output {output} holds the member {members[0].name}: there the ensemble would be a newer version of it, "
            "give it a folder of its own"
        )


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="tfdfd ensemble", description=__doc__)
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="saved_models/NAME or one of its versions; two or more"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="where the SavedModel goes: saved_models/NAME")
    parser.add_argument(
        "--mean",
        choices=MEAN_NAMES,
        default="arithmetic",
        help="of the probabilities of each face: arithmetic, or geometric, which is the sigmoid of the mean logit and "
        "lets members that are very sure count for more (default: arithmetic)",
    )
    parser.add_argument(
        "--weights", metavar="W,W,...", help="how much each model counts, in their order, e.g. 1,2 (default: all alike)"
    )
    parser.add_argument(
        "--accept-mismatch",
        action="store_true",
        help="go on although the models' crops were made in different ways, print how, and make them as the first's",
    )
    add_config_flags(parser, RuleValues, title="scoring rule, where the models' differ or another is wanted")
    return parser
