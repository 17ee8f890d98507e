"""Clips are scored again under every corruption, each once, and what is left out is said."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.stores import CROP_SIZE, NUM_PLACES, new_store, painted, track_of, write_clips
from tests.video_files import frame_number, write_video
from tfdfd.clip import FAKE, NO_FACE, OK, REAL, Clip, ClipError, ClipFaces, Detections, TfdfdError
from tfdfd.commands.robustness import measure_robustness
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.store import FaceStore
from tfdfd.evaluation.corruptions import CLIP_CORRUPTIONS, CORRUPTIONS
from tfdfd.evaluation.robustness import RobustnessPoint
from tfdfd.extraction import extract_clip
from tfdfd.faces.config import ExtractionConfig
from tfdfd.models.scoring import ScoringRule

RED, BLUE = (200, 60, 60), (60, 60, 200)
RULE = ScoringRule()
NUM_PICTURES = 1 + 5 * len(CORRUPTIONS)
"""Times that a track is scored: as it is, and at every level."""
# By the rules before quarter turns were tried: what the watchers look at is drawn to be read upright.
EXTRACTION = ExtractionConfig(places=NUM_PLACES, crop_size=CROP_SIZE, track_rules=1)


class Network:
    """Says of each face how blue it is, and can be stopped as if it were killed."""

    def __init__(self, *, killed_after: int | None = None) -> None:
        self.num_tracks = 0
        self.left = killed_after

    def __call__(self, crops: np.ndarray, is_face: np.ndarray) -> np.ndarray:
        assert crops.dtype == np.uint8
        assert crops.shape[:2] == is_face.shape
        assert not crops[~is_face].any()
        if self.left is not None:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
        self.num_tracks += len(crops)
        red, blue = (crops[..., channel].mean(axis=(2, 3)) for channel in (0, 2))
        return (blue - red).astype(np.float32) / 40


def sigmoid(logit: float) -> float:
    return 1 / (1 + np.exp(-logit))


def said() -> tuple[Console, Callable[[], str]]:
    stream = io.StringIO()
    return Console(file=stream, width=200), stream.getvalue


def measure(store: FaceStore, clips: pd.DataFrame, network=None, *, folder: Path, **options) -> list[RobustnessPoint]:
    settings = {"num_clips": 100, "key": "a", "batch_size": 4, "console": said()[0], "extraction": None} | options
    return measure_robustness(
        network or Network(), clips, store, RULE, settings.pop("extraction"), folder=folder, **settings
    )


def by_level(points: list[RobustnessPoint], corruption: str) -> list[RobustnessPoint]:
    found = [point for point in points if point.corruption == corruption]
    assert [point.level for point in found] == [0, 1, 2, 3, 4, 5]
    return found


def red_and_blue(folder: Path, *, num_clips: int = 4, num_tracks: int = 1) -> tuple[FaceStore, pd.DataFrame]:
    """A store of clips in which all people are red where they are real, blue where they are fake."""
    store = new_store(folder)
    labels = [REAL, FAKE] * (num_clips // 2)
    clip_ids = [f"folder/{number}" for number in range(num_clips)]
    faces = []
    for clip_id, label in zip(clip_ids, labels, strict=True):
        tracks = tuple(track_of((True, False, True)) for _ in range(num_tracks))
        crops = tuple(painted(track, BLUE if label == FAKE else RED) for track in tracks)
        faces.append(ClipFaces(clip_id, OK, tracks=tracks, crops=crops))
    write_clips(store, faces)
    return store, pd.DataFrame({"clip_id": clip_ids, "label": labels, "path": ""})


class TestPictures:
    def test_flat_colours_fade_as_the_levels_say(self, tmp_path: Path):
        store, clips = red_and_blue(tmp_path / "store")
        points = measure(store, clips, folder=tmp_path)
        assert {point.corruption for point in points} == set(CORRUPTIONS)
        for point in by_level(points, "darker"):
            expected = 3.5 * (point.value or 1)
            assert point.mean_score_fake == pytest.approx(sigmoid(expected), abs=0.01)
            assert point.mean_score_real == pytest.approx(sigmoid(-expected), abs=0.01)
            assert (point.auc, point.num_clips, point.num_lost) == (1, 4, 0)
        for name in ("blur", "downscale", "contrast"):  # nothing to harm in one colour
            assert [p.mean_score_fake for p in by_level(points, name)] == pytest.approx([sigmoid(3.5)] * 6, abs=0.005)

    def test_every_corruption_begins_with_the_same_clean_clips(self, tmp_path: Path):
        store, clips = red_and_blue(tmp_path / "store")
        points = measure(store, clips, folder=tmp_path)
        clean = [by_level(points, name)[0].clip_scores.tolist() for name in CORRUPTIONS]
        assert all(scores == clean[0] for scores in clean)

    @pytest.mark.parametrize("num_tracks", [1, 3])
    def test_neither_the_size_of_batches_nor_the_order_of_clips_changes_a_score(self, tmp_path: Path, num_tracks: int):
        store, clips = red_and_blue(tmp_path / "store", num_tracks=num_tracks)
        one = measure(store, clips, folder=tmp_path / "one", batch_size=1)
        other = measure(store, clips[::-1].reset_index(drop=True), folder=tmp_path / "other", batch_size=7)
        for a, b in zip(one, other, strict=True):
            scores = dict(zip(b.clip_ids, b.clip_scores.tolist(), strict=True))
            assert [scores[clip_id] for clip_id in a.clip_ids] == pytest.approx(a.clip_scores, abs=1e-7)

    def test_as_many_clips_as_asked_for_and_it_is_said(self, tmp_path: Path):
        store, clips = red_and_blue(tmp_path / "store", num_clips=10)
        console, text = said()
        network = Network()
        points = measure(store, clips, network, folder=tmp_path, num_clips=4, console=console)
        assert {point.num_clips for point in points} == {4}
        assert network.num_tracks == 4 * NUM_PICTURES
        assert "4 of 10 clips (2 real, 2 fake)" in text()
        assert "frame_rate and h264 are left out: these are ready-made crops" in text()

    def test_a_clip_without_a_face_is_left_out_and_counted(self, tmp_path: Path):
        store, clips = red_and_blue(tmp_path / "store")
        write_clips(store, [ClipFaces("faceless", NO_FACE, "no face found")])
        clips.loc[len(clips)] = {"clip_id": "faceless", "label": REAL, "path": ""}
        console, text = said()
        points = measure(store, clips, folder=tmp_path, console=console)
        assert {point.num_clips for point in points} == {4}
        assert "1 without a face are left out" in text()

    def test_no_clip_gives_no_point(self, tmp_path: Path):
        store, clips = red_and_blue(tmp_path / "store")
        console, text = said()
        assert measure(store, clips[:0], folder=tmp_path, console=console) == []
        assert "0 of 0 clips" in text()

    def test_a_strip_that_is_gone_stops_the_run_before_any_work(self, tmp_path: Path):
        store, clips = red_and_blue(tmp_path / "store")
        next((tmp_path / "store").rglob("*.jpg")).unlink()
        network = Network()
        with pytest.raises(TfdfdError, match="tfdfd prepare"):
            measure(store, clips, network, folder=tmp_path)
        assert network.num_tracks == 0

    def test_a_network_that_gives_no_number_stops_the_run(self, tmp_path: Path):
        store, clips = red_and_blue(tmp_path / "store")
        with pytest.raises(TfdfdError, match="NaN"):
            measure(store, clips, lambda crops, is_face: np.where(is_face, np.nan, 0), folder=tmp_path)


class TestGoingOn:
    @pytest.mark.parametrize("killed_after", [1, 40, 4 * NUM_PICTURES - 1])
    def test_a_killed_run_goes_on_and_scores_nothing_twice(self, tmp_path: Path, killed_after: int):
        store, clips = red_and_blue(tmp_path / "store")
        expected = measure(store, clips, folder=tmp_path / "undisturbed")
        killed, goes_on, again = Network(killed_after=killed_after), Network(), Network()
        with pytest.raises(KeyboardInterrupt):
            measure(store, clips, killed, folder=tmp_path / "killed", batch_size=1)
        points = measure(store, clips, goes_on, folder=tmp_path / "killed", batch_size=3)
        assert killed.num_tracks == killed_after
        assert killed.num_tracks + goes_on.num_tracks == 4 * NUM_PICTURES
        for point, wanted in zip(points, expected, strict=True):
            assert point.to_json() == pytest.approx(wanted.to_json(), abs=1e-6)
        measure(store, clips, again, folder=tmp_path / "killed")
        assert again.num_tracks == 0

    def test_a_clip_is_kept_with_all_its_people_or_not_at_all(self, tmp_path: Path):
        store, clips = red_and_blue(tmp_path / "store", num_tracks=3)
        killed, goes_on = Network(killed_after=5), Network()
        with pytest.raises(KeyboardInterrupt):
            measure(store, clips, killed, folder=tmp_path, batch_size=1)
        measure(store, clips, goes_on, folder=tmp_path, batch_size=1)
        assert goes_on.num_tracks == 4 * 3 * NUM_PICTURES - 3  # of five tracks two were half a clip

    def test_more_clips_score_only_those_that_are_new(self, tmp_path: Path):
        store, clips = red_and_blue(tmp_path / "store", num_clips=6)
        measure(store, clips, folder=tmp_path, num_clips=2)
        network = Network()
        measure(store, clips, network, folder=tmp_path, num_clips=6)
        assert network.num_tracks == 4 * NUM_PICTURES

    def test_another_network_or_store_is_scored_anew(self, tmp_path: Path):
        store, clips = red_and_blue(tmp_path / "store")
        measure(store, clips, folder=tmp_path, key="a")
        network = Network()
        measure(store, clips, network, folder=tmp_path, key="b")
        assert network.num_tracks == 4 * NUM_PICTURES


class Watcher:
    """Finds one face in the middle of every frame but those whose number can be divided by 30."""

    settings = {"detector": "watcher"}  # noqa: RUF012, as the protocol says

    def __init__(self, *, min_face_share: float = 0.1) -> None:
        self.min_face_share = min_face_share

    def __call__(self, frames: np.ndarray) -> list[Detections]:
        return [self._found(frame) for frame in frames]

    def look_near(self, frames: np.ndarray, boxes_xyxy: np.ndarray, rows: np.ndarray) -> list[Detections]:
        raise AssertionError("faces are looked for in the frames of the places")

    def _found(self, frame: np.ndarray) -> Detections:
        if frame_number(frame) % 30 == 0:
            return Detections.none()
        box, points = np.array([[20, 16, 44, 40]], np.float32), np.zeros((1, 5, 2), np.float32)
        return Detections(box, points + 30, np.ones(1, np.float32))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces are found by the watcher, frames read by PyAV; of the corruptions of pictures one is enough."""
    for name in set(CORRUPTIONS) - {"jpeg"}:
        monkeypatch.delitem(CORRUPTIONS, name)
    monkeypatch.setattr("tfdfd.faces.mtcnn.MTCNN", Watcher)
    monkeypatch.setattr("tfdfd.commands.corrupted_clips.make_frame_source", lambda console, **_: PyAvFrameSource())


