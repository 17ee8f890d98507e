"""Both DALI graphs give PyAV's frames turned upright, and each clip goes to a decoder that can read it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.video_files import draw_frame, frame_number, write_video
from tfdfd.clip import Clip, ClipError, ClipFrames, FramePlan
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.video import ProbedVideo, probe

pytest.importorskip("nvidia.dali", reason="DALI is not installed on this machine")
from pipelines import decode
from pipelines.decode import DaliFrameSource, choose_decoder, host_graph, nvdec_graph


def plain_info(**changes: object) -> ProbedVideo:
    """Facts of a clip that NVDEC can read, but for the changes."""
    info = ProbedVideo(
        codec="h264",
        profile="High",
        pixel_format="yuv420p",
        width=1920,
        height=1080,
        num_frames=3,
        pts=np.arange(3),
        time_base_seconds=1 / 30,
        frames_per_second=30.0,
        quarter_turns=0,
        has_audio=True,
        is_hdr=False,
    )
    return dataclasses.replace(info, **changes)  # pyright: ignore[reportArgumentType]


class TestRouting:
    def test_without_a_gpu_all_goes_to_pyav(self) -> None:
        assert choose_decoder(plain_info(), gpu=False) == ("pyav", "no GPU")

    @pytest.mark.parametrize(
        "changes", [{}, {"codec": "hevc"}, {"pixel_format": "yuvj420p"}, {"matrix": "smpte170m"}, {"quarter_turns": 1}]
    )
    def test_plain_clips_go_to_nvdec(self, changes: dict[str, object]) -> None:
        decoder, reason = choose_decoder(plain_info(**changes), gpu=True)
        assert decoder == "nvdec"
        assert "4:2:0" in reason

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"pixel_format": "yuv444p"}, "yuv444p"),
            ({"pixel_format": "yuv422p"}, "yuv422p"),
            ({"codec": "hevc", "pixel_format": "yuv420p10le"}, "yuv420p10le"),
            ({"codec": "vp9"}, "codec vp9"),
            ({"codec": "av1"}, "codec av1"),
            ({"codec": "mjpeg"}, "codec mjpeg"),
            ({"width": 853}, "odd frame size"),
            ({"width": 64, "height": 48}, "144 to 4096"),
            ({"width": 8192}, "144 to 4096"),
            ({"matrix": "bt709"}, "bt709"),
            ({"is_interlaced": True}, "interlaced"),
            ({"num_frames": 1, "pts": np.arange(1)}, "one frame"),
            ({"numbering_doubt": "edit list"}, "frame numbers in doubt"),
        ],
    )
    def test_doubtful_clips_go_to_pyav_with_the_reason(self, changes: dict[str, object], expected: str) -> None:
        decoder, reason = choose_decoder(plain_info(**changes), gpu=True)
        assert decoder == "pyav"
        assert expected in reason

    @pytest.mark.clips
    def test_real_clips(self, test_data: Path) -> None:
        for path in sorted(test_data.glob("clips/ffpp/**/*.mp4")):
            assert choose_decoder(probe(path), gpu=True)[1].startswith("pixel format yuv444p"), path
        for path in sorted(test_data.glob("clips/dfdc/**/*.mp4")):
            assert choose_decoder(probe(path), gpu=True) == ("nvdec", "h264 8-bit 4:2:0"), path


class TestGraphs:
    @pytest.mark.parametrize("quarter_turns", range(4))
    def test_the_tail_equals_rot90(self, quarter_turns: int) -> None:
        pipeline = host_graph(quarter_turns, num_threads=1)
        pipeline.build()
        for shape in ((3, 5, 7, 3), (1, 8, 2, 3)):
            frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            pipeline.feed_input("frames", [frames])
            (output,) = pipeline.run()
            np.testing.assert_array_equal(np.array(output.at(0)), np.rot90(frames, quarter_turns, axes=(1, 2)))

    @pytest.mark.parametrize("quarter_turns", range(4))
    def test_the_nvdec_graph_can_be_constructed(self, quarter_turns: int) -> None:
        graph = nvdec_graph(quarter_turns, device_id=None, num_threads=1).serialize()
        assert b"decoders__Video" in graph
        assert b"mixed" in graph
        assert (b"Transpose" in graph) == (quarter_turns % 2 == 1)


class TestSource:
    @pytest.mark.parametrize("degrees", [0, 90, 180, -90])
    def test_dali_plain_pyav_and_rot90_agree(self, degrees: float, tmp_path: Path) -> None:
        path = write_video(tmp_path / "turned.mp4", rotation_degrees=degrees)
        by_dali, by_pyav = (
            DaliFrameSource(gpu=False).read(path, FramePlan(5)),
            PyAvFrameSource().read(path, FramePlan(5)),
        )
        info = probe(path)
        expected = np.rot90(read_frames(path, info, by_dali.frame_indices), info.quarter_turns, axes=(1, 2))
        np.testing.assert_array_equal(by_dali.frames, expected)
        np.testing.assert_array_equal(by_pyav.frames, expected)
        assert by_dali.places.tolist() == by_pyav.places.tolist() == [0, 1, 2, 3, 4]
        assert (by_dali.decoder, by_dali.decoder_reason) == ("pyav", "no GPU")

    def test_clips_of_all_kinds_in_one_run(self, tmp_path: Path) -> None:
        write_video(tmp_path / "a.mp4", num_frames=3)
        write_video(tmp_path / "b.webm", codec="vp9", width=61, height=47)
        write_video(tmp_path / "c.mov", rotation_degrees=90)
        (tmp_path / "d.mp4").write_text("no video")
        Image.fromarray(draw_frame(9, width=40, height=80)).save(tmp_path / "e.png")
        clips = [Clip(path.stem, path) for path in sorted(tmp_path.iterdir())]
        source = DaliFrameSource(gpu=False, num_threads=1)
        results = [result for _, result in source.iterate(clips, FramePlan(6))]
        assert isinstance(results[3], ClipError)
        frames = [result for result in results if isinstance(result, ClipFrames)]
        assert [f.frames.shape for f in frames] == [
            (3, 48, 64, 3),
            (6, 47, 61, 3),
            (6, 64, 48, 3),
            (1, 80, 40, 3),
        ]
        # Each clip keeps its own memory: DALI reuses its own.
        assert [frame_number(frame) for frame in frames[0].frames] == [0, 1, 2]
        assert [frame_number(frame) for frame in frames[1].frames] == [2, 6, 10, 14, 18, 22]
        assert source.counts == {("pyav", "no GPU"): 4}

    def test_device_id_belongs_to_gpu(self) -> None:
        for gpu, device_id in ((True, None), (False, 0)):
            with pytest.raises(ValueError, match="device_id must be given with gpu"):
                DaliFrameSource(gpu=gpu, device_id=device_id)

    def test_pyav_answers_for_a_failed_nvdec(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write_video(tmp_path / "plain.mp4", width=160, height=144)
        built = []

        def broken_graph(quarter_turns: int, *, device_id: int | None, num_threads: int) -> None:
            built.append(device_id)
            raise RuntimeError("Video is too small")

        monkeypatch.setattr(decode, "nvdec_graph", broken_graph)
        source = DaliFrameSource(gpu=True, device_id=0)
        for _ in range(2):
            frames = source.read(path, FramePlan(4))
            assert (frames.decoder, frames.decoder_reason) == ("pyav", "NVDEC failed")
            assert "Video is too small" in frames.warnings[0]
            assert [frame_number(frame) for frame in frames.frames] == frames.frame_indices.tolist()
        assert built == [0, 0]
        assert "plain.mp4: NVDEC failed" in caplog.text
        assert source.counts == {("pyav", "NVDEC failed"): 2}

    def test_nvdec_is_given_the_bytes_and_the_indices(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_video(tmp_path / "plain.mp4", width=160, height=144)
        fed: dict[str, np.ndarray] = {}

        class Output:
            def as_cpu(self) -> Output:
                return self

            def at(self, row: int) -> np.ndarray:
                return np.zeros((4, 144, 160, 3), np.uint8)

        class Graph:
            def build(self) -> None: ...

            def feed_input(self, name: str, values: list[np.ndarray]) -> None:
                (fed[name],) = values

            def run(self) -> tuple[Output]:
                return (Output(),)

        monkeypatch.setattr(decode, "nvdec_graph", lambda *args, **kwargs: Graph())
        source = DaliFrameSource(gpu=True, device_id=0)
        frames = source.read(path, FramePlan(4))
        assert fed["encoded"].tobytes() == path.read_bytes()
        assert fed["frames"].dtype == np.int32
        assert fed["frames"].tolist() == frames.frame_indices.tolist()
        assert source.counts == {("nvdec", "h264 8-bit 4:2:0"): 1}
        # Frames of another shape are not believed.
        write_video(path, width=320, height=144)
        assert source.read(path, FramePlan(4)).decoder == "pyav"

    @pytest.mark.clips
    def test_a_real_clip(self, test_data: Path) -> None:
        path = test_data / "clips/dfdc/dfdc_train_part_28/aagfhgtpmv.mp4"
        by_dali, by_pyav = (
            DaliFrameSource(gpu=False).read(path, FramePlan(3)),
            PyAvFrameSource().read(path, FramePlan(3)),
        )
        np.testing.assert_array_equal(by_dali.frames, by_pyav.frames)

    @pytest.mark.gpu
    @pytest.mark.clips
    def test_nvdec_agrees_with_pyav_on_real_clips(self, test_data: Path) -> None:
        source = DaliFrameSource(gpu=True, device_id=0)
        for path in sorted(test_data.glob("clips/dfdc/**/*.mp4")):
            by_nvdec, by_pyav = source.read(path, FramePlan(17)), PyAvFrameSource().read(path, FramePlan(17))
            assert by_nvdec.decoder == "nvdec", by_nvdec.warnings
            difference = by_nvdec.frames.astype(np.float32) - by_pyav.frames
            assert np.abs(difference).mean() <= 1
            assert np.abs(difference.mean(axis=(0, 1, 2))).max() <= 0.5
