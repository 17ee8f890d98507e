"""TensorFlow's own loader is asked which CUDA libraries it opens, with libraries that are made up, and given links."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tfdfd import cuda_libraries
from tfdfd.cuda_libraries import LINK, SET_UP_GPU, ask_loader, finding_of, link_missing, why_unseen
from tfdfd.gpus import Card, tensorflow_folder

LIBRARIES = {
    "libcudart.so.12": "cuda_runtime",
    "libcublas.so.12": "cublas",
    "libcublasLt.so.12": "cublas",
    "libcufft.so.11": "cufft",
    "libcusolver.so.11": "cusolver",
    "libcusparse.so.12": "cusparse",
    "libcudnn.so.9": "cudnn",
    "libnccl.so.2": "nccl",
}
"""What TensorFlow 2.21 opens by name, and the package of NVIDIA that brings it."""


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """NVIDIA's packages beside the real loader of TensorFlow, each library an empty one of that name."""
    framework = (tensorflow_folder() or tmp_path) / "libtensorflow_framework.so.2"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not framework.is_file() or compiler is None:
        pytest.skip(f"needs a C compiler and {framework.name}")
    (tmp_path / "empty.c").write_text("int empty;\n")
    for name, package in LIBRARIES.items():
        library = tmp_path / "nvidia" / package / "lib" / name
        library.parent.mkdir(parents=True, exist_ok=True)
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(library), str(tmp_path / "empty.c")]
        subprocess.run(command, check=True)
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / framework.name).symlink_to(framework)
    monkeypatch.setattr(cuda_libraries, "tensorflow_folder", lambda: tmp_path / "tensorflow")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    return tmp_path / "nvidia"


def no_card_is_seen(monkeypatch: pytest.MonkeyPatch, *cards: Card) -> None:
    monkeypatch.setattr(cuda_libraries, "visible_cards", lambda: cards or (Card(0, "X"),))


def test_what_the_loader_does_not_search_is_linked_and_then_opened(packages: Path):
    before = ask_loader()
    assert set(before.opened) | set(before.failed) >= set(LIBRARIES)
    assert before.failed.keys() - {"libcuda.so.1"} <= {"libcusolver.so.11"}  # a newer TensorFlow may search there
    made = link_missing()
    assert [link.name for link in made] == [name for name in before.failed if name != "libcuda.so.1"]
    after = ask_loader()
    assert after.is_ok
    assert set(LIBRARIES) <= set(after.opened)
    assert link_missing() == []


def test_a_link_can_be_moved_with_its_environment(packages: Path):
    for link in link_missing():
        assert not link.readlink().is_absolute()
        assert link.resolve() == (packages / "cusolver" / "lib" / link.name).resolve()


def test_what_is_installed_and_not_searched_is_told_from_what_is_not_installed(packages: Path):
    if not ask_loader().is_ok:
        assert finding_of(ask_loader()).remedy == LINK
    (packages / "cufft" / "lib" / "libcufft.so.11").unlink()
    finding = finding_of(ask_loader())
    assert (finding.remedy, "libcufft.so.11" in finding.reason) == (SET_UP_GPU, True)


def test_a_library_that_is_found_and_damaged_is_not_to_be_linked_again(packages: Path):
    link_missing()
    (packages / "cublas" / "lib" / "libcublas.so.12").write_bytes(b"damaged")
    remedy = finding_of(ask_loader()).remedy
    assert remedy not in (LINK, SET_UP_GPU)


def test_where_all_is_opened_but_the_driver_it_is_the_driver(packages: Path, monkeypatch: pytest.MonkeyPatch):
    link_missing()
    no_card_is_seen(monkeypatch)
    report = ask_loader()
    if "libcuda.so.1" not in report.failed:
        pytest.skip("this machine has a driver")
    finding = why_unseen(0, "")
    assert finding is not None
    assert "libcuda.so.1" in finding.reason
    assert "NVIDIA_DRIVER_CAPABILITIES" in finding.remedy


def test_small_cards_that_tensorflow_skips_are_found_by_their_address(monkeypatch: pytest.MonkeyPatch):
    large = Card(0, "Large", uuid="GPU-a", pci_bus_id="00000000:01:00.0")
    small = Card(1, "Small", uuid="GPU-b", pci_bus_id="00000000:0F:00.0")
    no_card_is_seen(monkeypatch, large, small)
    monkeypatch.setattr(cuda_libraries, "ask_loader", lambda: cuda_libraries.LoaderReport(tuple(LIBRARIES)))
    log = (
        "I0000 gpu_device.cc:2431] Ignoring visible gpu device (device: 1, name: Small, pci bus id: 0000:0f:00.0, "
        "compute capability: 7.5) with core count: 5. The minimum required count is 8. You can adjust this requirement "
        "with the env var TF_MIN_GPU_MULTIPROCESSOR_COUNT.\n"
    )
    finding = why_unseen(1, log)
    assert finding is not None
    assert ("Small" in finding.reason, "Large" in finding.reason) == (True, False)
    assert "CUDA_VISIBLE_DEVICES=GPU-a" in finding.remedy
    assert "TF_MIN_GPU_MULTIPROCESSOR_COUNT" in finding.remedy


def test_any_other_reason_is_tensorflow_s_own(monkeypatch: pytest.MonkeyPatch):
    no_card_is_seen(monkeypatch)
    monkeypatch.setattr(cuda_libraries, "ask_loader", lambda: cuda_libraries.LoaderReport(tuple(LIBRARIES)))
    finding = why_unseen(0, "E0000 cuda_platform.cc:52] failed call to cuInit: INTERNAL: UNKNOWN ERROR (803)\n")
    assert finding is not None
    assert "UNKNOWN ERROR (803)" in finding.reason


def test_nothing_is_wrong_where_all_are_seen(monkeypatch: pytest.MonkeyPatch):
    no_card_is_seen(monkeypatch, Card(0, "A"), Card(1, "B"))
    assert why_unseen(2, "") is None
    no_card_is_seen(monkeypatch, Card(0, "A", is_divided=True), Card(1, "B"))
    assert why_unseen(1, "") is None
