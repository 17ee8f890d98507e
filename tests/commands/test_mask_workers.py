"""Processes that make masks end with the command that started them."""

from __future__ import annotations

import multiprocessing
import signal
import time

import pytest

from tfdfd.commands.mask_workers import _no_ctrl_c, _pool


def interrupted() -> None:
    """Give two processes more than they can do, and stop when they are at it."""
    with _pool(2) as pool:
        with _no_ctrl_c():
            asked = pool.submit(signal.getsignal, signal.SIGINT)
            sleeping = [pool.submit(time.sleep, 300) for _ in range(9)]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert asked.result() == signal.SIG_IGN
        raise KeyboardInterrupt(sleeping)


def test_ctrl_c_is_left_to_the_first_process_which_does_not_wait_for_what_was_begun():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as stopped:
        interrupted()
    (sleeping,) = stopped.value.args
    assert time.monotonic() - began < 100
    assert all(future.done() for future in sleeping)
    assert not multiprocessing.active_children()
