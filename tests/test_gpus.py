"""Which GPUs a process may see, and which of them TensorFlow can use: by drivers that are made up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fake_driver import on_path, uuid_of, write_nvidia_smi, write_program
from tfdfd import gpus
from tfdfd.clip import TfdfdError
from tfdfd.gpus import (
    Card,
    card_problem,
    choose_gpus,
    driver_cards,
    driver_problem,
    environment_of,
    first_use_note,
    name_for_cuda,
    tensorflow_build,
    visible_cards,
    why_no_gpu,
)

Driver = Callable[..., None]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Driver]:
    """Put a driver on the PATH: called with what `write_nvidia_smi` takes, or with a script."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_CACHE_MAXSIZE"):
        monkeypatch.setenv(name, "")  # restored afterwards, whatever the test sets
        monkeypatch.delenv(name)

    def put(script: str | None = None, **facts) -> None:
        folder = tmp_path / "bin"
        _ = write_nvidia_smi(folder, **facts) if script is None else write_program(folder, script)
        monkeypatch.setenv("PATH", on_path(folder))
        gpus._ask_driver.cache_clear()

    gpus._ask_driver.cache_clear()
    yield put
    gpus._ask_driver.cache_clear()


def test_cards_are_read_with_what_the_driver_says_of_them(driver: Driver):
    driver(capabilities=("8.0", "9.0"), driver="555.42.06")
    assert driver_cards() == (
        Card(0, "NVIDIA Fake 0", uuid_of(0), "00000000:01:00.0", 24 << 30, 24000 << 20, False, (8, 0), "555.42.06"),
        Card(1, "NVIDIA Fake 1", uuid_of(1), "00000000:02:00.0", 24 << 30, 24000 << 20, False, (9, 0), "555.42.06"),
    )


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        ("-1", []),
        ("2", [2]),
        ("3,1", [3, 1]),
        (" 0 , 2 ", [0, 2]),
        ("1,9,2", [1]),
        ("1,1,2", [1]),
        (uuid_of(3), [3]),
        ("GPU-00000002", [2]),
        ("GPU-0", []),  # it could be any of them
        ("1,-1,2", [1]),
    ],
)
def test_cuda_visible_devices_leaves_the_cards_that_it_names(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: list[int]
):
    driver(capabilities=("8.0",) * 4)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [card.index for card in visible_cards()] == seen


