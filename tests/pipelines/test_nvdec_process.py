"""NVDEC works in a process that is replaced before DALI uses the decoder of another clip, or keeps too many."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines import nvdec_process
from pipelines.nvdec_colours import BT601, correction_of
from pipelines.nvdec_process import DecoderCache, NvdecError, NvdecProcess, Pictures
from tests.pipelines.cpu_engine import ENGINE
from tests.video_files import frame_number, write_video
from tfdfd.gpus import driver_cards

PLAIN = Pictures("h264", (1280, 720), (1280, 720))
CROPPED = Pictures("h264", (1280, 720), (1270, 712))
FULL_HD = Pictures("h264", (1920, 1088), (1920, 1080))
SMALL = Pictures("h264", (160, 144), (160, 144))
"""As the clip is."""


def decode(process: NvdecProcess, path: Path, pictures: Pictures) -> np.ndarray:
    """Decode two frames."""
    return process.decode(
        path,
        pictures,
        np.array([1, 3]),
        quarter_turns=0,
        correction=correction_of(BT601, is_full_range=False),
        num_frames=5,
    )


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", width=160, height=144, num_frames=5)


@pytest.fixture
def process():
    process = NvdecProcess(device_id=0, num_threads=1, engine=ENGINE)
    yield process
    process.close()


class TestTable:
    def test_a_clip_that_is_coded_as_it_is_shown_finds_its_decoder_again(self) -> None:
        cache = DecoderCache()
        for _ in range(5):
            assert not cache.would_mix(PLAIN)
            cache.take(PLAIN)
        assert cache.num_decoders == 1

    def test_each_clip_of_1080p_makes_a_decoder(self) -> None:
        cache = DecoderCache()
        for _ in range(5):
            assert not cache.would_mix(FULL_HD)
            cache.take(FULL_HD)
        assert cache.num_decoders == 5

    def test_a_clip_would_be_given_the_decoder_of_another_display_size(self) -> None:
        cache = DecoderCache()
        cache.take(PLAIN)
        assert cache.would_mix(CROPPED)
        assert not cache.would_mix(Pictures("hevc", (1280, 720), (1270, 712)))

    def test_and_that_of_another_coded_size(self) -> None:
        cache = DecoderCache()
        cache.take(Pictures("h264", (1296, 736), (1280, 720)))
        assert cache.would_mix(PLAIN)
        cache = DecoderCache()
        cache.take(CROPPED)
        assert not cache.would_mix(PLAIN)


class TestProcess:
    def test_frames_come_back_in_memory_that_tensorflow_need_not_copy(self, process, clip: Path) -> None:
        frames = decode(process, clip, SMALL)
        assert [frame_number(frame) for frame in frames] == [1, 3]
        assert frames.ctypes.data % 64 == 0
        assert frames.flags.writeable
        again = decode(process, clip, SMALL)
        assert not np.shares_memory(frames, again)
        assert process.device_bytes != os.getpid()  # the engine says its process id

    def test_one_process_decodes_clips_that_are_coded_as_they_are_shown(self, process, clip: Path) -> None:
        used = set()
        for _ in range(2 * nvdec_process.MAX_DECODERS):
            decode(process, clip, SMALL)
            used.add(process.device_bytes)
        assert len(used) == process.num_started == 1

    def test_a_process_is_replaced_before_it_keeps_too_many_decoders(self, process, clip: Path, monkeypatch) -> None:
        monkeypatch.setattr(nvdec_process, "MAX_DECODERS", 4)
        used = []
        for _ in range(9):
            decode(process, clip, Pictures("h264", (176, 144), (160, 144)))
            used.append(process.device_bytes)
        assert [used.count(each) for each in dict.fromkeys(used)] == [4, 4, 1]

    def test_a_process_is_replaced_before_it_mixes_decoders(self, process, clip: Path) -> None:
        cropped = Pictures("h264", (160, 144), (158, 142))
        cropped_clip = write_video(clip.with_name("cropped.mp4"), width=158, height=142, num_frames=5)
        frames = decode(process, clip, SMALL)
        assert process.num_started == 1
        small = decode(process, cropped_clip, cropped)
        assert process.num_started == 2
        assert small.shape == (2, 142, 158, 3)
        assert frames.shape == (2, 144, 160, 3)

    @pytest.mark.parametrize(("name", "reason"), [("segfault", "status -11"), ("refused", "OUT_OF_MEMORY")])
    def test_a_crash_or_an_error_is_said_and_the_next_clip_gets_another_process(
        self, process, clip: Path, name: str, reason: str
    ) -> None:
        bad = clip.rename(clip.with_name(f"{name}.mp4"))
        with pytest.raises(NvdecError, match=reason):
            decode(process, bad, SMALL)
        assert len(decode(process, bad.rename(clip), SMALL)) == 2
        assert process.num_started == 2

    def test_a_hang_ends_after_a_while(self, process, clip: Path, monkeypatch) -> None:
        monkeypatch.setattr(nvdec_process, "CLIP_SECONDS", 1.0)
        with pytest.raises(NvdecError, match="did not answer in 2 s"):
            decode(process, clip.rename(clip.with_name("hang.mp4")), SMALL)

    def test_closing_leaves_no_process(self, process, clip: Path) -> None:
        decode(process, clip, SMALL)
        process_id = process.device_bytes
        process.close()
        assert not Path(f"/proc/{process_id}").exists()

    def test_an_engine_that_cannot_be_made_is_a_failure_with_its_words(self, clip: Path) -> None:
        process = NvdecProcess(device_id=0, num_threads=1, engine="no.such.module:Engine")
        with pytest.raises(NvdecError, match="No module named"):
            decode(process, clip, SMALL)


def test_without_a_gpu_the_real_engine_fails_with_a_reason(clip: Path) -> None:
    pytest.importorskip("nvidia.dali", reason="DALI is not installed on this machine")
    if driver_cards():
        pytest.skip("there is a GPU here")
    process = NvdecProcess(device_id=0, num_threads=1)
    with pytest.raises(NvdecError, match=r"\w"):
        decode(process, clip, SMALL)
    process.close()
