"""Bad input: each gets one clear message that names what was wrong and where, and no work is done."""

import json

from tests.run_commands import run
from tfdfd.commands.console import run_command
from tfdfd.commands.prepare import main as prepare
from tfdfd.data.store import FaceStore

CSV = "clip_id,label,original,folder\n"


def said(capfd, argv, main=prepare):
    """Run a command in this process and return what it said; it must end with status 1."""
    assert run_command(main, argv) == 1
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return out + err


def dfdc(folder, metadata):
    part = folder / "dfdc_train_part_0"
    part.mkdir(parents=True)
    (part / "a.mp4").write_bytes(b"")
    (part / "metadata.json").write_text(metadata)
    return str(folder)


def test_no_data_anywhere_names_all_three_places_and_the_demo(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDFD_DATA", raising=False)
    message = said(capfd, [])
    assert all(name in message for name in ("--data", "$TFDFD_DATA", "./data", "--demo"))


def test_an_empty_folder(capfd, tmp_path):
    assert f"{tmp_path} is empty" in said(capfd, ["--data", str(tmp_path)])


def test_an_unknown_layout_says_which_were_tried(capfd, tmp_path):
    (tmp_path / "holiday.txt").write_text("")
    message = said(capfd, ["--data", str(tmp_path)])
    assert all(name in message for name in ("DFDC", "FaceForensics", "Celeb-DF", "CSV", "faces.csv"))


def test_metadata_that_is_not_json(capfd, tmp_path):
    assert "metadata.json" in said(capfd, ["--data", dfdc(tmp_path, "{not json")])


def test_a_label_that_is_neither(capfd, tmp_path):
    message = said(capfd, ["--data", dfdc(tmp_path, json.dumps({"a.mp4": {"label": "MAYBE"}}))])
    assert "MAYBE" in message
    assert "a" in message


def test_a_store_folder_that_cannot_be_written(capfd, tmp_path):
    data = dfdc(tmp_path / "clips", json.dumps({"a.mp4": {"label": "REAL"}}))
    (tmp_path / "file").write_text("")
    assert "cannot write to" in said(capfd, ["--data", data, "--store", str(tmp_path / "file" / "store")])


def test_clips_that_cannot_be_read_end_with_a_reason_and_never_stop_the_run(capfd, tmp_path):
    part = tmp_path / "clips" / "dfdc_train_part_0"
    part.mkdir(parents=True)
    (part / "empty.mp4").write_bytes(b"")
    (part / "text.mp4").write_text("not a video")
    (part / "metadata.json").write_text(
        json.dumps({f"{name}.mp4": {"label": "REAL"} for name in ("empty", "text", "gone")})
    )
    store = tmp_path / "store"
    assert run_command(prepare, ["--data", str(tmp_path / "clips"), "--store", str(store)]) == 0
    assert "gone" in capfd.readouterr().out
    clips = FaceStore.open(store).clips().set_index("clip_id")
    assert clips["status"].to_dict() == {"empty": "failed", "text": "failed"}
    assert all(f"{name}.mp4" in clips.loc[name, "reason"] for name in ("empty", "text"))


def test_more_gpus_than_there_are_stops_before_any_work(tmp_path):
    done = run("run_train.py", "--demo", "--gpus", "64", cwd=tmp_path)
    assert done.returncode == 1
    assert "--gpus 64 asks for 64 GPUs" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_batch_that_replicas_cannot_share(tmp_path):
    done = run("run_train.py", "--demo", "--logical-cpus", "2", "--batch-size", "7", cwd=tmp_path)
    assert done.returncode == 1
    assert "batch_size must be a multiple of the 2 replicas, got 7" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_misspelt_command_lists_the_right_ones(tmp_path):
    done = run("tfdfd", "prepair", cwd=tmp_path)
    assert done.returncode == 2
    assert "prepare" in done.stdout


def test_help_is_quick_to_come_and_does_not_load_tensorflow(tmp_path):
    done = run("tfdfd", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "doctor" in done.stdout
