"""Faces straight from video are those of the store but for its JPEG, whatever the order."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.test_extraction import INFO, ScriptedDetector, ScriptedFrames
from tfdfd.clip import Clip, ClipError, ClipFrames, Detections, TfdfdError
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import decode_strip
from tfdfd.extraction import extract_clip, extraction_fingerprint, faces_of_clips
from tfdfd.faces.alignment import UPRIGHT_XY
from tfdfd.faces.config import ExtractionConfig
from tfdfd.streaming import FaceStream, TrackStream

CONFIG = ExtractionConfig(places=3, crop_size=16, margin=0.0)
CLIPS = [Clip(str(number), Path(f"{number}.mp4")) for number in range(6)]
BROKEN = 4
LABELS = np.array([0, 1, 0, 1, 1, 0], np.float32)
WEIGHTS = np.array([1.5, 0.5, 1.5, 0.5, 0.5, 1.5], np.float32)


class RampFrames(ScriptedFrames):
    """Clip n has three frames of a ramp that rises to the right from 30 n + 10; clip BROKEN cannot be read."""

    def read(self, clip_path, plan):
        number = int(clip_path.stem)
        if number == BROKEN:
            raise ClipError(f"{clip_path} is truncated")
        ramp = np.broadcast_to(np.arange(64) // 4 + 30 * number + 10, (3, 48, 64))
        return ClipFrames(
            np.repeat(ramp[..., None], 3, -1).astype(np.uint8), np.arange(3), np.arange(3), INFO, "x", "y"
        )


def face_stream(
    clips=CLIPS, *, mirror=False, seed=0, batch=5, buffer_clips=2, detector=None, config=CONFIG, main_only=False
):
    rows = [int(clip.clip_id) for clip in clips]
    return FaceStream(
        clips,
        LABELS[rows],
        WEIGHTS[rows],
        RampFrames(),
        detector or ScriptedDetector(),
        config,
        seed=seed,
        global_batch_size=batch,
        mirror=mirror,
        main_only=main_only,
        buffer_clips=buffer_clips,
    )


def epoch_of(stream, epoch=0):
    batches = stream.batches(epoch)
    parts = zip(*[next(batches) for _ in range(stream.num_steps)], strict=True)
    return tuple(np.concatenate(part) for part in parts)


@pytest.fixture
def stored(tmp_path):
    """Crops of each clip as the store gives them back."""
    fingerprint = extraction_fingerprint(CONFIG, ScriptedDetector.settings, {})
    store, _ = FaceStore.create_or_open(tmp_path / "store", fingerprint, num_places=3)
    with store.writing():
        for _, faces in faces_of_clips(CLIPS, RampFrames(), ScriptedDetector(), CONFIG):
            store.write(faces, source_bytes=0)
    tracks = store.tracks()
    return {
        int(clip_id): decode_strip((store.folder / strip).read_bytes(), num_places=3)
        for clip_id, strip in zip(tracks["clip_id"], tracks["strip"], strict=True)
    }


def test_the_values_are_those_of_the_store_but_for_its_jpeg(stored):
    crops, labels, weights, rows = epoch_of(face_stream())
    for crop, label, weight, row in zip(crops, labels, weights, rows, strict=True):
        assert np.abs(crop.astype(int) - stored[row][0].astype(int)).max() <= 3
        assert (label, weight) == (LABELS[row], WEIGHTS[row])


class LeaningDetector(ScriptedDetector):
    """The same face, lying on its side."""

    def __call__(self, frames):
        lying = np.stack([-UPRIGHT_XY[:, 1], UPRIGHT_XY[:, 0]], axis=1)
        return [dataclasses.replace(found, landmarks_xy=lying[None]) for found in super().__call__(frames)]


def test_aligned_crops_are_the_same_in_the_stream_and_of_one_clip():
    config = dataclasses.replace(CONFIG, alignment="landmarks")
    stream = face_stream(CLIPS[:1], batch=3, detector=LeaningDetector(), config=config)
    alone = extract_clip(CLIPS[0], RampFrames(), LeaningDetector(), config)
    for crop in epoch_of(stream)[0]:
        np.testing.assert_array_equal(crop, alone.crops[0][0])
        # The ramp rises to the right; of a face that leans to the right it rises upwards.
        assert crop[0].mean() > crop[-1].mean() + 2
        assert abs(crop[:, 0].mean() - crop[:, -1].mean()) < 1


class TwoPeople(ScriptedDetector):
    """A large face on the left, a small one on the right, where the ramp is brighter."""

    def __call__(self, frames):
        boxes = np.array([[4, 8, 28, 32], [44, 8, 60, 24]], np.float32)
        return [Detections(boxes, np.zeros((2, 5, 2), np.float32), np.ones(2, np.float32)) for _ in frames]


@pytest.mark.parametrize(("main_only", "brightness"), [(True, {13}), (False, {13, 22})])
def test_people_beside_the_main_one_are_left_out_where_asked(main_only, brightness):
    stream = face_stream(CLIPS[:1], batch=6, detector=TwoPeople(), main_only=main_only)
    crops = next(stream.batches(0))[0]
    assert {int(crop.mean()) for crop in crops} == brightness


def test_an_epoch_has_as_many_batches_as_places_fill_and_takes_missing_faces_from_the_next_pass():
    stream = face_stream(batch=5)
    assert stream.num_steps == 4  # 6 clips of 3 places are 18 faces; one clip cannot be read
    counts = Counter(epoch_of(stream)[3].tolist())
    assert BROKEN not in counts
    assert sum(counts.values()) == 20
    assert set(counts) == {0, 1, 2, 3, 5}


def test_without_a_missing_face_each_comes_once():
    whole = [clip for clip in CLIPS if clip.clip_id != str(BROKEN)]
    assert Counter(epoch_of(face_stream(whole, batch=5))[3].tolist()) == dict.fromkeys(range(5), 3)


def test_order_and_mirroring_come_from_seed_and_epoch():
    def rows(**options):
        epoch = options.pop("epoch", 0)
        return epoch_of(face_stream(**options), epoch)[3].tolist()

    assert rows() == rows()
    assert rows() != rows(seed=1)
    assert rows() != rows(epoch=1)
    crops = epoch_of(face_stream(mirror=True))[0]
    rising = crops[:, 0, -1, 0] > crops[:, 0, 0, 0]
    assert 0 < rising.sum() < len(rising)
    assert rising.sum() + (crops[:, 0, -1, 0] < crops[:, 0, 0, 0]).sum() == len(rising)


def test_statuses_are_counted_and_no_face_at_all_is_an_error():
    stream = face_stream()
    epoch_of(stream)
    assert stream.statuses["failed"] == 1
    with pytest.raises(TfdfdError, match="none of the 1 training clips has a face"):
        next(face_stream([CLIPS[BROKEN]]).batches(0))


def test_clips_that_vanish_during_an_epoch_end_it_instead_of_spinning():
    whole = [clip for clip in CLIPS if clip.clip_id != str(BROKEN)]
    stream = face_stream(whole, batch=4)
    batches = stream.batches(0)
    for _ in range(3):
        next(batches)
    stream.frame_source.read = None
    stream.frame_source.iterate = lambda clips, plan: ((clip, ClipError("gone")) for clip in clips)
    with pytest.raises(TfdfdError, match="has a face"):
        next(batches)


def test_validation_tracks_come_in_order_and_padding_is_marked(stored):
    seen = []
    stream = TrackStream(
        CLIPS, RampFrames(), ScriptedDetector(), CONFIG, on_clip=lambda faces: seen.append(faces.status)
    )
    assert stream.clip_rows.tolist() == [0, 1, 2, 3, 5]
    assert seen.count("failed") == 1
    batches = list(stream.batches(2))
    assert [batch[2].tolist() for batch in batches] == [[0, 1], [2, 3], [4, -1]]
    crops, is_face, _ = batches[-1]
    assert np.abs(crops[0].astype(int) - stored[5].astype(int)).max() <= 3
    assert is_face.tolist() == [[True] * 3, [False] * 3]
    assert not crops[1].any()
