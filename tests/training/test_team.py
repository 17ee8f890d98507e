"""Which of TensorFlow's errors mean that another worker is gone."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tfdfd.training.cluster import WorkersLost
from tfdfd.training.team import explain_lost_workers

OWN = tf.errors.InternalError(None, None, "cannot decode a strip [[/job:worker/replica:0/task:1/device:CPU:0]]")
GONE = (
    tf.errors.InternalError(None, None, "Collective ops is aborted by: peer is gone"),
    tf.errors.UnavailableError(None, None, "failed to reach /job:worker/task:1"),
    tf.errors.FailedPreconditionError(None, None, "the coordination service has stopped"),
    tf.errors.CancelledError(None, None, "cancelled"),
)


@pytest.mark.parametrize("error", GONE)
def test_a_broken_connection_is_a_lost_worker(error: tf.errors.OpError) -> None:
    with pytest.raises(WorkersLost, match="another worker has ended"), explain_lost_workers(2):
        raise error


def test_an_error_of_this_worker_stays_what_it_is() -> None:
    with pytest.raises(tf.errors.InternalError, match="cannot decode a strip"), explain_lost_workers(2):
        raise OWN


def test_alone_nobody_is_lost() -> None:
    with pytest.raises(tf.errors.UnavailableError), explain_lost_workers(1):
        raise GONE[1]
