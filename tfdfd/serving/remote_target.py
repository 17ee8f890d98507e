"""Which model of which server is asked, and how. Imports nothing heavy, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tfdfd.clip import TfdfdError

GRPC, REST = "grpc", "rest"
TRANSPORTS = (GRPC, REST)
"""How to speak to a server."""
USUAL_PORTS = {GRPC: 8500, REST: 8501}
"""Where TensorFlow Serving listens if it is not told otherwise."""
LOCAL, SERVER = "local", "server"
FACES = (LOCAL, SERVER)
"""Where faces are found."""
RAW, JPEG = "raw", "jpeg"
PIXELS = (RAW, JPEG)
"""How pixels travel."""
DEADLINE_SECONDS = 60.0
"""For one request, all tries together."""
IN_FLIGHT, MOST_IN_FLIGHT = 8, 64
"""Clips whose requests are under way at once, by default and at most."""


@dataclass(frozen=True)
class Target:
    """Which model of which server."""

    address: str
    """HOST:PORT."""
    model_name: str
    transport: str
    """One of TRANSPORTS."""
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.transport not in TRANSPORTS:
            raise TfdfdError(f"transport must be one of {list(TRANSPORTS)}, got {self.transport!r}")
        host, colon, port = self.address.rpartition(":")
        if not (host and colon and port.isdigit() and 0 < int(port) < 65536) or "/" in host:
            raise TfdfdError(
                f"the server's address must be HOST:PORT, without http://, e.g. localhost:{USUAL_PORTS[self.transport]}"
                f" (TensorFlow Serving's port for {self.transport}), got {self.address!r}"
            )
        if not self.model_name or set("/:") & set(self.model_name):
            raise TfdfdError(f"the name of a served model is not empty and has no / or :, got {self.model_name!r}")
        if self.version is not None and self.label is not None:
            raise TfdfdError(f"give a version or a label, got version {self.version} and label {self.label!r}")
        if self.version is not None and self.version < 1:
            raise TfdfdError(f"version must be at least 1, got {self.version}")

    def with_version(self, version: int) -> Target:
        """Return the same model, in that version."""
        return replace(self, version=version)

    @property
    def server(self) -> str:
        """The server, for messages."""
        return f"the server at {self.address} ({self.transport})"

    def __str__(self) -> str:
        which = f" version {self.version}" if self.version is not None else ""
        return f"model {self.model_name!r}{which or (f' label {self.label!r}' if self.label else '')} of {self.server}"
