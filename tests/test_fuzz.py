"""Damaged clips through `tfdfd prepare`: the command lives, every clip ends with a status, the sound ones are done."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from skimage import data

from tests.damaged_files import DAMAGES, boxes_of, cut_out, write_damaged
from tests.process_memory import MemoryWatch
from tests.run_commands import ROOT, command, environment, run
from tests.video_files import find_encoder
from tfdfd.clip import OK, STATUSES
from tfdfd.data.store import FaceStore

PEAK_BYTES = 3 * 2**30
"""Of all processes together. One that takes a damaged header at its word needs tens of GB."""


def talking_head(path: Path) -> Path:
    """Write two seconds of a public-domain portrait that moves a little, as H.264 with a second of sound beside it."""
    portrait = data.astronaut()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(find_encoder("h264"), rate=20, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        sound = container.add_stream("aac", rate=48000)
        for number in range(40):
            left = 60 + number
            picture = np.ascontiguousarray(portrait[:240, left : left + 320])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
        for start in range(0, 48000, 1024):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 48000, start
            container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    return path


def prepare_all(paths: list[Path], folder: Path) -> tuple[FaceStore, str, MemoryWatch]:
    """Run `tfdfd prepare` on clips, in processes of its own, and return the store and what was printed."""
    rows = "".join(f'"{path.stem}","{path}",REAL\n' for path in paths)
    (folder / "clips.csv").write_text("clip_id,path,label\n" + rows)
    flags = ["--data", folder / "clips.csv", "--store", folder / "store", "--places", "3", "--crop-size", "64"]
    printed = folder / "printed.txt"
    with printed.open("w") as output:
        process = subprocess.Popen(
            command("tfdfd", "prepare", *flags),
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        watch = MemoryWatch(process)
        watch.stop()
    assert process.returncode == 0, printed.read_text()[-3000:]
    again = run("tfdfd", "prepare", *flags, cwd=folder)
    assert again.returncode == 0
    assert f"{len(paths)} of {len(paths)} clips are done, 0 to do" in again.stdout
    return FaceStore.open(folder / "store"), printed.read_text(), watch


def check(store: FaceStore, printed: str, watch: MemoryWatch, damaged: list[Path], sound: list[Path]) -> None:
    """Check what must hold of a run over damaged and sound clips."""
    clips = store.clips().set_index("clip_id")
    assert sorted(clips.index) == sorted(path.stem for path in [*damaged, *sound])
    assert set(clips["status"]) <= set(STATUSES)
    assert ((clips["reason"] == "") == (clips["status"] == OK)).all()
    assert {clips.loc[path.stem, "status"] for path in sound} == {OK}
    # The claims would be empty if the damage were too little or too much.
    statuses = clips.loc[[path.stem for path in damaged], "status"]
    assert (statuses != OK).mean() > 0.3
    assert (statuses == OK).mean() > 0.1
    assert "Traceback" not in printed
    print(f"\n{clips['status'].value_counts().to_dict()}, peak {watch.peak_bytes / 2**30:.2f} GiB")
    assert watch.peak_bytes < PEAK_BYTES


def test_every_kind_of_damage_ends_with_a_status(tmp_path):
    head = talking_head(tmp_path / "head.mp4")
    sources = [
        cut_out(head, tmp_path / f"sound {moov_first}.mp4", num_frames=40, moov_first=moov_first)
        for moov_first in (False, True)
    ]
    damaged = write_damaged(sources, tmp_path / "damaged", count=len(DAMAGES) + 5, seed=7)
    check(*prepare_all([*damaged, *sources], tmp_path), damaged, sources)


@pytest.mark.slow
@pytest.mark.clips
def test_five_hundred_variants_of_real_clips_end_with_a_status(test_data, tmp_path):
    clips = test_data / "clips"
    real = [
        clips / "ffpp" / "original_sequences" / "youtube" / "c23" / "videos" / "469.mp4",
        clips / "dfdc" / "dfdc_train_part_28" / "aagfhgtpmv.mp4",
    ]
    sources = [
        cut_out(path, tmp_path / f"sound {path.name}", num_frames=40, moov_first=moov_first)
        for path, moov_first in zip(real, (False, True), strict=True)
    ]
    damaged = write_damaged(sources, tmp_path / "damaged", count=500, seed=1)
    check(*prepare_all([*damaged, *sources], tmp_path), damaged, sources)


def test_the_same_seed_gives_the_same_damage_and_another_seed_another(tmp_path):
    head = talking_head(tmp_path / "head.mp4")

    def damage(name: str, seed: int) -> list[str]:
        paths = write_damaged([head], tmp_path / name, count=len(DAMAGES), seed=seed)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    assert damage("one", 1) == damage("again", 1)
    assert not set(damage("one more", 1)) & set(damage("other", 2))


def test_a_clip_that_is_cut_out_keeps_its_sound_and_loses_its_end(tmp_path):
    head = talking_head(tmp_path / "head.mp4")
    for moov_first in (False, True):
        path = cut_out(head, tmp_path / f"{moov_first}.mp4", num_frames=10, moov_first=moov_first)
        kinds = [box.kind for box in boxes_of(path.read_bytes()) if not box.parents]
        assert (kinds.index(b"moov") < kinds.index(b"mdat")) == moov_first
        with av.open(str(path)) as container:
            assert container.streams.video[0].frames == 10
            assert container.streams.audio


def test_the_memory_of_children_counts(tmp_path):
    grown = "x = bytearray(200 << 20); import time; time.sleep(3)"
    source = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grown!r}])"
    process = subprocess.Popen([sys.executable, "-c", source], cwd=ROOT, text=True)
    watch = MemoryWatch(process, every_seconds=0.05)
    watch.stop()
    assert watch.most_processes == 2
    assert 200 << 20 < watch.peak_bytes < 400 << 20
