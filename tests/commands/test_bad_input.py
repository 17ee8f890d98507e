"""Bad input: each gets one clear message that names what was wrong and where, and no work is done."""

import json

import keras
from PIL import Image

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
    assert "gone listed in" in capfd.readouterr().out
    clips = FaceStore.open(store).clips().set_index("clip_id")
    assert clips["status"].to_dict() == {"empty": "failed", "gone": "failed", "text": "failed"}
    assert "no such file" in clips.loc["gone", "reason"]
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


def test_options_that_a_path_cannot_honour_are_errors(capfd, tmp_path):
    clips = dfdc(tmp_path / "clips", json.dumps({"a.mp4": {"label": "REAL"}}))
    assert "use --margin" in said(capfd, ["--data", clips, "--crop-margin", "0.1"])
    faces = tmp_path / "faces"
    faces.mkdir()
    Image.new("RGB", (64, 64)).save(faces / "a.jpg")
    (faces / "faces.csv").write_text("path,clip_id,label\na.jpg,a,REAL\n")
    assert "--places" in said(capfd, ["--data", str(faces), "--places", "5"])
    assert "--crop-margin" in said(capfd, ["--data", str(faces), "--crop-margin", "nan"])
    assert "--workers" in said(capfd, ["--data", str(faces), "--workers", "2"])
    assert "--clip-timeout" in said(capfd, ["--data", str(faces), "--clip-timeout", "9"])


def test_numbers_of_workers_and_seconds_that_make_no_sense(capfd, tmp_path):
    clips = dfdc(tmp_path / "clips", json.dumps({"a.mp4": {"label": "REAL"}}))
    assert "--workers must be at least 1, got 0" in said(capfd, ["--data", clips, "--workers", "0"])
    assert "--clip-timeout must be 0 (no limit) or more" in said(capfd, ["--data", clips, "--clip-timeout", "nan"])


def test_one_crop_of_another_size_does_not_spoil_the_store(tmp_path):
    for number in range(4):
        Image.new("RGB", (64, 64) if number else (65, 64)).save(tmp_path / f"{number}.jpg")
    rows = "".join(f"{number}.jpg,{number},REAL\n" for number in range(4))
    (tmp_path / "faces.csv").write_text("path,clip_id,label\n" + rows)
    assert run_command(prepare, ["--data", str(tmp_path), "--store", str(tmp_path / "store")]) == 0
    clips = FaceStore.open(tmp_path / "store").clips()
    assert clips["status"].tolist() == ["failed", "ok", "ok", "ok"]
    assert "65 x 64" in clips["reason"][0]


def test_a_csv_without_files_cannot_be_prepared(capfd, tmp_path):
    (tmp_path / "list.csv").write_text(CSV + "a,REAL,,f\n")
    assert "add a column `path`" in said(capfd, ["--data", str(tmp_path / "list.csv")])


def test_a_store_folder_with_brackets_in_its_name(tmp_path):
    data = dfdc(tmp_path / "clips", json.dumps({"a.mp4": {"label": "REAL"}}))
    assert run_command(prepare, ["--data", data, "--store", str(tmp_path / "s[/x]")]) == 0


def test_pairs_without_originals_stop_the_run_before_any_clip_is_looked_at(tmp_path):
    rows = [f"{name}.mp4,{name},{'FAKE' if name > 'b' else 'REAL'},,{name in 'ac'}" for name in "abcd"]
    for name in "abcd":
        (tmp_path / f"{name}.mp4").write_bytes(b"no video")
    (tmp_path / "clips.csv").write_text("path," + CSV + "\n".join(rows) + "\n")
    command = ["run_train.py", "--data", "clips.csv", "--val-folders", "True", "--weights", "none"]
    done = run(*command, "--recipe", "winning", cwd=tmp_path)
    assert done.returncode == 1
    assert "balance paired (which recipe winning sets) needs originals with their fakes" in done.stdout
    assert "of the 1 fake and 1 real clips" in done.stdout
    assert not (tmp_path / "stores").exists()


def test_weights_that_are_no_weights_stop_the_run_before_any_work(tmp_path):
    (tmp_path / "weights.txt").write_text("no weights")
    clips = dfdc(tmp_path / "clips", json.dumps({"a.mp4": {"label": "REAL"}}))
    done = run("run_train.py", "--data", clips, "--weights", "weights.txt", cwd=tmp_path)
    assert done.returncode == 1
    assert "weights.txt is no HDF5 file" in done.stdout
    assert not (tmp_path / "stores").exists()


def test_weights_of_another_network_stop_the_run_before_any_work(tmp_path):
    inputs = keras.Input((8, 8, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)).save_weights(tmp_path / "other.weights.h5")
    clips = dfdc(tmp_path / "clips", json.dumps({"a.mp4": {"label": "REAL"}}))
    done = run("run_train.py", "--data", clips, "--weights", "other.weights.h5", cwd=tmp_path)
    assert done.returncode == 1
    assert "other.weights.h5" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "stores").exists()
