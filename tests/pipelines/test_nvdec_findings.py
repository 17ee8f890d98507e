"""What was found of a machine's NVDEC is kept beside its driver's version, and found out again where that changes."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from pipelines import nvdec_findings
from pipelines.nvdec_findings import H264, HEVC, Finding, Findings, kept_findings

FOUND = (Finding(H264, mean_difference=0.4, nvdec_seconds=0.1, pyav_seconds=0.3), Finding(HEVC, "pixels differ"))


class Check:
    """Counts how often it is asked."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.times, self.seconds = 0, seconds

    def __call__(self) -> tuple[Finding, ...]:
        self.times += 1
        time.sleep(self.seconds)
        return FOUND


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/tfdfd"


def test_it_is_found_out_once(cache: Path) -> None:
    check = Check()
    assert [kept_findings("A100", "550.54", check) for _ in range(3)] == [Findings(FOUND)] * 3
    assert check.times == 1
    (file,) = cache.glob("*.json")
    kept = json.loads(file.read_text())
    assert (kept["of"]["card"], kept["of"]["driver"]) == ("A100", "550.54")


@pytest.mark.parametrize("changed", ["card", "driver", "trial", "package"])
def test_another_card_driver_trial_or_package_is_tried_again(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check = Check()
    kept_findings("A100", "550.54", check)
    if changed == "trial":
        monkeypatch.setattr(nvdec_findings, "TRIAL_VERSION", 99)
    if changed == "package":
        monkeypatch.setattr(nvdec_findings, "version", lambda package: "99")
    kept_findings("T4" if changed == "card" else "A100", "560.1" if changed == "driver" else "550.54", check)
    assert check.times == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"of": {}}', '{"kinds": [{"no": 1}]}'])
def test_a_damaged_file_is_made_again(cache: Path, content: str) -> None:
    check = Check()
    kept_findings("A100", "550.54", check)
    (file,) = cache.glob("*.json")
    file.write_text(content)
    assert kept_findings("A100", "550.54", check) == Findings(FOUND)
    assert check.times == 2
    assert kept_findings("A100", "550.54", check) == Findings(FOUND)
    assert check.times == 2


def test_of_several_at_once_one_tries_and_the_others_wait() -> None:
    check, found = Check(seconds=0.5), []
    threads = [threading.Thread(target=lambda: found.append(kept_findings("A100", "550.54", check))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Findings(FOUND)] * 4
    assert check.times == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    assert kept_findings("A100", "550.54", Check()) == Findings(FOUND)


def test_a_file_in_place_of_the_cache_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setattr(nvdec_findings.tempfile, "gettempdir", lambda: str(tmp_path))
    assert kept_findings("A100", "550.54", Check()) == Findings(FOUND)


def test_the_sentence_names_what_each_decodes_and_a_reason_that_all_share_once() -> None:
    assert H264 in Findings(FOUND).sentence
    assert "HEVC (pixels differ)" in Findings(FOUND).sentence
    none = Findings(tuple(Finding(kind, "libnvcuvid.so.1 is missing") for kind in (H264, HEVC)))
    assert none.sentence == "PyAV decodes, not NVDEC: libnvcuvid.so.1 is missing"
