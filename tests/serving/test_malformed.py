"""Requests wrong in every way we know: each is refused, nothing crashes, memory stays, a good one is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.serving.c_api_malformed import KINDS
from tests.serving.test_c_api import run_program

INVALID_ARGUMENT = "3 "
PEAK_MB = 1500
"""The library takes 450 of them, the frames that are sent no more than a few."""

GROWTH_MB = 300
"""From the first 100 requests to the last of 1000. TensorFlow keeps what it has prepared for each new size of frames,
and there are new ones to the end."""


def send(version: Path, count: int) -> dict[str, Any]:
    done = run_program("c_api_malformed", version, count)
    assert done.returncode == 0, f"ended with {done.returncode} at {done.stderr.splitlines()[-1]}"
    return json.loads(done.stdout)


def check(report: dict[str, Any], count: int) -> None:
    assert report["sent"] == count
    seen = {*report["answered"], *report["refused"]}
    assert seen == set(KINDS)
    answered = {kind for kind in report["answered"] if KINDS[kind].refused}
    assert not answered, "answered, though wrong"
    assert not report["wrong_answers"]
    errors = [error for of_kind in report["refused"].values() for error in of_kind]
    assert [error for error in errors if not error.startswith(INVALID_ARGUMENT)] == [], "clients would try these again"
    assert report["score_after"] == report["score_before"]
    assert report["peak_mb"] < PEAK_MB


def test_malformed_requests_are_refused_and_the_next_is_answered(small_version):
    count = len(KINDS) + 10
    check(send(small_version, count), count)


@pytest.mark.slow
def test_a_thousand_of_them_leave_memory_flat(small_version):
    report = send(small_version, 1000)
    check(report, 1000)
    after_100, *_, at_the_end = report["memory_mb"][1:]
    assert at_the_end < after_100 + GROWTH_MB
