"""Fixtures shared by all tests, and which tests see the machine's GPUs.

The driver reads CUDA_VISIBLE_DEVICES once a process, when CUDA starts. So a session shows the cards to all of its tests
or to none: `pytest -m gpu` to those that need a card, with memory that grows; any other session hides them, and the
tests that need none say the same on every machine.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression  # pytest's own reading of -m has no public name

from tfdfd.cuda_libraries import unseen_message, why_unseen
from tfdfd.gpus import VISIBLE, driver_cards, visible_cards, why_no_gpu

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
_COMMAND = "pytest -m gpu"


def pytest_configure(config: pytest.Config) -> None:
    """Decide which cards this session sees, before any test module imports TensorFlow or DALI."""
    # A shell has its background jobs ignore Ctrl-C, and so would the processes that tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    expression = config.option.markexpr or ""
    if asks_for_cards(config):
        # Tests start processes of their own, which must leave each other, and DALI, memory too.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        if driver_cards() and any(_selects(expression, False, marked) for marked in _others(expression)):
            raise pytest.UsageError(
                f"-m {expression!r} selects tests with and without the marker gpu, and a session shows its cards to "
                f"all tests or to none: give `{_COMMAND}` and the others apart"
            )
    elif driver_cards():  # elsewhere there is nothing to hide, and tests put drivers of their own on the PATH
        os.environ[VISIBLE] = ""


def asks_for_cards(config: pytest.Config) -> bool:
    """Return whether `-m` selects tests for their marker gpu, as `gpu` does and `not slow` does not."""
    expression = config.option.markexpr or ""
    return any(
        _selects(expression, True, marked) and not _selects(expression, False, marked) for marked in _others(expression)
    )


def _others(expression: str) -> list[dict[str, bool]]:
    """Return all ways in which a test may have the other markers of an expression."""
    names = sorted(set(re.findall(r"\w+", expression)) - {"gpu", "not", "and", "or"})
    return [dict(zip(names, marked, strict=True)) for marked in itertools.product((False, True), repeat=len(names))]


def _selects(expression: str, is_gpu: bool, marked: dict[str, bool]) -> bool:
    markers = {**marked, "gpu": is_gpu}
    return not expression or Expression.compile(expression).evaluate(lambda name, **_: markers[name])


@pytest.fixture(autouse=True, scope="session")
def _logs_of_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what fails in tests out of the user's own log; commands that tests start inherit it."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def _card_of_a_gpu_test(request: pytest.FixtureRequest) -> None:
    """Give each test with the marker gpu a card, or say why it has none."""
    if request.node.get_closest_marker("gpu") is not None:
        request.getfixturevalue("card")


@pytest.fixture(scope="session")
def card(request: pytest.FixtureRequest) -> None:
    """See that TensorFlow has the cards that the driver lists: fail where it has not, skip where there is none."""
    if not asks_for_cards(request.config) and driver_cards():
        pytest.skip(f"the other tests of this session see no card: run {_COMMAND} for those that need one")
    if not visible_cards():
        pytest.skip(why_no_gpu())
    import tensorflow as tf

    num_seen = len(tf.config.list_physical_devices("GPU"))
    if finding := why_unseen(num_seen):
        pytest.fail(unseen_message(num_seen, finding))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real clips, faces and weights, or a skip that says why."""
    folder = os.environ.get("TFDFD_TEST_DATA", "")
    if not folder:
        pytest.skip("TFDFD_TEST_DATA is not set: no real clips on this machine")
    if not Path(folder).is_dir():
        pytest.fail(f"TFDFD_TEST_DATA={folder} is not a folder")
    return Path(folder)
