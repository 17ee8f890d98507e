"""What the ingredients of the recipes bring: short trainings of equal compute on ready-made DFDC face crops.

    python benchmarks/recipes.py --faces data/faces/dfdc --weights xception.weights.h5 --work WORK [--only NAME ...]
    python benchmarks/recipes.py --faces data/faces/dfdc --work WORK --show

Each run trains Xception on the same 2,000 faces (1,000 originals and a fake of each) of parts 0 to 32: eight epochs of
as many steps as show each face once, none stopped early. Parts 33 and 34 choose its best epoch; parts 35 to 39, which
no training has seen, judge it. `plain` and `winning` are run with three seeds, either with one thing changed mostly
with one. A run is `run_train.py` and `run_eval.py` as a person would call them. Kill it at any moment: the same command
goes on. Finished runs stand in --results with the scores of the judging clips, in the order of their names.

The table has log loss and AUC of the judged clips, means over seeds, and the differences from plain with their 95 %
intervals: originals are drawn with their fakes, and the seeds of either side too where there are several. An interval
of a row with one seed therefore holds nothing of how runs differ by themselves.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from tfdfd.evaluation.intervals import bootstrap_figures
from tfdfd.evaluation.metrics import METRICS, FigureSettings
from tfdfd.evaluation.ranked_scores import RankedScores

HERE = Path(__file__).parent
RESULTS = HERE / "recipes.json"
PAIRS, EPOCHS, INPUT_SIZE, BATCH, DRAWS, AREA_DRAWS = 1000, 8, 112, 32, 2000, 500
MARGIN = "-0.12"
"""The crops were cut at 0.88 of MTCNN's box side."""
CHOOSING = ("dfdc_train_part_33", "dfdc_train_part_34")
JUDGING = tuple(f"dfdc_train_part_{part}" for part in range(35, 40))

INGREDIENTS: dict[str, tuple[str, ...]] = {
    # Those of the winning recipe, as it has them.
    "MixUp": ("--mixup", "0.5"),
    "fitted temperature": ("--fit-temperature",),
    "paired": ("--balance", "paired"),
    "moved, recoloured, JPEG": ("--move", "1", "--colour", "0.5", "--jpeg", "0.2"),
    "averaged weights": ("--ema-momentum", "0.999"),
    "one cosine with warm-up": ("--schedule", "cosine", "--warmup-epochs", "1"),
    "AdamW": ("--optimizer", "adamw"),
    "label smoothing": ("--label-smoothing", "0.05"),
    "cut-outs": ("--cutout", "0.3"),
    "clipping": ("--clip-norm", "1"),
    # Others.
    "blurred, shrunk, noisy": ("--blur", "0.1", "--downscale", "0.2", "--noise", "0.1"),
    "self-blended beside given": ("--fakes", "both"),
    "CutMix": ("--cutmix", "0.5"),
    "hidden layer": ("--hidden-size", "512"),
    "dropout 0.5": ("--dropout", "0.5"),
}
"""What is added to plain, one at a time."""
WITHOUT: dict[str, tuple[str, ...]] = {
    "winning, not paired": ("--balance", "weights"),
    "winning, no MixUp": ("--mixup", "0"),
}
"""What is taken away from winning, one at a time."""
SEEDED: dict[str, tuple[str, ...]] = {
    "plain": (),
    "winning": ("--recipe", "winning"),
    # What winning was before three seeds of either were compared.
    "winning, dropout 0.5": ("--recipe", "winning", "--dropout", "0.5"),
}
"""What is run with several seeds."""


def runs_of(seeds: int) -> dict[str, tuple[str, ...]]:
    """Return every run by its name, the most telling first: flags of run_train.py."""
    runs = {f"{name}/{seed}": (*flags, "--seed", str(seed)) for seed in range(seeds) for name, flags in SEEDED.items()}
    runs |= {f"{name}/0": ("--recipe", "winning", *flags) for name, flags in WITHOUT.items()}
    return runs | {f"{name}/0": flags for name, flags in INGREDIENTS.items()}


