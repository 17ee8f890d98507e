"""TensorFlow Serving itself, where it is installed, for the tests that `loopback_server` passes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.serving.cutting_proxy import free_ports


class RealServer:
    """TensorFlow Serving itself; a context manager, skipped where `tensorflow_model_server` is not on the PATH."""

    def __init__(self, models: Mapping[str, Path]) -> None:
        self._models = models

    def __enter__(self) -> RealServer:
        program = shutil.which("tensorflow_model_server")
        if program is None:
            pytest.skip("tensorflow_model_server is not on the PATH")
        ports = free_ports(2)
        ((name, folder),) = self._models.items()
        self._process = subprocess.Popen(
            [
                program,
                f"--port={ports[0]}",
                f"--rest_api_port={ports[1]}",
                f"--model_name={name}",
                f"--model_base_path={folder.absolute()}",
            ]
        )
        self.addresses = {"grpc": f"localhost:{ports[0]}", "rest": f"localhost:{ports[1]}"}
        ends = time.monotonic() + 60
        while time.monotonic() < ends and not _listens(ports[1]):
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0
