"""A page of an evaluation with made-up figures and painted faces, for the tests of how it looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from tests.stores import frames_of, new_store, track_of, write_clips
from tfdfd.clip import NO_FACE, OK, ClipFaces
from tfdfd.data.store import FaceStore
from tfdfd.reports.detail_charts import IntervalRow, RobustnessLine, RobustnessSeries
from tfdfd.reports.evaluation_shown import (
    BreakDown,
    Calibration,
    Comparison,
    Curves,
    DataShown,
    Difference,
    EvaluationPage,
    Headline,
    HeadlineFigure,
    KeyFigure,
    LeftOut,
    Mistakes,
    MistakeShown,
    ModelShown,
    Notice,
    Robustness,
    RuleGrid,
    Scoring,
)
from tfdfd.reports.faces_explained import explain_clip
from tfdfd.reports.score_charts import PrecisionRecallCurve, ReliabilityBin, RocCurve
from tfdfd.reports.tables_shown import Estimate, Row, Table

SIZE, NUM_PLACES = 64, 17
THRESHOLD = 0.5


def sample_page(folder: Path, *, name: str = "xception", has_pictures: bool = True) -> EvaluationPage:
    """Make a page on which every section has something to show.

    Args:
        folder: a store of painted faces is made there, or read again.
        name: of the model; also part of clip ids, groups, notes and all other text that comes from outside.
        has_pictures: False as for `--no-pictures`.
    """
    labels, scores = _scores(800, apart=3.2, seed=0)
    others = [_scores(800, apart=apart, seed=seed) for seed, apart in ((1, 2.4), (2, 3.4))]
    names = (name, "efficientnet_b1", f"mean of {name} and efficientnet_b1")
    runs = [(labels, scores), *others]
    bins = np.minimum((scores * 15).astype(int), 14)
    return EvaluationPage(
        title=f"How well {name} tells fake from real",
        outcome="It finds 87 of 100 fakes and calls 8 of 100 real clips fake, on 800 clips of people it has never "
        "seen. Had the clips been others of their kind, it would have found between 83 and 91.",
        headline=_headline(name),
        comparison=_comparison(names),
        curves=Curves(
            roc=tuple(
                RocCurve(model, *roc_curve(*run, drop_intermediate=False)[:2], figure="AUC 0.951 [0.932, 0.967]")
                for model, run in zip(names, runs, strict=True)
            ),
            precision_recall=tuple(
                PrecisionRecallCurve(model, *precision_recall_curve(*run)[1::-1], figure="AP 0.948 [0.925, 0.966]")
                for model, run in zip(names, runs, strict=True)
            ),
            base_rate=float(labels.mean()),
            reliability=tuple(
                ReliabilityBin(float(scores[chosen].mean()), float(labels[chosen].mean()), int(chosen.sum()))
                for chosen in (bins == number for number in range(15))
            ),
            real_scores=scores[labels == 0],
            fake_scores=scores[labels == 1],
            threshold=THRESHOLD,
        ),
        break_downs=_break_downs(name),
        scoring=_scoring(name),
        robustness=_robustness(names),
        regions=LeftOut("The network was not trained to tell (run_train.py --segmentation)."),
        mistakes=Mistakes(
            clips=lambda: _mistakes(folder, name, has_pictures),
            num_shown=3,
            order="highest log loss first",
            threshold=THRESHOLD,
            has_pictures=has_pictures,
            heat_note="Grad-CAM of the last convolution. It shows where the network looked, not why it is right.",
        ),
        data=DataShown(
            counts=Table(
                ("folder", "side", "clips", "real", "fake", "no face", "failed"),
                (
                    Row((f"dfdc_train_part_40 {name}", "training", 2410, 402, 2008, 11, 0)),
                    Row(("dfdc_train_part_41", "evaluation", 809, 400, 409, 6, 3)),
                ),
            ),
            num_train_originals=402,
            num_evaluation_originals=301,
            num_in_both=0,
            checks=(
                "Originals are named by the manifest; a fake belongs to the side of its original.",
                f"The fingerprint of {name} is that of the store, value for value.",
            ),
        ),
        model=ModelShown(
            rule={"aggregation": "mean", "over tracks": "max", "no evidence score": "0.5", "threshold": "0.5"},
            preprocessing={"detector": f"mtcnn {name}", "margin": "0.3", "crop_size": "299", "strip codec": "jpeg 95"},
            provenance={"places": "17", "sources": "dfdc", "weights": "0123456789abcdef" * 4},
            versions={"tfdfd": "0.1.0", "tensorflow": "2.21.0", "keras": "3.13.2"},
            command=f"python run_eval.py --data data/dfdc --model saved_models/{name} --val-folders 'part_4?'",
        ),
    )


def painted_face(place: int, *, size: int = SIZE) -> np.ndarray:
    """Paint something like a face, never a person's: uint8 RGB, shape (size, size, 3)."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    picture = np.stack([90 + 60 * y, 110 + 60 * x, 130 - 50 * y], axis=-1)
    lean = 0.04 * np.sin(place / 3)
    picture[((x - lean) / 0.3) ** 2 + (y / 0.4) ** 2 < 1] = (205, 165, 140)
    for side in (-0.12, 0.12):
        picture[(x - lean - side) ** 2 + (y + 0.08) ** 2 < 0.0016] = (40, 40, 50)
    picture[((x - lean) / 0.1) ** 2 + ((y - 0.2) / 0.03) ** 2 < 1] = (150, 60, 60)
    return picture.clip(0, 255).astype(np.uint8)


