"""A machine's NVDEC is used for what it does right and faster; whatever else it does is said, and PyAV decodes."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

pytest.importorskip("nvidia.dali", reason="DALI is not installed on this machine")
from pipelines.decode import choose_decoder
from pipelines.nvdec_findings import BT709, CROPPED, FULL_RANGE, H264, HEVC, ROTATED, SIZES, Finding, Findings
from pipelines.nvdec_trial import KINDS, Kind, compare_frames, render, try_nvdec
from tests.pipelines.fake_nvdec import Shifted, twin
from tfdfd.clip import FramePlan
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.video import probe

SMALL = (
    Kind(H264, width=320, height=240, is_timed=True),
    Kind(HEVC, encoder="libx265", width=320, height=240, is_timed=True),
)
MANY = (Kind(CROPPED, width=328, height=248, is_timed=True, is_many=True),)


def tried(name: str, kinds: tuple[Kind, ...] = SMALL, *, kind_seconds: float = 60.0) -> tuple[Finding, ...]:
    make = f"tests.pipelines.fake_nvdec:{name}"
    found = try_nvdec(make, kinds=kinds, num_frames=24, kind_seconds=kind_seconds)
    assert [finding.kind for finding in found] == [kind.name for kind in kinds]
    return found


def child_processes() -> set[str]:
    return {pid for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()}


class TestFaults:
    """Each kind of a fake's fault, and the words for it."""

    @pytest.mark.parametrize(
        ("name", "kinds", "reason"),
        [
            ("WrongPixels", SMALL, "levels"),
            ("Shifted", SMALL, "frames are another's"),
            ("Slow", SMALL, "slower than PyAV"),
            ("Leaking", MANY, "1.4 GB more of the GPU's memory"),
            ("Failing", SMALL, "libnvcuvid.so.1"),
            ("Crashing", SMALL, "ended with status -11"),
            ("refusing", SMALL, "no CUDA-capable device"),
        ],
    )
    def test_pyav_is_taken_and_the_reason_said_once(
        self, name: str, kinds: tuple[Kind, ...], reason: str, tmp_path: Path
    ) -> None:
        found = tried(name, kinds)
        assert all(reason in finding.problem for finding in found), found
        findings = Findings(found)
        if len({finding.problem for finding in found}) == 1:
            assert findings.sentence.count(reason) == 1
        assert findings.sentence.startswith("PyAV decodes")
        (path,) = render(kinds[0], tmp_path, num_frames=3)
        assert choose_decoder(probe(path), gpu=True, findings=findings)[0] == "pyav"

    def test_what_hangs_is_ended(self) -> None:
        before = child_processes()
        found = tried("Hanging", SMALL[:1], kind_seconds=6.0)
        assert "longer than 6 s" in found[0].problem
        assert child_processes() <= before

    def test_a_crash_on_one_kind_leaves_the_others(self) -> None:
        h264, hevc = tried("CrashingOnHevc")
        assert h264.problem == ""
        assert "ended with status -11" in hevc.problem
        assert Findings((h264, hevc)).sentence.startswith(f"NVDEC decodes {H264}")

    def test_when_the_time_is_up_the_rest_is_not_checked(self) -> None:
        found = try_nvdec("tests.pipelines.fake_nvdec:Fake", kinds=SMALL, num_frames=3, trial_seconds=0.0)
        assert [finding.is_checked for finding in found] == [False, False]
        assert all("no time left" in finding.problem for finding in found)

    def test_a_kind_that_cannot_be_rendered_is_not_checked_and_goes_to_pyav(self) -> None:
        kinds = (SMALL[0], Kind(HEVC, encoder="no_such_encoder"))
        right, not_checked = tried("Fake", kinds)
        assert (right.problem, right.is_checked) == ("", True)
        assert not not_checked.is_checked
        assert "not checked" in not_checked.problem


def test_what_is_right_and_faster_is_taken() -> None:
    found = tried("Fake", (*SMALL, *MANY))
    assert [finding.problem for finding in found] == ["", "", ""]
    assert found[2].growth_bytes == 0
    for finding in found:
        assert finding.mean_difference == finding.signed_mean == finding.misnumbered == 0
        assert finding.nvdec_seconds < finding.pyav_seconds  # pyright: ignore[reportOptionalOperand]


class TestKinds:
    def test_each_kind_s_clip_is_what_its_name_says(self, tmp_path: Path) -> None:
        infos = {kind.name: [probe(path) for path in render(kind, tmp_path, num_frames=6)] for kind in KINDS}
        assert set(infos) == {H264, HEVC, CROPPED, SIZES, ROTATED, FULL_RANGE, BT709}
        plain = infos[H264][0]
        assert (plain.codec, plain.coded_width, plain.coded_height) == ("h264", plain.width, plain.height)
        assert infos[HEVC][0].codec == "hevc"
        assert (infos[CROPPED][0].height, infos[CROPPED][0].coded_height) == (1080, 1088)
        whole, cropped = infos[SIZES]
        assert (whole.coded_width, whole.coded_height) == (cropped.coded_width, cropped.coded_height)
        assert (whole.width, whole.height) != (cropped.width, cropped.height)
        assert infos[ROTATED][0].quarter_turns
        assert [info.is_full_range for (info, *_) in infos.values()].count(True) == 1
        assert infos[FULL_RANGE][0].is_full_range
        assert infos[BT709][0].matrix == "bt709"
        for info, *_ in infos.values():
            assert choose_decoder(info, gpu=True)[0] == "nvdec", info

    @pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.name)
    def test_frames_are_stored_in_another_order_than_they_are_shown(self, kind: Kind, tmp_path: Path) -> None:
        (path,) = render(kind, tmp_path, num_frames=12)
        with av.open(str(path)) as container:
            shown = [packet.pts for packet in container.demux(video=0) if packet.size]
        assert shown != sorted(shown)  # pyright: ignore[reportArgumentType]

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
    def test_dali_s_colours_come_near_enough_to_pyav_s(self, kind: Kind, tmp_path: Path) -> None:
        source = twin()
        paths = render(kind, tmp_path, num_frames=6)
        for path in (*paths, *paths[:1]):
            finding = compare_frames(source.read(path, FramePlan(2)), PyAvFrameSource().read(path, FramePlan(2)), path)
            assert finding.problem == "", finding
            assert finding.misnumbered == 0
        source.close()


def test_a_frame_of_another_number_is_seen_in_what_is_rotated(tmp_path: Path) -> None:
    (path,) = render(Kind(ROTATED, width=320, height=240, rotation_degrees=90), tmp_path, num_frames=12)
    plan = FramePlan(4)
    finding = compare_frames(Shifted().read(path, plan), PyAvFrameSource().read(path, plan), path)
    assert finding.misnumbered == 4


@pytest.mark.slow
def test_the_whole_trial_with_the_cpu_in_place_of_the_gpu_finds_all_right_but_slow() -> None:
    found = try_nvdec("tests.pipelines.fake_nvdec:twin", num_frames=8)
    assert len(found) == len(KINDS)
    for kind, finding in zip(KINDS, found, strict=True):
        assert finding.problem == ("slower than PyAV" if kind.is_timed else ""), finding
        assert finding.mean_difference is not None
        assert finding.mean_difference <= 1
        assert not finding.is_wrong
