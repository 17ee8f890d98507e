"""Addresses on loopback that nothing listens on."""

from __future__ import annotations

import contextlib
import socket


def free_addresses(number: int) -> tuple[str, ...]:
    """Return `127.0.0.1:port` of free ports; all are held until the last is found, so they differ."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return tuple(f"127.0.0.1:{server.getsockname()[1]}" for server in servers)