def test_the_first_cards_are_chosen_and_the_others_hidden(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    driver(capabilities=("8.0",) * 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1,0")
    assert [card.index for card in choose_gpus(2)] == [3, 1]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == f"{uuid_of(3)},{uuid_of(1)}"
    assert [card.index for card in visible_cards()] == [3, 1]  # and so for all processes that are started
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert int(os.environ["CUDA_CACHE_MAXSIZE"]) == 4 << 30


def test_all_cards_are_chosen_where_no_number_is_given(driver: Driver):
    driver(capabilities=("8.0", "8.6"))
    assert len(choose_gpus()) == 2
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_no_card_is_seen_where_none_is_wanted(driver: Driver):
    driver(capabilities=("12.0",))  # which would be refused
    assert choose_gpus(0) == ()
    assert (os.environ["CUDA_VISIBLE_DEVICES"], visible_cards()) == ("", ())
    assert "hidden" in why_no_gpu()


def test_more_than_there_are_is_an_error_with_both_numbers(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    driver(capabilities=("8.0", "8.0"))
    with pytest.raises(TfdfdError, match=r"asks for 4 GPUs.* lists 2"):
        choose_gpus(4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(TfdfdError, match=r"CUDA_VISIBLE_DEVICES='1' leaves 1"):
        choose_gpus(2)


@pytest.mark.parametrize("version", ["520.61", "525.60.13", "550.54.15", "555.42.06"])
@pytest.mark.parametrize("capability", [(5, 2), (7, 0), (8, 0), (8, 6), (9, 0), (12, 0)])
def test_each_card_and_driver_has_its_own_answer(capability: tuple[int, int], version: str):
    build = tensorflow_build()
    if build.cuda != "12.5":
        pytest.skip(f"TensorFlow {build.version} is built for CUDA {build.cuda or 'none'}; this table is of 12.5")
    problem = card_problem(Card(0, "X", compute_capability=capability, driver_version=version))
    number = int(version[:3])
    if capability == (12, 0):
        assert "12.0" in problem
        assert "10.0 and later" in problem
    elif capability == (5, 2):
        assert "none for compute capability 5.2" in problem
    elif capability == (9, 0) and number < 555:
        assert "555" in problem
        assert version in problem
    elif number < 525:
        assert "525" in problem
        assert version in problem
    else:
        assert problem == ""


def test_a_card_that_cannot_be_used_stops_the_run_and_names_those_that_can(driver: Driver):
    driver(capabilities=("12.0", "8.0"), driver="580.1")
    with pytest.raises(TfdfdError) as caught:
        choose_gpus()
    message = str(caught.value)
    assert "12.0" in message
    assert f"CUDA_VISIBLE_DEVICES={uuid_of(1)}" in message
    assert "--cpu" in message


def test_a_first_start_that_takes_minutes_is_announced_until_its_kernels_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("CUDA_CACHE_PATH", str(tmp_path))
    hopper, ampere = (Card(0, "H100", compute_capability=number) for number in ((9, 0), (8, 0)))
    if not tensorflow_build().to_compile:
        pytest.skip("this TensorFlow is built for CPUs")
    assert "H100" in first_use_note([ampere, hopper])
    assert first_use_note([ampere]) == ""
    (tmp_path / "index").write_text("kernels")
    assert first_use_note([hopper]) == ""


def test_a_driver_that_answers_with_an_error_lists_no_card_and_says_why(driver: Driver):
    driver("#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n")
    assert driver_cards() == ()
    assert "version mismatch" in driver_problem()
    assert "version mismatch" in why_no_gpu()


def test_what_is_no_list_of_cards_is_none(driver: Driver):
    driver("#!/bin/sh\necho 'No devices were found, reboot'\n")
    assert driver_cards() == ()
    assert "reboot" in driver_problem()


def test_a_driver_that_does_not_know_compute_cap_still_lists_its_cards(driver: Driver):
    driver(
        "#!/bin/sh\ncase \"$1\" in *compute_cap*) echo 'Field compute_cap is not a valid field.'; exit 2;; esac\n"
        f"echo '0, Old, {uuid_of(0)}, 00000000:01:00.0, 100, 50, [N/A]'\n"
    )
    (card,) = driver_cards()
    assert (card.name, card.compute_capability, card_problem(card)) == ("Old", None, "")


def test_a_card_without_a_uuid_goes_by_its_number():
    assert name_for_cuda(Card(5, "X")) == "5"
    assert environment_of(Card(5, "X", uuid="GPU-1")) == {"CUDA_VISIBLE_DEVICES": "GPU-1"}
    assert environment_of(None) == {"CUDA_VISIBLE_DEVICES": ""}


def test_of_a_divided_card_a_process_sees_the_slice_that_is_named(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    driver(mig="Enabled")
    assert [card.is_divided for card in visible_cards()] == [True]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-5,MIG-6")
    assert [name_for_cuda(card) for card in visible_cards()] == ["MIG-5"]


LIBCUDA = """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strcpy(name, device ? "Two" : "One"); return 0; }
int cuDeviceGetPCIBusId(char *address, int size, int device) { strcpy(address, "0000:01:00.0"); return 0; }
int cuDeviceGetUuid(char *uuid, int device) { memset(uuid, device, 16); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 8ull << 30; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 8 : 6; return 0; }
"""


def test_without_nvidia_smi_cuda_itself_is_asked(tmp_path: Path):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler, which the driver of this test needs")
    (tmp_path / "cuda.c").write_text(LIBCUDA)
    library = str(tmp_path / "libcuda.so.1")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, str(tmp_path / "cuda.c")], check=True)
    done = subprocess.run(
        [sys.executable, "-c", "from tfdfd.gpus import driver_cards; print([c.label for c in driver_cards()])"],
        env={**os.environ, "PATH": str(tmp_path), "LD_LIBRARY_PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "GPU 0, One (8.6" in done.stdout
    assert "GPU 1, Two (8.6" in done.stdout
