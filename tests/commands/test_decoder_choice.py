"""`--decoder`: what decodes, what a person is told of it, and what it costs where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("nvidia.dali", reason="DALI is not installed on this machine")
from rich.console import Console

from pipelines import nvdec_trial
from pipelines.nvdec_findings import H264, Finding
from pipelines.nvdec_trial import Kind, try_nvdec
from tests.run_commands import run
from tests.video_files import write_video
from tfdfd.clip import FramePlan, TfdfdError
from tfdfd.commands import inputs
from tfdfd.commands.inputs import choose_frame_source, make_frame_source, settle_decoder
from tfdfd.gpus import Card

CARD = Card(0, "NVIDIA Fake", uuid="GPU-1", driver_version="550.54")
SMALL = (Kind(H264, width=320, height=240, is_timed=True),)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", width=320, height=240)


def on_a_machine_with(monkeypatch: pytest.MonkeyPatch, fake: str) -> list[str]:
    """Pretend that there is a card whose NVDEC has a fake's faults; return what is tried."""
    tried: list[str] = []

    def trial(*, kinds: Sequence[Kind] = (), environment: dict[str, str] | None = None) -> tuple[Finding, ...]:
        tried.append((environment or {}).get("CUDA_VISIBLE_DEVICES", ""))
        return try_nvdec(f"tests.pipelines.fake_nvdec:{fake}", kinds=SMALL, num_frames=24)

    monkeypatch.setattr(inputs, "visible_cards", lambda: (CARD,))
    monkeypatch.setattr(nvdec_trial, "try_nvdec", trial)
    return tried


@pytest.fixture
def no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be tried")

    monkeypatch.setattr(nvdec_trial, "try_nvdec", refuse)


class TestWithoutAGpu:
    @pytest.fixture(autouse=True)
    def no_card(self, monkeypatch: pytest.MonkeyPatch, no_trial: None) -> None:
        monkeypatch.setattr(inputs, "visible_cards", lambda: ())

    def test_auto_says_nothing_and_tries_nothing(self, console: Console, clip: Path) -> None:
        settle_decoder("auto", console)
        source, note = choose_frame_source(gpu=False, num_threads=1)
        assert (console.export_text(), note) == ("", "")
        frames = source.read(clip, FramePlan(2))
        assert (frames.decoder, frames.decoder_reason) == ("pyav", "no GPU")

    def test_pyav_is_what_it_is(self, clip: Path) -> None:
        source, note = choose_frame_source(gpu=False, num_threads=1, decoder="pyav")
        assert note == ""
        assert source.read(clip, FramePlan(2)).decoder_reason == "--decoder pyav"

    def test_nvdec_cannot_be_had(self, console: Console) -> None:
        for ask in (
            lambda: settle_decoder("nvdec", console),
            lambda: choose_frame_source(gpu=False, num_threads=1, decoder="nvdec"),
        ):
            with pytest.raises(TfdfdError, match=r"--decoder nvdec: .*GPU"):
                ask()


class TestWithAGpu:
    @pytest.mark.parametrize(
        ("fake", "reason"),
        [
            ("WrongPixels", "pixels differ by"),
            ("Slow", "slower than PyAV"),
            ("Failing", "libnvcuvid.so.1"),
            ("Crashing", "ended with status -11"),
        ],
    )
    def test_auto_takes_pyav_and_says_why_once(
        self, monkeypatch: pytest.MonkeyPatch, console: Console, clip: Path, fake: str, reason: str
    ) -> None:
        tried = on_a_machine_with(monkeypatch, fake)
        for _ in range(3):
            source = make_frame_source(console, gpu=True)
        assert tried == [CARD.uuid]  # found once, kept afterwards
        said = console.export_text()
        assert said.count(reason) == 1
        assert said.count("trying NVDEC of the NVIDIA Fake") == 1
        frames = source.read(clip, FramePlan(2))
        assert frames.decoder == "pyav"
        assert reason in frames.decoder_reason
        assert frames.warnings == ()

    def test_auto_takes_an_nvdec_that_is_right_and_faster(
        self, monkeypatch: pytest.MonkeyPatch, console: Console, clip: Path
    ) -> None:
        on_a_machine_with(monkeypatch, "Fake")
        source = make_frame_source(console, gpu=True)
        assert f"NVDEC decodes {H264}" in console.export_text()
        # There is no GPU here after all: the failure is announced, and PyAV answers.
        frames = source.read(clip, FramePlan(2))
        assert (frames.decoder, frames.decoder_reason) == ("pyav", "NVDEC failed")
        assert len(frames.warnings) == 1

    def test_what_all_workers_say_is_the_same_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        on_a_machine_with(monkeypatch, "WrongPixels")
        notes = {choose_frame_source(gpu=True, num_threads=1)[1] for _ in range(3)}
        assert len(notes) == 1

    def test_pyav_forbids_it(
        self, monkeypatch: pytest.MonkeyPatch, no_trial: None, console: Console, clip: Path
    ) -> None:
        monkeypatch.setattr(inputs, "visible_cards", lambda: (CARD,))
        source = make_frame_source(console, gpu=True, decoder="pyav")
        assert source.read(clip, FramePlan(2)).decoder_reason == "--decoder pyav"
        assert console.export_text() == ""

    @pytest.mark.parametrize(
        ("fake", "is_refused"), [("Failing", True), ("Crashing", True), ("Slow", False), ("WrongPixels", False)]
    )
    def test_nvdec_is_refused_where_it_gives_no_frame(
        self, monkeypatch: pytest.MonkeyPatch, console: Console, fake: str, is_refused: bool
    ) -> None:
        on_a_machine_with(monkeypatch, fake)
        ask: Callable[[], None] = partial(settle_decoder, "nvdec", console)
        if is_refused:
            with pytest.raises(TfdfdError, match="NVDEC cannot decode here"):
                ask()
        else:
            ask()
            assert "--decoder nvdec" in choose_frame_source(gpu=True, num_threads=1, decoder="nvdec")[1]


@pytest.mark.parametrize("name", ["prepare", "train", "score", "eval"])
def test_every_command_that_decodes_has_the_flag(name: str, tmp_path: Path) -> None:
    done = run("tfdfd", name, "--help", cwd=tmp_path)
    assert "--decoder {auto,nvdec,pyav}" in done.stdout
