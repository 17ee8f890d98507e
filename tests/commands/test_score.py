"""`tfdfd score`: what it prints and where its pictures go, with a scorer whose answers are known."""

import dataclasses
import json
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from tests.reports.scored_clip_samples import clip, track
from tests.run_commands import run
from tests.video_files import write_video
from tfdfd.commands import local_scoring, score
from tfdfd.commands.console import run_command
from tfdfd.commands.score import main
from tfdfd.models.scoring import ScoringRule
from tfdfd.scored_clip import FAILED, PARTIAL, WEAK, ScoredClip

SCORER = SimpleNamespace(model=SimpleNamespace(rule=ScoringRule(), folder="saved_models/fake/1", name="fake/1"))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", width=128, height=96)


@pytest.fixture
def folder(video, tmp_path, monkeypatch):
    """A folder with two clips and one that is broken."""
    monkeypatch.chdir(tmp_path)
    for name in ("clips/a.mp4", "clips/inner/a.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, tmp_path / name)
    (tmp_path / "clips/broken.mp4").write_text("")
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """What the scorer was made with and asked for."""
    asked = {}

    def score_all(paths):
        for path in paths:
            asked.setdefault("paths", []).append(str(path))
            if path.name.startswith("broken"):
                yield ScoredClip(str(path), FAILED, "the file is empty")
            else:
                scored = clip([(0, 0.8, [track([0.2, 0.6], [0.6, 0.8], box=(40, 30, 80, 80))])], path=str(path))
                yield scored

    def begin(paths, folder, console, **options):
        asked.update(options, model=folder)
        return SCORER, score_all(paths)

    monkeypatch.setattr(local_scoring, "begin_scoring", begin)
    return asked


def said(capfd, *argv, status=0):
    assert run_command(main, list(map(str, argv))) == status
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return out, err


def test_a_folder_is_a_table_with_every_clip(folder, asked, capfd):
    out, _ = said(capfd, "clips")
    assert asked["paths"] == ["clips/a.mp4", "clips/broken.mp4", "clips/inner/a.mp4"]
    rows = [line.split("│")[1:-1] for line in out.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["clips/a.mp4", "0.7000", "fake", "ok", "2 of 2", "0.0", ""],
        ["clips/broken.mp4", "-", "not scored", "failed", "-", "0.0", "the file is empty"],
        ["clips/inner/a.mp4", "0.7000", "fake", "ok", "2 of 2", "0.0", ""],
    ]
    assert "saved_models/fake/1" in out


def test_json_is_one_line_a_clip_and_nothing_else_on_stdout(folder, asked, capfd):
    out, err = said(capfd, "clips/*.mp4", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["path"], line["status"]) for line in lines] == [("clips/a.mp4", "ok"), ("clips/broken.mp4", "failed")]
    assert lines[0]["clip_score"] == pytest.approx(0.7)
    assert (lines[0]["num_places"], lines[0]["num_places_with_face"]) == (2, 2)
    assert lines[0]["windows"][0]["turned_degrees"] == 0
    (face, _) = lines[0]["windows"][0]["tracks"][0]["faces"]
    assert face == {"seconds": 0.2, "box": [40, 30, 80, 80], "fake_probability": pytest.approx(0.6)}
    assert lines[1] | {"took_seconds": 0} == {
        "path": "clips/broken.mp4",
        "status": "failed",
        "reason": "the file is empty",
        "clip_score": None,
        "is_fake": None,
        "max_score": None,
        "num_places": 0,
        "num_places_with_face": 0,
        "took_seconds": 0,
        "warnings": [],
        "windows": [],
        "model": "fake/1",
        "threshold": 0.5,
    }
    assert "scoring" in err


def test_each_line_comes_as_soon_as_its_clip_is_done(folder, asked, capfd, monkeypatch):
    printed = []
    monkeypatch.setattr("builtins.print", lambda *texts, **_: printed.append(texts) if texts[0][0] == "{" else None)

    def score_all(paths):
        for number, path in enumerate(paths):
            assert len(printed) == number
            yield ScoredClip(str(path), FAILED, "as planned")

    monkeypatch.setattr(local_scoring, "begin_scoring", lambda paths, *_, **__: (SCORER, score_all(paths)))
    said(capfd, "clips", "--json", status=1)
    assert len(printed) == 3


def test_what_was_left_out_is_announced(folder, asked, capfd, monkeypatch):
    done = clip([(0, 1, [track([0.5], [0.2])])])
    partial = ScoredClip("a.mp4", PARTIAL, "time for 3 of 17 frames", 0.2, False, None, done.windows, 1.0, ("HDR",))
    monkeypatch.setattr(local_scoring, "begin_scoring", lambda *_, **__: (SCORER, iter([partial])))
    out, err = said(capfd, "clips/a.mp4", "--time-limit", "2")
    assert "partial: a.mp4: time for 3 of 17 frames" in out
    assert "warning: a.mp4: HDR" in out
    assert "1 of 1 clip has warnings" in err


def test_weak_evidence_stands_in_the_table_and_below_it_and_is_scored(folder, asked, capfd, monkeypatch):
    few = clip([(0, 1, [track([0.1, 0.3, 0.5, 0.7], [0.9, None, None, None])])], path="a.mp4")
    weak = dataclasses.replace(few, status=WEAK, reason="weak evidence: a face at 1 of 4 places")
    monkeypatch.setattr(local_scoring, "begin_scoring", lambda *_, **__: (SCORER, iter([weak])))
    out, err = said(capfd, "clips/a.mp4")
    (row,) = [line.split("│")[1:-1] for line in out.splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in row[:5]] == ["a.mp4", "0.9000", "fake?", "weak_evidence", "1 of 4"]
    assert "a face at 1 of 4 places" in out
    assert "1 of 1" in err
    assert "weak evidence" in err


