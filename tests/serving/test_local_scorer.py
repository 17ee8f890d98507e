"""Scoring on this machine: short clips as the store's, long ones in windows, all within their time."""

import itertools
import threading
import weakref

import numpy as np
import pytest

from tests.damaged_files import cut, lose_frames
from tests.sound_files import tone, write_clip
from tests.video_files import write_video
from tfdfd.clip import Clip, ClipError, Detections, TfdfdError
from tfdfd.data import frame_reading
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.video import choose_frame_indices, probe
from tfdfd.extraction import extract_clip
from tfdfd.faces.config import ExtractionConfig
from tfdfd.models.scoring import ScoringRule
from tfdfd.scored_clip import FAILED, NO_FACE, OK, PARTIAL, WEAK
from tfdfd.serving import clip_parts
from tfdfd.serving.local_scorer import LocalScorer
from tfdfd.serving.time_limit import Pace

CONFIG = ExtractionConfig(places=5, crop_size=16, margin=0.0)
RULE = ScoringRule(threshold=0.3)
BOXES = np.array([[2, 14, 18, 30], [36, 14, 52, 30]], np.float32)
"""Of two people, one in each half: frame i of `write_video` spells i in sixteens by the greys of its halves."""


class FakeClock:
    """Seconds that pass only when somebody works."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


class TwoPeople:
    """A detector that sees a face in each half of every frame, or in as many frames of a call as are not `dark`."""

    settings = {"name": "two people"}  # noqa: RUF012

    def __init__(self, *, clock=None, seconds_a_frame=0.0, num_faces=2):
        self.clock, self.seconds_a_frame, self.num_faces = clock, seconds_a_frame, num_faces
        self.num_frames = 0

    def __call__(self, frames):
        self.num_frames += len(frames)
        if self.clock is not None:
            self.clock.seconds += self.seconds_a_frame * len(frames)
        n = self.num_faces
        return [Detections(BOXES[:n], np.zeros((n, 5, 2), np.float32), np.ones(n, np.float32)) for _ in frames]


class Brightness:
    """A model to which a face is as fake as it is bright."""

    rule, hears = RULE, False

    def __init__(self, *, clock=None, seconds_a_face=0.0):
        self.clock, self.seconds_a_face, self.calls = clock, seconds_a_face, 0

    def score(self, crops, is_face):
        self.calls += 1
        if self.clock is not None:
            self.clock.seconds += self.seconds_a_face * int(is_face.sum())
        probabilities = np.where(is_face, crops.mean(axis=(2, 3, 4), dtype=np.float32) / 255, 0).astype(np.float32)
        return self.rule.track_scores(probabilities, is_face).numpy(), probabilities


def scorer(*, detector=None, model=None, **options):
    return LocalScorer(model or Brightness(), PyAvFrameSource(), detector or TwoPeople(), CONFIG, **options)


def write(path, num_frames, *, seconds_a_frame=1 / 30, **options):
    times = [number * seconds_a_frame for number in range(num_frames)]
    return write_video(path, num_frames=num_frames, times_seconds=times, **options)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return write(tmp_path_factory.mktemp("short") / "short.mp4", 60)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """200 frames in 50 seconds, brighter and brighter."""
    return write(tmp_path_factory.mktemp("long") / "long.mp4", 200, seconds_a_frame=0.25)


def test_a_short_clip_scores_as_by_the_crops_of_extraction(short):
    faces = extract_clip(Clip("short", short), PyAvFrameSource(), TwoPeople(), CONFIG)
    is_face = np.stack([track.is_face for track in faces.tracks])
    tracks, probabilities = Brightness().score(np.stack(faces.crops), is_face)
    expected = RULE.clip_scores(probabilities, is_face, np.zeros(2, int), 1)[0]
    model = Brightness()
    clip = scorer(model=model, keep_crops=True).score(short)
    assert (clip.status, clip.reason, clip.clip_score, clip.max_score) == (OK, "", expected, None)
    assert clip.is_fake == (expected >= 0.3)
    assert model.calls == 1, "one call for all people"
    (window,) = clip.windows
    assert (window.start_seconds, round(window.end_seconds, 6), window.score) == (0, 2, expected)
    for number, track in enumerate(window.tracks):
        assert track.score == tracks[number]
        np.testing.assert_array_equal(track.face_probabilities, probabilities[number])
        np.testing.assert_array_equal(track.crops, faces.crops[number])
        np.testing.assert_array_equal(track.boxes_xyxy, faces.tracks[number].boxes_xyxy)
        np.testing.assert_allclose(track.seconds, faces.frames.frame_indices / 30, atol=1e-3)


def test_crops_are_kept_only_where_they_are_asked_for(short):
    assert scorer().score(short).windows[0].tracks[0].crops is None


def test_a_long_clip_is_scored_in_windows_with_places_of_their_own(long):
    clip = scorer().score(long)
    info = probe(long)
    assert [(window.start_seconds, window.end_seconds) for window in clip.windows] == [
        *((start, start + 10) for start in (0, 10, 20, 30, 40))
    ]
    for number, window in enumerate(clip.windows):
        of_window = slice(40 * number, 40 * (number + 1))
        chosen = choose_frame_indices(40, num_places=5, is_reference=info.is_reference[of_window]) + 40 * number
        np.testing.assert_allclose(window.tracks[0].seconds, chosen / 4, atol=1e-3)
    scores = [window.score for window in clip.windows]
    assert clip.status == OK
    assert clip.clip_score == pytest.approx(np.mean(scores), abs=1e-6)
    assert clip.max_score == max(scores)
    assert len(set(scores)) == 5


def test_no_more_than_two_windows_are_in_memory(long, monkeypatch):
    alive = weakref.WeakSet()
    most = []
    assemble = clip_parts.assemble

    def counting(*arguments, **options):
        frames = assemble(*arguments, **options)
        alive.add(frames)
        most.append(len(alive))
        return frames

    monkeypatch.setattr(clip_parts, "assemble", counting)
    monkeypatch.setattr(clip_parts.ClipFrames, "__hash__", object.__hash__)
    scorer().score(long)
    assert len(most) == 5
    assert max(most) <= 2


def test_a_window_that_cannot_be_read_is_left_out_aloud(long, monkeypatch):
    def broken_third(*arguments, **options):
        for number, group in enumerate(frame_reading.read_groups(*arguments, **options)):
            yield ClipError("frame 93 is damaged") if number == 2 else group

    monkeypatch.setattr(clip_parts, "read_groups", broken_third)
    clip = scorer().score(long)
    assert (clip.status, clip.reason) == (PARTIAL, "1 of 5 windows could not be read: frame 93 is damaged")
    assert [window.start_seconds for window in clip.windows] == [0, 10, 30, 40]
    assert clip.clip_score == pytest.approx(np.mean([window.score for window in clip.windows]), abs=1e-6)


def test_a_long_clip_whose_file_goes_away_ends_and_leaves_the_next_clip_alone(short, long, monkeypatch):
    def read_first(count):
        def read(*arguments, **options):
            yield from itertools.islice(frame_reading.read_groups(*arguments, **options), count)
            raise ClipError("its disk is away")

        monkeypatch.setattr(clip_parts, "read_groups", read)

    read_first(2)
    broken, other = scorer().score_all([long, short])
    assert (broken.status, broken.reason) == (PARTIAL, "3 of 5 windows could not be read: its disk is away")
    assert (other.path, other.status, len(other.windows)) == (str(short), OK, 1)
    read_first(1)  # less than a quarter of the clip is no clip
    broken, other = scorer().score_all([long, short])
    assert (broken.status, broken.reason) == (FAILED, "4 of 5 windows could not be read: its disk is away")
    assert broken.clip_score is None
    assert (other.path, other.status, len(other.windows)) == (str(short), OK, 1)


def test_clips_without_a_face_or_a_picture_say_so_and_do_not_stop_the_others(short, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    paths = [tmp_path / "text.mp4", tmp_path / "gone.mp4", short]
    text, gone, found = scorer().score_all(paths)
    assert (text.status, gone.status, found.status) == (FAILED, FAILED, OK)
    assert "not a readable video" in text.reason
    assert text.path not in text.reason  # it stands beside it
    assert "no such file" in gone.reason
    empty = scorer(detector=TwoPeople(num_faces=0)).score(short)
    assert (empty.status, empty.clip_score, empty.is_fake) == (NO_FACE, None, None)
    assert empty.reason == "no face found in 5 frames of 64 x 48"


def test_a_long_clip_without_a_face_has_looked_at_every_window(long):
    clip = scorer(detector=TwoPeople(num_faces=0)).score(long)
    assert (clip.status, clip.reason) == (NO_FACE, "no face found in 25 frames of 5 windows")


def test_a_clip_with_fewer_frames_than_places_has_no_empty_ones(tmp_path):
    clip = scorer().score(write(tmp_path / "three.mp4", 3))
    assert clip.status == OK
    assert clip.windows[0].tracks[0].is_face.tolist() == [True] * 3


def test_times_count_from_the_first_frame_on(tmp_path):
    late = write_video(tmp_path / "late.mkv", num_frames=30, times_seconds=[5 + number / 30 for number in range(30)])
    assert probe(late).pts[0] > 0
    assert scorer().score(late).windows[0].tracks[0].seconds[0] == pytest.approx(0.1, abs=0.05)


def test_the_next_clip_is_read_while_this_one_is_scored(short, monkeypatch):
    opened = threading.Semaphore(0)

    def probing(path):
        opened.release()
        return probe(path)

    class Waiting(TwoPeople):
        def __call__(self, frames):
            # Of the first clip: both were opened before its faces are found.
            assert self.num_frames or all(opened.acquire(timeout=20) for _ in range(2))
            return super().__call__(frames)

    monkeypatch.setattr(clip_parts, "probe", probing)
    assert [clip.status for clip in scorer(detector=Waiting()).score_all([short, short])] == [OK, OK]


def test_a_broken_model_stops_the_run(short):
    class Broken(Brightness):
        def score(self, crops, is_face):
            return np.full(len(crops), np.nan, np.float32), np.full(is_face.shape, np.nan, np.float32)

    with pytest.raises(TfdfdError, match="is no number"):
        scorer(model=Broken()).score(short)


class SeenInSome(TwoPeople):
    """Sees its people in so many calls, in so many frames of each."""

    def __init__(self, num_calls, num_frames_each):
        super().__init__()
        self.num_calls, self.num_frames_each = num_calls, num_frames_each

    def __call__(self, frames):
        found = super().__call__(frames)
        if self.num_calls == 0:
            return [Detections.none()] * len(found)
        self.num_calls -= 1
        return [*found[: self.num_frames_each], *[Detections.none()] * (len(found) - self.num_frames_each)]


def test_a_face_in_one_of_five_windows_is_weak_evidence(long):
    clip = scorer(detector=SeenInSome(1, 5)).score(long)
    assert clip.status == WEAK
    assert clip.reason == "weak evidence: a face at 5 of 25 places, in 1 of 5 windows"
    assert clip.clip_score is not None
    assert (clip.num_with_face, clip.num_places) == (5, 25)
    assert [window.num_with_face for window in clip.windows] == [5, 0, 0, 0, 0]


def test_one_face_among_five_frames_is_no_evidence(short):
    clip = scorer(detector=SeenInSome(1, 1)).score(short)
    assert (clip.status, clip.clip_score, clip.num_places) == (NO_FACE, None, 5)


def test_three_faces_among_five_frames_are_enough(short):
    clip = scorer(detector=SeenInSome(1, 3)).score(short)
    assert (clip.status, clip.num_with_face, clip.num_places) == (OK, 3, 5)


class OnItsSide(TwoPeople):
    """Sees a face in frames that stand on end only, so after a quarter turn of the clips here."""

    def __call__(self, frames):
        self.num_frames += len(frames)
        if frames.shape[1] < frames.shape[2]:
            return [Detections.none()] * len(frames)
        box = np.array([[4, 20, 20, 36]], np.float32)
        return [Detections(box, np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32)) for _ in frames]


def test_a_clip_that_lies_on_its_side_is_turned_and_says_so(short):
    clip = scorer(detector=OnItsSide()).score(short)
    assert (clip.status, clip.num_with_face) == (OK, 5)
    (window,) = clip.windows
    assert window.turned_degrees == 90
    assert any("turned by 90" in warning for warning in clip.warnings)
    # Turned frames are 64 high and 48 wide; in the frame as shown, x counts from its right edge.
    (track, *_) = window.tracks
    assert track.boxes_xyxy[track.is_face][0].tolist() == [64 - 36, 4, 64 - 20, 20]


def test_with_a_time_limit_nothing_is_turned(short):
    detector = OnItsSide()
    clip = scorer(detector=detector, time_limit_seconds=60).score(short)
    assert clip.status == NO_FACE
    assert detector.num_frames == 2 + 5  # of the first clip a frame is tried twice


class TestTimeLimit:
    """A fake clock that only the detector, the model and, where said, the decoder move."""

    def scored(self, paths, *, limit, a_frame=0.0, a_face=0.0, a_decoded=0.0, monkeypatch=None):
        clock = FakeClock()
        if a_decoded:
            decode = frame_reading.decode_stream

            def slow(*arguments, **options):
                for frame in decode(*arguments, **options):
                    clock.seconds += a_decoded
                    yield frame

            monkeypatch.setattr(frame_reading, "decode_stream", slow)
        detector = TwoPeople(clock=clock, seconds_a_frame=a_frame, num_faces=1)
        model = Brightness(clock=clock, seconds_a_face=a_face)
        # One by one, since a clip that is read meanwhile would see this clock move for the clip before it.
        one = scorer(detector=detector, model=model, time_limit_seconds=limit, clock=clock)
        return [one.score(path) for path in paths]

    def test_with_time_to_spare_nothing_changes(self, short):
        (clip,) = self.scored([short], limit=8, a_frame=0.1, a_face=0.1)
        assert (clip.status, clip.reason) == (OK, "")
        assert clip.clip_score == scorer(detector=TwoPeople(num_faces=1)).score(short).clip_score

    def test_a_slow_detector_looks_at_fewer_frames_spread_over_the_clip(self, short):
        clips = self.scored([short, short], limit=4, a_frame=1.0)
        for clip, num_frames in zip(clips, (2, 4), strict=True):  # the first clip spends two on finding out
            assert clip.status == PARTIAL
            assert clip.reason == f"the time limit of 4 s left time for {num_frames} of 5 frames"
            assert clip.took_seconds <= 4
            assert len(clip.windows[0].tracks[0].seconds) == num_frames
        assert clips[0].windows[0].tracks[0].seconds == pytest.approx([0.6, 1.4], abs=0.15)

    def test_a_slow_network_gets_fewer_faces(self, short):
        first, second = self.scored([short, short], limit=4, a_face=1.0, a_frame=0.01)
        assert first.took_seconds > 4, "nothing was known of it yet"
        assert second.status == PARTIAL
        assert len(second.windows[0].tracks[0].seconds) == 3
        assert second.took_seconds <= 4

    def test_a_slow_decoder_is_stopped_in_time(self, short, monkeypatch):
        (clip,) = self.scored([short], limit=2, a_decoded=0.1, a_frame=0.01, monkeypatch=monkeypatch)
        assert clip.status == PARTIAL
        assert clip.took_seconds <= 2
        assert "could not even be read" in clip.reason
        assert 1 <= len(clip.windows[0].tracks[0].seconds) < 5

    def test_where_not_one_frame_is_read_in_time_the_clip_has_failed(self, short, monkeypatch):
        (clip,) = self.scored([short], limit=0.01, a_decoded=1.0, monkeypatch=monkeypatch)
        assert clip.status == FAILED
        assert clip.reason == "the time limit of 0.01 s was over before a frame could be looked at: allow more"

    def test_one_frame_is_looked_at_however_long_that_takes(self, short):
        (clip,) = self.scored([short], limit=0.5, a_frame=1.0)
        assert clip.status == PARTIAL
        assert len(clip.windows[0].tracks[0].seconds) == 1

    def test_windows_share_the_time(self, long):
        (clip,) = self.scored([long], limit=13, a_frame=1.0)
        assert clip.status == PARTIAL
        assert clip.took_seconds <= 13
        assert [len(window.tracks[0].seconds) for window in clip.windows] == [2, 2, 2, 2, 3]

    def test_windows_that_there_is_no_time_for_are_left_out(self, long):
        (clip,) = self.scored([long], limit=4, a_frame=1.0)
        assert clip.took_seconds <= 4
        assert "windows were left out" in clip.reason
        assert 1 <= len(clip.windows) < 5

    def test_faces_looked_for_in_other_frames_thin_out_too(self, short):
        clock = FakeClock()
        detector = TwoPeople(clock=clock, seconds_a_frame=1.0, num_faces=1)
        detector.look_near = lambda frames, boxes, rows: [Detections.none() for _ in frames]
        config = ExtractionConfig(places=5, crop_size=16, margin=0.0, detect_every=0.1)
        one = LocalScorer(Brightness(), PyAvFrameSource(), detector, config, time_limit_seconds=12, clock=clock)
        clip = one.score(short)
        assert clip.status == PARTIAL
        assert clip.took_seconds <= 12

    @pytest.mark.parametrize("limit", [0, -1, float("nan")])
    def test_a_limit_of_no_time_is_refused(self, limit):
        with pytest.raises(ValueError, match="time_limit_seconds"):
            scorer(time_limit_seconds=limit)


def test_any_time_has_room_for_a_number_of_frames():
    pace = Pace()
    pace.saw_frames(1000, 1.0)
    assert pace.frames_in(2.5, 1000) == 2
    assert pace.frames_in(1e308, 1) >= 10**6
    assert pace.frames_in(0.0, 1000) == 0


class Hearing(Brightness):
    """A model that keeps what it heard."""

    rule, hears = RULE, True

    def score(self, crops, is_face, sound):
        self.sounds = [*getattr(self, "sounds", []), sound]
        return super().score(crops, is_face)


def test_a_model_that_hears_gets_the_sound_of_each_window(tmp_path):
    # A tone in the last ten of 25 seconds; a frame a second.
    path = write_clip(tmp_path / "long.mkv", [(15.0, tone(500, 10.0))], video_seconds=25, frames_per_second=1)
    model = Hearing()
    scored = scorer(model=model).score(path)
    assert scored.status == OK
    assert scored.to_json()["warnings"] == [
        "its audio stream has nothing in these seconds; what is missing of the sound is masked",
    ]
    heard = [(len(waveform), is_sound[0].mean(), np.abs(waveform[1]).max()) for waveform, is_sound in model.sounds]
    # Frame 16 is as unlike frame 15 as another scene: the second window has two shots of two people.
    assert [people for people, *_ in heard] == [2, 4, 2]
    assert heard[0][1:] == (0, 0)
    assert [share for _, share, _ in heard] == pytest.approx([0, 0.5, 1], abs=0.02)
    assert [loudest for *_, loudest in heard] == pytest.approx([0, 0.5, 0.5], abs=0.05)
    assert [waveform.shape[1] for waveform, _ in model.sounds] == pytest.approx([160_000, 160_000, 80_000], abs=200)


@pytest.mark.parametrize("limit", [None, 1000.0])
def test_a_frame_that_cannot_be_read_leaves_its_place_out_and_makes_the_clip_partial(limit, short, tmp_path):
    whole = scorer().score(write(tmp_path / "whole.mp4", 60, key_frame_interval=1))
    path = write(tmp_path / "part.mp4", 60, key_frame_interval=1)
    lose_frames(path, [18])  # of the second place
    part = scorer(time_limit_seconds=limit, clock=FakeClock()).score(path)
    assert part.status == PARTIAL
    assert part.reason.startswith("1 of 5 chosen frames could not be read: frame 18 of 60, at 0.60 s, ")
    for track, all_of_it in zip(part.windows[0].tracks, whole.windows[0].tracks, strict=True):
        there = [0, 2, 3, 4]
        np.testing.assert_allclose(track.seconds, all_of_it.seconds[there], atol=1e-6)
        np.testing.assert_array_equal(track.face_probabilities, all_of_it.face_probabilities[there])
        np.testing.assert_array_equal(track.boxes_xyxy, all_of_it.boxes_xyxy[there])


def test_frames_that_cannot_be_read_are_counted_over_all_windows(tmp_path):
    path = write(tmp_path / "long.mp4", 200, seconds_a_frame=0.25, key_frame_interval=1)
    info = probe(path)
    chosen = [choose_frame_indices(40, num_places=5)[1] + 40 * number for number in (0, 3)]
    assert info.is_reference is not None
    assert info.is_reference.all()
    lose_frames(path, chosen)
    clip = scorer().score(path)
    assert clip.status == PARTIAL
    assert clip.reason.startswith(f"2 of 25 chosen frames could not be read: frame {chosen[0]} of 200")
    assert [len(window.tracks[0].seconds) for window in clip.windows] == [4, 5, 5, 4, 5]


def test_of_a_file_that_is_cut_off_the_score_says_so(tmp_path):
    path = write(tmp_path / "cut.mp4", 60, key_frame_interval=1, container_options={"movflags": "faststart"})
    cut(path, 0.6)
    clip = scorer().score(path)
    assert (clip.status, clip.reason) == (PARTIAL, "cut off: 37 of the 60 frames in its index are there")
    assert clip.clip_score is not None
