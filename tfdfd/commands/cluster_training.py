"""What a training on several machines adds to the command: its flag, what it cannot honour, one store for all."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tfdfd.clip import TfdfdError
from tfdfd.training.cluster import Cluster

if TYPE_CHECKING:
    from tfdfd.data.store import FaceStore
    from tfdfd.training.team import Team

WAIT_MINUTES = 30.0
"""How long a worker waits for the others at the start."""


def add_cluster_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flag that only TF_CONFIG gives a meaning to."""
    parser.add_argument(
        "--cluster-wait",
        type=float,
        metavar="MINUTES",
        help=f"with several machines (TF_CONFIG): longest to wait for the others (default: {WAIT_MINUTES:g})",
    )


def check_cluster(arguments: argparse.Namespace, cluster: Cluster | None) -> None:
    """Refuse options that one machine, or several, cannot honour.

    Raises:
        TfdfdError: names the option and what to do.
    """
    if arguments.cluster_wait is not None:
        if cluster is None:
            raise TfdfdError("--cluster-wait is for several machines, and TF_CONFIG names none beside this one")
        if not arguments.cluster_wait > 0:
            raise TfdfdError(f"--cluster-wait must be above 0 minutes, got {arguments.cluster_wait:g}")
    if cluster is None:
        return
    for flag, value, instead in (
        ("--demo", arguments.demo, "unset TF_CONFIG"),
        ("--stream", arguments.stream, "leave it out, so that the faces come from a store that all machines read"),
    ):
        if value:
            raise TfdfdError(f"{flag} runs on one machine, and TF_CONFIG names {len(cluster.addresses)}: {instead}")


def wait_seconds(arguments: argparse.Namespace) -> float:
    """Return how long to wait for the other workers."""
    return 60 * (WAIT_MINUTES if arguments.cluster_wait is None else arguments.cluster_wait)


@contextmanager
def chiefs_errors(team: Team) -> Iterator[None]:
    """Hold what worker 0 alone does, while the others wait; an error for a person there is one on all workers.

    Else the others would take worker 0 for dead, and be started again and again.

    Raises:
        TfdfdError: what worker 0 raised.
    """
    if not team.is_chief:
        yield
        if problem := team.everyones_text("")[0]:
            raise TfdfdError(f"worker 0 stopped: {problem}")
        return
    try:
        yield
    except TfdfdError as error:
        team.everyones_text(str(error))
        raise
    team.everyones_text("")


def same_store(team: Team, arguments: argparse.Namespace, found: FaceStore | None) -> FaceStore:
    """Return the store that worker 0 has found or made; the others open it once it is ready.

    Args:
        team: of the run.
        arguments: for --store.
        found: on worker 0 the store; the others' is not looked at.

    Raises:
        TfdfdError: if it is not to be seen here.
    """
    from tfdfd.data.store import FaceStore

    folder = team.everyones_text("" if found is None else str(found.folder.resolve()))[0]
    if team.is_chief:
        assert found is not None
        return found
    folder = arguments.store or folder  # a shared disk may have another name here
    if not Path(folder).is_dir():
        raise TfdfdError(
            f"worker {team.index} does not see the face store {folder} of worker 0: put it on a disk that all machines "
            "share, or copy it to each, and name it with --store"
        )
    return FaceStore.open(Path(folder))
