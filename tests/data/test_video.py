"""Video files are probed, numbered and read as a player shows them, and bad ones are named."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.video_files import draw_frame, frame_number, red_side, remux, write_video
from tfdfd.clip import Clip, ClipError, ClipFrames, FramePlan
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.frame_source import PyAvFrameSource, read_ahead
from tfdfd.data.video import choose_frame_indices, probe


def numbers(path: Path) -> list[int]:
    """Probe a file, read all its frames and return the numbers that they show."""
    info = probe(path)
    return [frame_number(frame) for frame in read_frames(path, info, np.arange(info.num_frames))]


def decoded_count(path: Path) -> int:
    with av.open(f"file:{path}") as container:
        return sum(1 for _ in container.decode(video=0))


class TestChoice:
    def test_centres_of_equal_segments(self) -> None:
        assert choose_frame_indices(30, num_places=3).tolist() == [5, 15, 25]
        assert choose_frame_indices(17, num_places=17).tolist() == list(range(17))

    def test_a_short_clip_uses_each_frame_once(self) -> None:
        assert choose_frame_indices(3, num_places=5).tolist() == [0, 1, 2, -1, -1]
        assert choose_frame_indices(1, num_places=1).tolist() == [0]

    @pytest.mark.parametrize("num_frames", [17, 18, 33, 100, 299, 300])
    def test_indices_ascend_within_the_clip(self, num_frames: int) -> None:
        indices = choose_frame_indices(num_frames, num_places=17)
        assert indices.dtype == np.int64
        assert (np.diff(indices) > 0).all()
        assert indices[0] >= 0
        assert indices[-1] < num_frames

    def test_the_nearest_reference_frame_is_taken_the_earlier_of_two(self) -> None:
        is_reference = np.zeros(30, np.bool_)
        is_reference[[3, 6, 14, 16, 29]] = True  # centres are 5, 15 and 25
        assert choose_frame_indices(30, num_places=3, is_reference=is_reference).tolist() == [6, 14, 29]

    def test_a_segment_without_a_reference_frame_keeps_its_centre(self) -> None:
        is_reference = np.zeros(30, np.bool_)
        is_reference[[4, 24]] = True
        assert choose_frame_indices(30, num_places=3, is_reference=is_reference).tolist() == [4, 15, 24]

    @pytest.mark.parametrize("num_frames", [17, 18, 25, 33, 100, 299, 300])
    def test_no_place_moves_by_more_than_half_a_segment(self, num_frames: int) -> None:
        rng = np.random.default_rng(num_frames)
        centres = choose_frame_indices(num_frames, num_places=17)
        for _ in range(50):
            is_reference = rng.random(num_frames) < 0.3
            indices = choose_frame_indices(num_frames, num_places=17, is_reference=is_reference)
            assert (np.diff(indices) > 0).all()
            assert np.abs(indices - centres).max() <= (num_frames / 17 + 1) / 2

    @pytest.mark.parametrize(("num_frames", "num_places"), [(0, 17), (5, 0)])
    def test_nothing_to_choose_is_an_error(self, num_frames: int, num_places: int) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            choose_frame_indices(num_frames, num_places=num_places)


@pytest.mark.parametrize(
    ("codec", "suffix", "size"),
    [
        ("h264", ".mp4", (64, 48)),
        ("h264", ".mov", (48, 64)),
        ("h264", ".mkv", (64, 48)),
        ("h264", ".ts", (64, 48)),
        ("h264", ".avi", (64, 48)),
        ("h264", ".h264", (64, 48)),
        ("h264_444", ".mp4", (63, 47)),
        ("h264_422", ".mp4", (64, 48)),
        ("hevc", ".mp4", (64, 64)),
        ("hevc10", ".mkv", (64, 64)),
        ("vp8", ".webm", (61, 47)),
        ("vp9", ".webm", (61, 47)),
        ("av1", ".mp4", (64, 64)),
        ("av1", ".webm", (64, 64)),
        ("mjpeg", ".mov", (61, 47)),
        ("mjpeg", ".avi", (64, 48)),
        ("mpeg4", ".avi", (64, 48)),
    ],
)
def test_every_frame_is_found_in_order(codec: str, suffix: str, size: tuple[int, int], tmp_path: Path) -> None:
    path = write_video(tmp_path / f"clip{suffix}", codec=codec, width=size[0], height=size[1])
    info = probe(path)
    assert (info.width, info.height) == size
    assert info.codec == codec.split("_")[0].removesuffix("10")
    assert info.num_frames == decoded_count(path) == 24
    assert (np.diff(info.pts) > 0).all()
    assert numbers(path) == list(range(24))
    assert [frame_number(frame) for frame in read_frames(path, info, np.array([3, 11, 22]))] == [3, 11, 22]


def test_hidden_frames_are_not_counted(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.webm", codec="vp8")
    path = remux(source, tmp_path / "hidden.webm", hidden=9)
    assert probe(path).num_frames == decoded_count(path) == 23
    assert numbers(path) == [number for number in range(24) if number != 9]
    assert "not shown" in probe(path).numbering_doubt


def test_variable_rate_and_audio(tmp_path: Path) -> None:
    times = np.cumsum([0, *([0.01, 0.2, 0.035] * 6)]).tolist()
    path = write_video(tmp_path / "vfr.mp4", num_frames=19, times_seconds=times, audio=True)
    info = probe(path)
    assert info.has_audio
    assert np.allclose((info.pts - info.pts[0]) * info.time_base_seconds, times, atol=1e-3)
    assert numbers(path) == list(range(19))
    assert not probe(write_video(tmp_path / "silent.mp4")).has_audio


def test_frames_nothing_leans_on_are_skipped_without_a_trace(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mp4", num_frames=40, width=320, height=240, max_b_frames=3)
    info = probe(path)
    everything = read_frames(path, info, np.arange(40))
    some = np.array([1, 6, 7, 20, 38])
    np.testing.assert_array_equal(read_frames(path, info, some), everything[some])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_reference_frames_are_those_that_a_decoder_does_not_leave_out(suffix: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"b{suffix}", num_frames=40, width=320, height=240, max_b_frames=3)
    with av.open(f"file:{path}") as container:
        container.streams.video[0].codec_context.skip_frame = "NONREF"
        left = [frame.pts for frame in container.decode(video=0)]
    info = probe(path)
    assert info.is_reference is not None
    assert info.pts[info.is_reference].tolist() == left
    assert 5 < len(left) < 40
    chosen = choose_frame_indices(info.num_frames, num_places=5, is_reference=info.is_reference)
    assert info.is_reference[chosen].all()


def test_only_h264_tells_its_reference_frames(tmp_path: Path) -> None:
    info = probe(write_video(tmp_path / "clip.webm", codec="vp9", width=64, height=48))
    assert info.is_reference is None


def test_what_an_edit_list_cuts_away_is_no_frame(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", num_frames=30, max_b_frames=2)
    path = remux(source, tmp_path / "cut.mp4", shift_seconds=-8 / 30)
    assert probe(path).num_frames == decoded_count(path) == 22
    assert numbers(path) == list(range(8, 30))
    assert "not shown" in probe(path).numbering_doubt
    assert probe(source).numbering_doubt == ""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_stream_that_starts_without_a_key_frame_begins_at_the_first(suffix: str, tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", num_frames=30, max_b_frames=2, key_frame_interval=10)
    path = remux(source, tmp_path / f"late{suffix}", skip_packets=4)
    found = numbers(path)
    assert found == list(range(30 - len(found), 30))
    assert len(found) == decoded_count(path) > 10


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("degrees", "turns", "side"), [(0, 0, "top"), (90, 1, "left"), (180, 2, "bottom"), (-90, 3, "right")]
)
def test_rotation(degrees: float, turns: int, side: str, mirrored: bool, tmp_path: Path) -> None:
    path = write_video(tmp_path / "turned.mov", num_frames=2, rotation_degrees=degrees, mirrored=mirrored)
    info = probe(path)
    assert info.quarter_turns == turns
    assert (info.width, info.height) == (64, 48)
    assert red_side(read_frames(path, info, np.array([0]))[0]) == "top"
    frames = PyAvFrameSource().read(path, FramePlan(2))
    assert red_side(frames.frames[0]) == side
    assert bool(frames.warnings) == mirrored


def test_a_slanted_display_matrix_is_left_alone_with_a_warning(tmp_path: Path) -> None:
    info = probe(write_video(tmp_path / "slanted.mp4", num_frames=2, rotation_degrees=30))
    assert info.quarter_turns == 0
    assert "quarter turns" in info.warnings[0]


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_said(transfer: int, name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "hdr.mp4", codec="hevc10", width=64, height=64, num_frames=3, transfer=transfer)
    assert probe(path).is_hdr
    assert name in PyAvFrameSource().read(path, FramePlan(2)).warnings[0]
    assert not probe(write_video(tmp_path / "sdr.mp4", num_frames=2)).is_hdr


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_still_picture_is_a_clip_of_one_frame(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"still 100%d:1{suffix}"
    Image.fromarray(draw_frame(7, width=64, height=48)).save(path)
    frames = PyAvFrameSource().read(path, FramePlan(17))
    assert frames.frames.shape == (1, 48, 64, 3)
    assert frames.places.tolist() == [0]
    assert frames.frame_indices.tolist() == [0] + [-1] * 16


def cut_off(path: Path, *, faststart: bool, share: float) -> None:
    options = {"movflags": "faststart"} if faststart else None
    write_video(path, num_frames=100, width=320, height=240, container_options=options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def audio_only(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        assert isinstance(stream, av.AudioStream)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "folder": (lambda path: path.mkdir(), "not a file but a folder"),
    "pipe": (lambda path: os.mkfifo(path), "not a file but a pipe"),
    "lost link": (lambda path: path.symlink_to("gone.mp4"), "a link that leads nowhere"),
    "empty": (lambda path: path.write_bytes(b""), r"empty \(0 bytes\)"),
    "text": (lambda path: path.write_text("hello world\n" * 50), "not a readable video.*hello world"),
    "index cut off": (lambda path: cut_off(path, faststart=False, share=0.5), "without a usable index"),
    "pictures cut off": (
        lambda path: cut_off(path, faststart=True, share=0.35),
        "of the 100 frames in its",
    ),
    "audio only": (audio_only, "no video stream, only audio"),
    "too wide": (lambda path: Image.new("RGB", (20000, 8)).save(path, "png"), "20000 x 8 pixels"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_a_clip_error_that_names_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    make, expected = BAD_FILES[kind]
    make(path)
    with pytest.raises(ClipError, match=expected) as caught:
        PyAvFrameSource().read(path, FramePlan(17))
    assert str(caught.value).startswith(str(path))


def test_a_damaged_frame_is_an_error_only_where_it_is_wanted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "damaged.mp4", num_frames=60, width=160, height=120, key_frame_interval=20)
    info = probe(path)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    hurt = next(packet for packet in packets[21:] if packet.is_keyframe)
    assert hurt.pos is not None
    data = bytearray(path.read_bytes())
    data[hurt.pos : hurt.pos + hurt.size] = b"\xff" * hurt.size
    path.write_bytes(data)
    early = np.arange(0, 15)
    assert [frame_number(frame) for frame in read_frames(path, info, early)] == early.tolist()
    with pytest.raises(ClipError, match=r"frame 4\d of 60, at 1\.\d\d s, (is damaged|cannot be decoded)"):
        read_frames(path, info, np.array([5, 41, 42, 43, 44, 45]))


def test_frames_that_may_lean_on_a_damaged_one_are_warned_of_up_to_the_next_key_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "damaged.mp4", num_frames=60, width=160, height=120, key_frame_interval=20)
    info = probe(path)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    # The first key frame keeps all but its end, so that it decodes, badly.
    hurt = packets[0]
    assert hurt.pos is not None
    data = bytearray(path.read_bytes())
    data[hurt.pos + hurt.size - 30 : hurt.pos + hurt.size] = b"\xff" * 30
    path.write_bytes(data)
    warnings: list[str] = []
    read_frames(path, info, np.array([8, 15, 21, 50]), warnings=warnings)
    assert warnings == [
        "damaged before frame 8: 2 of the 4 frames that are used may lean on it, look at their pictures"
    ]
    with pytest.raises(ClipError, match=r"frame 0 of 60, at 0\.00 s, is damaged"):
        read_frames(path, info, np.array([0, 8]))
    warnings.clear()
    read_frames(path, info, np.array([21, 50]), warnings=warnings)
    assert warnings == []
    assert "damaged before frame" in PyAvFrameSource().read(path, FramePlan(3)).warnings[0]


def test_a_codec_without_a_decoder_is_named_as_such(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", num_frames=5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"????"))
    with pytest.raises(ClipError, match="in no codec that can be read here"):
        probe(path)


def test_indices_must_ascend_within_the_clip(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", num_frames=5)
    info = probe(path)
    for indices in ([], [-1, 2], [2, 2], [3, 1], [5]):
        with pytest.raises(ValueError, match="ascend strictly"):
            read_frames(path, info, np.array(indices, np.int64))


class TestReadAhead:
    def test_clips_come_in_order_with_bad_ones_in_their_place(self, tmp_path: Path) -> None:
        names = ["a", "bad", "b"]
        for name in names:
            write_video(tmp_path / f"{name}.mp4", num_frames=20, max_b_frames=0)
        (tmp_path / "bad.mp4").write_bytes(b"")
        source = PyAvFrameSource()
        results = list(source.iterate([Clip(name, tmp_path / f"{name}.mp4") for name in names], FramePlan(4)))
        assert [clip.clip_id for clip, _ in results] == names
        assert [type(result) for _, result in results] == [ClipFrames, ClipError, ClipFrames]
        good = results[0][1]
        assert isinstance(good, ClipFrames)
        assert [frame_number(frame) for frame in good.frames] == good.frame_indices.tolist() == [2, 7, 12, 17]
        assert good.places.tolist() == [0, 1, 2, 3]
        assert source.counts == {("pyav", "no DALI"): 2}

    def test_it_reads_one_clip_ahead_and_closes_early(self) -> None:
        started: list[str] = []

        def read(path: Path, plan: FramePlan) -> ClipFrames:
            started.append(path.name)
            raise ClipError(path.name)

        results = read_ahead(read, [Clip(str(i), Path(str(i))) for i in range(9)], FramePlan(1))
        next(results)
        next(results)
        results.close()  # pyright: ignore[reportAttributeAccessIssue]
        assert started == ["0", "1", "2"]
        assert list(read_ahead(read, [], FramePlan(1))) == []

    def test_a_programming_error_is_raised(self) -> None:
        def read(path: Path, plan: FramePlan) -> ClipFrames:
            raise TypeError("ours")

        with pytest.raises(TypeError, match="ours"):
            list(read_ahead(read, [Clip("a", Path("a"))], FramePlan(1)))


@pytest.mark.clips
def test_real_clips_probe_as_the_facts_say(test_data: Path) -> None:
    paths = sorted(test_data.glob("clips/**/*.mp4"))
    assert len(paths) == 39
    for path in paths:
        info = probe(path)
        assert info.codec == "h264", path
        assert info.num_frames > 17, path
        assert info.has_audio == ("dfdc" in path.parts), path
        assert (info.numbering_doubt, info.warnings, info.is_interlaced, info.is_hdr) == ("", (), False, False)


@pytest.mark.clips
@pytest.mark.slow
def test_all_real_clips_read(test_data: Path) -> None:
    clips = [Clip(path.stem, path) for path in sorted(test_data.glob("clips/**/*.mp4"))]
    for clip, result in PyAvFrameSource().iterate(clips, FramePlan(17)):
        assert isinstance(result, ClipFrames), (clip, result)
        assert len(result.frames) == 17
        assert result.frames.std() > 5