def videos(folder: Path, *, num_clips: int = 2, frames_per_second: int = 30) -> tuple[FaceStore, pd.DataFrame]:
    """Two seconds of each clip, and a store of them."""
    folder.mkdir()
    store = new_store(folder / "store")
    table = pd.DataFrame(
        {
            "clip_id": [f"folder/{number}" for number in range(num_clips)],
            "label": [REAL, FAKE] * (num_clips // 2),
            "path": [str(folder / f"{number}.mp4") for number in range(num_clips)],
        }
    )
    paths = [
        write_video(Path(path), num_frames=2 * frames_per_second, frames_per_second=frames_per_second)
        for path in table["path"]
    ]
    clips = [Clip(clip_id, path) for clip_id, path in zip(table["clip_id"], paths, strict=True)]
    write_clips(store, [extract_clip(clip, PyAvFrameSource(), Watcher(), EXTRACTION) for clip in clips])
    return store, table


@pytest.mark.usefixtures("watched")
class TestClips:
    def test_a_face_that_a_lower_rate_drops_is_lost(self, tmp_path: Path):
        store, clips = videos(tmp_path / "data")
        points = measure(store, clips, folder=tmp_path, extraction=EXTRACTION)
        assert {point.corruption for point in points} == {*CORRUPTIONS, *CLIP_CORRUPTIONS}
        # At one frame a second 0 and 30 are left.
        lost = by_level(points, "frame_rate")
        assert [point.num_lost for point in lost] == [0, 0, 0, 0, 0, 2]
        assert lost[5].clip_scores.tolist() == [0.5, 0.5]
        assert [point.num_lost for point in by_level(points, "h264")] == [0] * 6

    def test_a_rate_that_is_not_lower_changes_nothing_at_all(self, tmp_path: Path):
        store, clips = videos(tmp_path / "data", frames_per_second=10)
        clean, *levels = by_level(measure(store, clips, folder=tmp_path, extraction=EXTRACTION), "frame_rate")
        assert [point.value for point in levels[:2]] == [15, 10]
        assert [point.num_unchanged for point in (clean, *levels)] == [0, 2, 2, 0, 0, 0]
        for point in levels[:2]:
            assert point.clip_scores.tolist() == clean.clip_scores.tolist()

    def test_each_level_is_encoded_with_its_factor_and_the_clip_is_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        store, clips = videos(tmp_path / "data")
        before = {path: path.read_bytes() for path in (tmp_path / "data").glob("*.mp4")}
        factors = counting(monkeypatch)
        measure(store, clips, folder=tmp_path, extraction=EXTRACTION)
        assert factors == [30, 32, 35, 38, 40] * 2
        assert {path: path.read_bytes() for path in before} == before
        assert not list(tmp_path.rglob("encoded*"))

    def test_a_killed_run_encodes_nothing_twice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        store, clips = videos(tmp_path / "data")
        factors = counting(monkeypatch, killed_after=7)
        with pytest.raises(KeyboardInterrupt):
            measure(store, clips, folder=tmp_path, extraction=EXTRACTION)
        goes_on = counting(monkeypatch)
        measure(store, clips, folder=tmp_path, extraction=EXTRACTION)
        assert factors + goes_on == [30, 32, 35, 38, 40] * 2
        assert goes_on == [35, 38, 40]

    def test_a_clip_that_has_changed_is_done_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        store, clips = videos(tmp_path / "data")
        measure(store, clips, folder=tmp_path, extraction=EXTRACTION)
        write_video(Path(clips["path"][1]), num_frames=50)
        factors = counting(monkeypatch)
        measure(store, clips, folder=tmp_path, extraction=EXTRACTION)
        assert factors == [30, 32, 35, 38, 40]

    def test_a_clip_whose_file_is_gone_counts_for_its_pictures_only(self, tmp_path: Path):
        store, clips = videos(tmp_path / "data", num_clips=4)
        Path(clips["path"][0]).unlink()
        console, text = said()
        points = measure(store, clips, folder=tmp_path, extraction=EXTRACTION, console=console)
        for name in (*CORRUPTIONS, *CLIP_CORRUPTIONS):
            assert {point.num_clips for point in by_level(points, name)} == {3 if name in CLIP_CORRUPTIONS else 4}
        assert "frame_rate and h264: 1 of 4 clips are left out, their files are not there: folder/0" in text()

    def test_a_clip_that_cannot_be_encoded_is_left_out_of_that_curve_and_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        store, clips = videos(tmp_path / "data", num_clips=4)

        def refuse(source: Path, target: Path, *, crf: int) -> None:
            if source.name == "2.mp4":
                raise ClipError("frame 3 of 60 cannot be decoded")
            target.write_bytes(source.read_bytes())

        monkeypatch.setattr("tfdfd.commands.corrupted_clips.reencode_h264", refuse)
        console, text = said()
        points = measure(store, clips, folder=tmp_path, extraction=EXTRACTION, console=console)
        for point in by_level(points, "h264"):
            assert point.clip_ids == ("folder/0", "folder/1", "folder/3")
            assert point.clip_scores == pytest.approx(by_level(points, "h264")[0].clip_scores, abs=1e-6)
        assert by_level(points, "frame_rate")[0].num_clips == 4
        assert "folder/2 is left out of h264: frame 3 of 60 cannot be decoded" in text()

    def test_crops_of_another_size_are_an_error(self, tmp_path: Path):
        store, clips = videos(tmp_path / "data")
        with pytest.raises(ValueError, match="16 px"):
            measure(store, clips, folder=tmp_path, extraction=ExtractionConfig(places=NUM_PLACES, crop_size=24))

    def test_without_the_encoder_nothing_is_begun(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        store, clips = videos(tmp_path / "data")
        monkeypatch.setattr("tfdfd.data.transcoding._ENCODER", "libnone264")
        network = Network()
        with pytest.raises(TfdfdError, match="libnone264"):
            measure(store, clips, network, folder=tmp_path, extraction=EXTRACTION)
        assert network.num_tracks == 0


def counting(monkeypatch: pytest.MonkeyPatch, *, killed_after: int | None = None) -> list[int]:
    """Return a list that receives the factor of every clip that is encoded from now on."""
    from tfdfd.data.transcoding import reencode_h264

    factors: list[int] = []

    def encode(source: Path, target: Path, *, crf: int) -> None:
        if len(factors) == killed_after:
            raise KeyboardInterrupt
        factors.append(crf)
        reencode_h264(source, target, crf=crf)

    monkeypatch.setattr("tfdfd.commands.corrupted_clips.reencode_h264", encode)
    return factors


@pytest.mark.clips
@pytest.mark.slow
def test_a_real_clip_is_measured_under_every_corruption(test_data: Path, tmp_path: Path):
    from tfdfd.faces.mtcnn import MTCNN

    path = test_data / "clips/ffpp/original_sequences/youtube/c23/videos/720.mp4"
    config = ExtractionConfig(places=5, crop_size=96)
    store = new_store(tmp_path / "store", num_places=5, crop_size=96)
    faces = extract_clip(Clip("720", path), PyAvFrameSource(), MTCNN(min_face_share=config.min_face_share), config)
    write_clips(store, [faces])
    clips = pd.DataFrame({"clip_id": ["720"], "label": [REAL], "path": [str(path)]})
    points = measure(store, clips, folder=tmp_path, extraction=config)
    assert len(points) == 6 * len(CORRUPTIONS) + 6 * len(CLIP_CORRUPTIONS)
    assert sum(point.num_lost for point in points) == 0
    for point in by_level(points, "h264"):
        assert point.clip_scores[0] == pytest.approx(by_level(points, "h264")[0].clip_scores[0], abs=0.05)
