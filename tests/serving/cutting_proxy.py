"""What stands between a client and a server and hangs up; and ports on which nobody listens."""

from __future__ import annotations

import socket
import socketserver
import threading


class Proxy:
    """Stands before a server, and hangs up once a connection has sent so many bytes; a context manager.

    Args:
        address: HOST:PORT of the server.
        cut_after_bytes: sent by the client.
        num_cuts: connections that are cut; those after them are left alone.
    """

    def __init__(self, address: str, *, cut_after_bytes: int, num_cuts: int = 10**6) -> None:
        host, port = address.rsplit(":", 1)
        self.num_connections = 0
        self.num_cut = 0
        proxy = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy.num_connections += 1
                with socket.create_connection((host, int(port))) as onward:
                    back = threading.Thread(target=_pass_on, args=(onward, self.request), daemon=True)
                    back.start()
                    sent = 0
                    while data := _received(self.request):
                        sent += len(data)
                        if sent > cut_after_bytes and proxy.num_cut < num_cuts:
                            proxy.num_cut += 1
                            break
                        onward.sendall(data)
                    for end in (self.request, onward):
                        end.close()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._server = Server(("localhost", 0), Connection)
        self.address = f"localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(2**16)
    except OSError:
        return b""


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(2**16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one of them has hung up


def free_ports(count: int) -> list[int]:
    """Return ports of loopback on which nobody listens."""
    with_socket = [socket.socket() for _ in range(count)]
    for one in with_socket:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in with_socket]
    for one in with_socket:
        one.close()
    return ports
