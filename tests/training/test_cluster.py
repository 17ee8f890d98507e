"""TF_CONFIG names the workers; what it gets wrong is said before anything else happens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tfdfd.clip import TfdfdError
from tfdfd.training.cluster import Cluster, cluster_from_environment

TWO = {"worker": ["a:1", "b:2"]}


def read(content: Any) -> Cluster | None:
    return cluster_from_environment({"TF_CONFIG": content if isinstance(content, str) else json.dumps(content)})


def test_each_worker_finds_its_place() -> None:
    for index in (0, 1):
        cluster = read({"cluster": TWO, "task": {"type": "worker", "index": index}})
        assert cluster == Cluster(("a:1", "b:2"), index)
        assert cluster.is_chief == (index == 0)
        assert cluster.port == index + 1


def test_a_chief_is_worker_0_and_the_workers_come_after_it() -> None:
    jobs = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    assert read({"cluster": jobs, "task": {"type": "chief", "index": 0}}) == Cluster(("c:3", "a:1", "b:2"), 0)
    assert read({"cluster": jobs, "task": {"type": "worker", "index": 1}}) == Cluster(("c:3", "a:1", "b:2"), 2)


@pytest.mark.parametrize(
    "content", ["", " ", {}, {"cluster": {}}, {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}]
)
def test_without_a_second_worker_this_machine_trains_alone(content: Any) -> None:
    assert read(content) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{worker: a}", r"must be JSON such as \{.*got '\{worker: a\}'"),
        ([1], "needs a JSON object, got \\[1\\]"),
        ({"cluster": {"worker": "a:1"}}, "lists of host:port by task type"),
        ({"cluster": TWO}, "`task` to say which worker this process is, got None"),
        ({"cluster": TWO, "task": {"type": "worker"}}, "`task` to say which worker"),
        ({"cluster": TWO, "task": {"type": "evaluator", "index": 0}}, "must be one of .* got 'evaluator'"),
        (
            {"cluster": TWO | {"ps": ["c:3"]}, "task": {"type": "worker", "index": 0}},
            "chief and worker, got ps",
        ),
        ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, "the 2 of 'worker' in `cluster`, from 0, got 2"),
        ({"cluster": TWO, "task": {"type": "worker", "index": "1"}}, "from 0, got '1'"),
        ({"cluster": TWO, "task": {"type": "chief", "index": 0}}, "the 0 of 'chief'"),
        ({"cluster": {"chief": ["a:1", "b:2"]}, "task": {"type": "chief", "index": 0}}, "may hold one chief"),
        ({"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}, "host:port, got 'b'"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}, "address of its own"),
    ],
)
def test_what_is_malformed_is_named(content: Any, message: str) -> None:
    with pytest.raises(TfdfdError, match=message):
        read(content)