def test_options_reach_the_scorer(folder, asked, capfd):
    said(capfd, "clips/a.mp4", "--model", "saved_models/x", "--time-limit", "8", "--accept-mismatch")
    assert str(asked["model"]) == "saved_models/x"
    assert (asked["time_limit_seconds"], asked["accept_mismatch"], asked["keep_crops"]) == (8, True, False)
    said(capfd, "clips/a.mp4", "--plot", "a.png")
    assert (asked["model"], asked["time_limit_seconds"], asked["keep_crops"]) == (None, None, True)


def test_where_no_clip_could_be_scored_the_status_is_1(folder, asked, capfd):
    said(capfd, "clips/broken.mp4", status=1)


def test_one_clip_is_drawn_into_files_and_several_into_folders(folder, asked, capfd):
    out, _ = said(capfd, "clips/a.mp4", "--annotate", "seen/one.mp4", "--plot", "seen/one.png")
    assert out.count("wrote seen/one") == 2
    assert sorted(path.name for path in (folder / "seen").iterdir()) == ["one.mp4", "one.png"]
    out, _ = said(capfd, "clips", "--annotate", "videos", "--plot", "plots/")
    assert sorted(path.name for path in (folder / "videos").iterdir()) == ["a.mp4", "a_2.mp4"]
    assert sorted(path.name for path in (folder / "plots").iterdir()) == ["a.png", "a_2.png"]
    assert "nothing to draw, so no videos/broken.mp4 (the file is empty)" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["gone.mp4"], "gone.mp4: no such file"),
        (["clips", "--annotate", "one.mp4"], "one file for 3 clips"),
        (["clips/a.mp4", "--annotate", "one.avi"], "--annotate writes a .mp4 file"),
        (["clips/a.mp4", "--plot", "one.jpg"], "--plot writes a .png file"),
        (["clips/a.mp4", "--annotate", "clips/a.mp4"], "would write over"),
        (["clips", "--annotate", "clips"], "would write over"),
        (["clips/a.mp4", "--plot", "clips/broken.mp4/x.png"], "cannot write to clips/broken.mp4: it is a file"),
        (["clips/a.mp4", "--plot", "clips/broken.mp4/a/"], "cannot write to clips/broken.mp4/a: /"),
        *(
            (
                ["clips/a.mp4", "--time-limit", limit],
                f"--time-limit must be a finite number of seconds above 0, got {limit}",
            )
            for limit in ("0", "nan", "inf")
        ),
        (["clips/a.mp4", "--server", "h:1", "--server-model", "m", "--model", "x"], "--model is on this machine"),
        (["clips/a.mp4", "--server", "h:1", "--server-model", "m", "--time-limit", "8"], "--time-limit needs"),
        (["clips/a.mp4", "--server-model", "m"], "--server"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(options, message, folder, asked, capfd):
    _, err = said(capfd, *options, status=1)
    assert message in err
    assert asked == {}


def test_what_is_scored_before_an_interruption_is_printed(folder, asked, capfd, monkeypatch):
    def score_all(paths):
        yield clip([(0, 0.8, [track([0.2], [0.6])])], path=str(paths[0]))
        raise KeyboardInterrupt

    monkeypatch.setattr(local_scoring, "begin_scoring", lambda paths, *_, **__: (SCORER, score_all(paths)))
    out, err = said(capfd, "clips", status=130)
    assert "clips/a.mp4" in out
    assert "1 of 3 clips are done, the others are not scored" in err
    assert "goes on from there" not in err


def test_the_number_of_failed_clips_is_the_last_line_on_stderr(folder, asked, capfd):
    for options in ([], ["--json"]):
        _, err = said(capfd, "clips", *options)
        assert err.splitlines()[-1] == "1 of 3 clips failed"


def test_a_path_of_any_length_stands_whole_on_its_line_of_a_file(folder, asked, capfd):
    path = "/".join(["clips", *["x" * 200] * 3, "a.mp4"])
    (folder / path).parent.mkdir(parents=True)
    shutil.copy(folder / "clips/a.mp4", folder / path)
    out, _ = said(capfd, path)
    (row,) = (line for line in out.splitlines() if path in line)
    assert "0.7000" in row


def test_a_run_that_fails_leaves_no_empty_folders(folder, capfd):
    said(capfd, "clips", "--plot", "plots/", "--annotate", "videos", "--model", "gone", status=1)
    assert not (folder / "plots").exists()
    assert not (folder / "videos").exists()


def test_the_rule_of_a_server_is_fetched_without_the_notices_of_tensorflow(folder, capfd, monkeypatch):
    steps = []

    class Model:
        target, name, threshold = "the model", "m/3", 0.5

        @property
        def rule(self):
            steps.append("rule")
            return ScoringRule()

    class Client:
        model, warning = Model(), ""

        def score_all(self, paths):
            assert steps == []
            yield clip([(0, 0.8, [track([0.2], [0.6], box=(40, 30, 80, 80))])], path=str(paths[0]))

    monkeypatch.setattr(score, "make_client", lambda *_: nullcontext(Client()))
    monkeypatch.setattr(score, "import_tensorflow", lambda **_: steps.append("TensorFlow"))
    out, _ = said(capfd, "clips/a.mp4", "--plot", "a.png", "--server", "h:1", "--server-model", "m", "--json")
    assert steps[:2] == ["TensorFlow", "rule"]
    assert json.loads(out)["model"] == "m/3"


def test_help_loads_no_tensorflow(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('tensorflow is loaded for --help')")
    done = run("tfdfd", "score", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--time-limit" in done.stdout