def painted_heat(place: int) -> np.ndarray:
    """Return a heat map whose left pushes towards real and whose mouth pushes towards fake: float32, shape (10, 10)."""
    y, x = np.mgrid[:10, :10] / 9 - 0.5
    towards_fake = np.exp(-((x / 0.2) ** 2) - ((y - 0.2) / 0.12) ** 2)
    towards_real = 0.8 * np.exp(-(((x + 0.25) / 0.15) ** 2) - ((y + 0.1) / 0.2) ** 2)
    return ((1 - 0.03 * place) * towards_fake - towards_real).astype(np.float32)


def _scores(count: int, *, apart: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return labels, 1 / (1 + np.exp(-1.4 * (rng.normal(size=count) + apart * (labels - 0.5))))


def _around(value: float, half: float = 0.02, **shown: bool) -> Estimate:
    return Estimate(value, value - half, value + half, **shown)


def _headline(name: str) -> Headline:
    return Headline(
        columns=(
            ("all clips", "809: 400 real, 409 fake, of 301 originals"),
            ("clips with faces", "800: 397 real, 403 fake, of 299 originals"),
            ("faces", "13,412 of 301 originals"),
        ),
        figures=(
            HeadlineFigure("AUC", "Chance that a fake is scored above a real clip. 0.5 is guessing, 1 is perfect.",
                           (_around(0.951), _around(0.955), _around(0.902))),
            HeadlineFigure("log loss", f"Price of wrong and overconfident scores of {name}. Lower is better.",
                           (_around(0.284), _around(0.277), Estimate(0.391))),
            HeadlineFigure("equal error rate", "Where as many real clips are called fake as fakes are missed.",
                           (_around(0.112), _around(0.109), Estimate(None))),
        ),
        interval_note="In brackets: 95 % intervals by 1,000 draws of originals, each with all its fakes.",
        key_figures=(
            KeyFigure("fakes found", _around(0.87, 0.04, is_share=True), "Share of the fakes scored 0.5 or more."),
            KeyFigure("false alarms", _around(0.08, 0.03, is_share=True), "Share of the real clips called fake."),
            KeyFigure("AUC", _around(0.951), "0.5 is guessing, 1 is perfect."),
            KeyFigure("log loss", _around(0.284), "0.693 is guessing, 0 is perfect."),
        ),
        notices=(
            Notice("809 clips: 400 real and 409 fake, of 301 originals."),
            Notice(f"6 clips show no face and are scored 0.5; {name}", is_warning=True),
            Notice("3 clips failed and are scored 0.5.", is_warning=True),
        ),
    )  # fmt: skip


def _comparison(names: tuple[str, ...]) -> Comparison:
    figures = zip(names, (0.284, 0.33, 0.262), (0.951, 0.93, 0.957), strict=True)
    rows = tuple(
        Row((model, _around(loss), _around(loss + 0.01), _around(auc)), is_marked=number == 2)
        for number, (model, loss, auc) in enumerate(figures)
    )
    return Comparison(
        Table(("model", "log loss", "balanced log loss", "AUC"), rows, note="Marked: best log loss."),
        differences=(
            Difference(names[0], names[1], "AUC", Estimate(0.021, 0.004, 0.038, is_difference=True), p_value=0.0002),
            Difference(names[0], names[2], "AUC", Estimate(-0.006, -0.013, 0.002, is_difference=True), p_value=0.131),
            Difference(names[0], names[2], "log loss", Estimate(0.022, 0.009, 0.034, is_difference=True)),
        ),
        note="Both models are scored on the same draws of originals.",
    )


def _break_downs(name: str) -> tuple[BreakDown, ...]:
    groups = (
        IntervalRow("dfdc_train_part_41", "412 clips", 0.96, 0.93, 0.98),
        IntervalRow(f"a folder with a name much longer than a row of a chart on a phone {name}", "301 clips",
                    0.94, 0.90, 0.97),
        IntervalRow("dfdc_train_part_43", "93 clips", 0.89, 0.80, 0.96),
        IntervalRow("dfdc_train_part_44", "3 clips", None),
    )  # fmt: skip
    rows = tuple(
        Row((group.name, int(group.count_text.split()[0]), Estimate(group.value, group.low, group.high), _around(0.3)))
        for group in groups
    )
    table = Table(("folder", "clips", "AUC", "log loss"), rows)
    return (
        BreakDown("folder", "AUC", groups, 0.951, table, note="Too few: fewer than 10 clips, or all of one label."),
        BreakDown("compression", "AUC", groups[:1], 0.951, Table(table.header, rows[:1])),
    )


def _scoring(name: str) -> Scoring:
    aggregations, track_rules = ("mean", "median", "logit_mean", "confident"), ("mean", "max", "main", "noisy_or")
    grid = tuple(
        tuple(_around(0.28 + 0.01 * row + 0.02 * column) for column in range(len(track_rules)))
        for row in range(len(aggregations))
    )
    return Scoring(
        rule_in_words="The score of a track is the mean of its face probabilities; the score of a clip that of its "
        f"highest track ({name}). A clip without a face is scored 0.5.",
        grids=(RuleGrid("log loss, lower is better", aggregations, track_rules, grid, ("mean", "max")),),
        calibration=Calibration(
            temperature=1.374,
            threshold=THRESHOLD,
            fitted_on=f"dfdc_train_part_39, 640 clips, by {name}",
            before_after=Table(
                ("figure", "before", "after"),
                (
                    Row(("log loss", Estimate(0.331), Estimate(0.284))),
                    Row(("expected calibration error", Estimate(0.081), Estimate(0.024))),
                ),
            ),
        ),
    )


def _robustness(names: tuple[str, ...]) -> Robustness:
    kinds = {
        "JPEG quality": ("none", "90", "70", "50", "30", "10"),
        "shorter side in pixels": ("none", "720", "480", "360", "240", "120"),
        "blur, sigma in pixels": ("none", "0.5", "1", "2", "3", "4"),
    }
    falls = np.array([0, 0.004, 0.012, 0.04, 0.09, 0.19])
    series = tuple(
        RobustnessSeries(
            kind,
            levels,
            tuple(
                RobustnessLine(
                    model,
                    tuple((top - (1 + number / 3) * falls).tolist()),
                    tuple((top - 0.02 - (1 + number / 3) * falls).tolist()),
                    tuple((top + 0.02 - (1 + number / 3) * falls).tolist()),
                )
                for model, top in zip(names[:2], (0.951, 0.93), strict=True)
            ),
        )
        for number, (kind, levels) in enumerate(kinds.items())
    )
    rows = tuple(
        Row((entry.name, *(Estimate(value) for value in entry.lines[0].values if value is not None)))
        for entry in series
    )
    return Robustness("AUC", series, Table(("disturbance", "none", "1", "2", "3", "4", "5"), rows))


def _sample_store(folder: Path, name: str) -> FaceStore:
    if folder.exists():
        return FaceStore.open(folder)
    store = new_store(folder, num_places=NUM_PLACES, crop_size=SIZE)
    whole, gaps = track_of((True,) * NUM_PLACES), track_of([place % 5 != 3 for place in range(NUM_PLACES)])
    late = track_of([place > 8 for place in range(NUM_PLACES)], box=(300, 100, 340, 160))
    frames = frames_of(num_frames=300, indices=tuple(range(9, 300, 17))[:NUM_PLACES])
    faces = np.stack([painted_face(place) for place in range(NUM_PLACES)])
    clips = [
        ClipFaces(
            clip_id,
            OK,
            tracks=tracks,
            crops=tuple(np.where(track.is_face[:, None, None, None], faces, 0).astype(np.uint8) for track in tracks),
            frames=frames,
        )
        for clip_id, tracks in ((f"part_41/aaqaifqrwn {name}", (whole, late)), (f"part_41/{name}", (gaps,)))
    ]
    nobody = ClipFaces("part_41/nobody", NO_FACE, "no face in 17 frames", frames=frames)
    write_clips(store, [*clips, nobody], [(clip.clip_id, 1, "") for clip in [*clips, nobody]])
    return store


def _mistakes(folder: Path, name: str, has_pictures: bool) -> Iterator[MistakeShown]:
    store = _sample_store(folder, name)
    rng = np.random.default_rng(3)
    for clip_id, label, score, what in (
        (f"part_41/aaqaifqrwn {name}", "real", 0.973, "Called fake, and surely: 17 of 17 faces say so."),
        (f"part_41/{name}", "fake", 0.031, "Missed: no face is above the threshold."),
        ("part_41/nobody", "fake", 0.5, "No face was found, so it was scored 0.5."),
    ):
        clip = store.record(clip_id)
        assert clip is not None
        tracks = len(clip["tracks"])
        yield explain_clip(
            store,
            clip,
            label=label,
            score=score,
            what=what,
            probabilities=[np.clip(score + rng.normal(0, 0.05, NUM_PLACES) - 0.5 * n, 0, 1) for n in range(tracks)],
            heats=[np.stack([painted_heat(place) for place in range(NUM_PLACES)])] * tracks,
            has_pictures=has_pictures,
        )