def write_data(faces: Path, work: Path) -> None:
    """Write lists of the faces to train on and of those that judge, beside links to the crops."""
    table = pd.read_csv(faces / "faces.csv", dtype=str, keep_default_na=False)
    is_judging, is_choosing = table["folder"].isin(JUDGING), table["folder"].isin(CHOOSING)
    fakes = table[~is_judging & ~is_choosing & (table["label"] == "FAKE")]
    fakes = fakes[fakes["original"].isin(table["clip_id"])].drop_duplicates("original")
    fakes = fakes.sample(PAIRS, random_state=0)
    is_training = table["clip_id"].isin(fakes["clip_id"]) | table["clip_id"].isin(fakes["original"])
    for name, rows in (("training", table[is_training | is_choosing]), ("judging", table[is_judging])):
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        for part in rows["folder"].unique():
            if not (folder / part).exists():
                (folder / part).symlink_to((faces / part).resolve())
        rows.to_csv(folder / "faces.csv", index=False)


def train_and_judge(name: str, flags: tuple[str, ...], arguments: argparse.Namespace) -> dict:
    """Train one run, or go on with it, and return the scores of the judging clips in the order of their ids."""
    work, key = arguments.work, name.replace("/", "-").replace(" ", "-")
    common = ["--crop-margin", MARGIN]
    train = [
        *(sys.executable, str(HERE.parent / "run_train.py"), "--data", str(work / "training"), *common),
        *("--store", str(work / "stores" / "training"), "--val-folders", ",".join(CHOOSING)),
        *("--input-size", str(INPUT_SIZE), "--weights", str(arguments.weights), "--epochs", str(EPOCHS)),
        *("--batch-size", str(BATCH), "--steps-per-epoch", str(-(-2 * PAIRS // BATCH))),
        *("--patience", str(EPOCHS)),  # early stopping would spare some their last epochs
        *("--run-folder", str(work / "runs" / key), "--output", str(work / "models" / key), *flags),
    ]
    evaluate = [
        *(sys.executable, str(HERE.parent / "run_eval.py"), "--data", str(work / "judging"), *common),
        *("--store", str(work / "stores" / "judging"), "--model", str(work / "models" / key)),
        *("--report", str(work / "reports" / key), "--no-pictures"),
    ]
    began = time.monotonic()
    for command in (train, evaluate):
        done = subprocess.run(
            command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{name}: exit {done.returncode}\n{done.stdout[-3000:]}")
    table = pd.read_csv(work / "reports" / key / "scores.csv", dtype={"clip_id": str}).sort_values("clip_id")
    shutil.rmtree(work / "reports" / key)
    settings = tomllib.loads((work / "runs" / key / "config.toml").read_text())
    settings["training"]["weights"] = "imagenet"  # wherever the file lies
    return {
        "flags": list(flags),
        "settings": {name: settings[name] for name in ("training", "degradation")},
        "seconds": round(time.monotonic() - began),
        "scores": table["clip_score"].round(5).tolist(),
    }


def text_of(results: dict[str, dict]) -> str:
    """Return JSON with a line a run, so that a new run is a new line."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(run)}" for name, run in results.items()) + "\n}\n"


def show(results: dict[str, dict], faces: Path) -> None:
    """Print the table of all finished runs."""
    table = pd.read_csv(faces / "faces.csv", dtype=str, keep_default_na=False)
    table = table[table["folder"].isin(JUDGING)].sort_values("clip_id", ignore_index=True)
    is_fake = (table["label"] == "FAKE").to_numpy()
    groups = np.unique(
        table["original"].where(is_fake & (table["original"] != ""), table["clip_id"]), return_inverse=True
    )[1]
    losses: dict[str, list[np.ndarray]] = {}
    scores: dict[str, list[np.ndarray]] = {}
    areas: dict[str, list[float]] = {}
    for run, result in results.items():
        of_run = np.array(result["scores"]).clip(1e-7, 1 - 1e-7)
        name = run.split("/")[0]
        scores.setdefault(name, []).append(of_run)
        losses.setdefault(name, []).append(-np.log(np.where(is_fake, of_run, 1 - of_run)))
        areas.setdefault(name, []).append(float(roc_auc_score(is_fake, of_run)))
    print(f"{len(table)} judging clips, {is_fake.sum()} fake; {2 * PAIRS} faces, {EPOCHS} epochs, {INPUT_SIZE} px")
    header = f"{'log loss less plain':>28}{'of plain':>10}{'AUC less plain':>28}"
    print(f"{'':28}{'seeds':>6}{'log loss':>10}{'AUC':>8}{header}")
    for name, of_seeds in losses.items():
        line = f"{name:28}{len(of_seeds):6}{np.mean(of_seeds):10.4f}{np.mean(areas[name]):8.4f}"
        if name != "plain":
            mean, plain = np.mean(of_seeds), np.mean(losses["plain"])
            low, high = loss_interval(of_seeds, losses["plain"], groups)
            line += f"{f'{mean - plain:+.4f} [{low:+.4f}, {high:+.4f}]':>28}{mean / plain:10.3f}"
            low, high = area_interval(scores[name], scores["plain"], is_fake, groups)
            more = np.mean(areas[name]) - np.mean(areas["plain"])
            line += f"{f'{more:+.4f} [{low:+.4f}, {high:+.4f}]':>28}"
        print(line)


def loss_interval(ours: list[np.ndarray], plain: list[np.ndarray], groups: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the difference in mean loss, drawing seeds of either side, and originals."""
    rng = np.random.default_rng(0)
    sizes = np.bincount(groups)
    sums = [np.stack([np.bincount(groups, loss) for loss in losses]) for losses in (ours, plain)]
    differences = []
    for _ in range(DRAWS):
        drawn = rng.integers(0, len(sizes), len(sizes))
        of_sides = [side[rng.integers(0, len(side), len(side))].mean(axis=0)[drawn].sum() for side in sums]
        differences.append((of_sides[0] - of_sides[1]) / sizes[drawn].sum())
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def area_interval(
    ours: list[np.ndarray], plain: list[np.ndarray], is_fake: np.ndarray, groups: np.ndarray
) -> tuple[float, float]:
    """Return the same of the difference in AUC, from scores."""
    ranked = [RankedScores(is_fake.astype(int), scores, groups, FigureSettings()) for scores in (*ours, *plain)]
    areas = bootstrap_figures(ranked, num_replicates=AREA_DRAWS, seed=0)[:, :, list(METRICS).index("auc")]
    rng = np.random.default_rng(0)
    ours_drawn = rng.integers(0, len(ours), (AREA_DRAWS, len(ours)))
    plain_drawn = len(ours) + rng.integers(0, len(plain), (AREA_DRAWS, len(plain)))
    of_sides = [np.take_along_axis(areas, drawn, axis=1).mean(axis=1) for drawn in (ours_drawn, plain_drawn)]
    low, high = np.quantile(of_sides[0] - of_sides[1], [0.025, 0.975])
    return float(low), float(high)


def main() -> int:
    """Run what is not done yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of ready-made crops with faces.csv")
    parser.add_argument("--weights", help="ImageNet weights of Xception without its top; default: downloaded")
    parser.add_argument("--work", type=Path, required=True, help="gets stores, runs and models")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"finished runs (default: {RESULTS.name})")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of the table, e.g. plain winning AdamW")
    parser.add_argument("--seeds", type=int, default=3, help=f"seeds of {'; '.join(SEEDED)}")
    parser.add_argument("--show", action="store_true", help="print the table of what is done, run nothing")
    arguments = parser.parse_args()
    arguments.work = arguments.work.resolve()
    arguments.weights = Path(arguments.weights).resolve() if arguments.weights else "imagenet"
    arguments.work.mkdir(parents=True, exist_ok=True)
    file = arguments.results
    results = json.loads(file.read_text()) if file.is_file() else {}
    if not arguments.show:
        write_data(arguments.faces, arguments.work)
        for name, flags in runs_of(arguments.seeds).items():
            is_asked = not arguments.only or name.split("/")[0] in arguments.only
            if name in results or not is_asked:
                continue
            results[name] = train_and_judge(name, flags, arguments)
            file.with_suffix(".new").write_text(text_of(results))
            file.with_suffix(".new").replace(file)
            print(f"{name}: {results[name]['seconds']} s", flush=True)
    if not any(name.startswith("plain/") for name in results):
        print("no plain run is done yet")
        return 1
    show(results, arguments.faces)
    return 0


if __name__ == "__main__":
    sys.exit(main())
