"""`tfdfd app`: a page on this machine where a clip is dropped and its verdict, faces and heat maps appear."""

from __future__ import annotations

import argparse
import errno
import importlib.util
import ipaddress
import os
import signal
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import make_console
from tfdfd.commands.flags import CommandParser, add_cpu_flag, obey_cpu_flag
from tfdfd.guard import FailureLog, Fault
from tfdfd.phrases import shown

PORT = 7860
_FOLDER = "tfdfd-app-"
"""Begins the name of the folder of uploads, in the system's for temporary files."""
_NO_CALLS_HOME = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
"""Read by Gradio and what it brings along when they are imported."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd app` until it is interrupted."""
    parser = CommandParser(prog="tfdfd app", description=__doc__)
    parser.add_argument(
        "--model", metavar="DIR", help="saved_models/NAME or one of its versions (default: that written last)"
    )
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help="0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen; another than this machine's own lets everyone in who reaches it (default: %(default)s)",
    )
    parser.add_argument("--accept-mismatch", action="store_true", help="go on although crops were made otherwise")
    add_cpu_flag(parser)
    arguments = parser.parse_args(argv)
    obey_cpu_flag(arguments)
    _require_gradio()
    console = make_console()
    with _listen(arguments.host, arguments.port) as listening, tempfile.TemporaryDirectory(prefix=_FOLDER) as uploads:
        # An end that is asked for otherwise is one like Ctrl-C: what was uploaded goes.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            _run(arguments, listening, Path(uploads), console)
        except KeyboardInterrupt:
            console.print("the page has ended, what was uploaded is deleted")
    return 0


def _run(arguments: argparse.Namespace, listening: socket.socket, uploads: Path, console: Console) -> None:
    from tfdfd.commands.local_scoring import make_local_scorer

    folder = Path(arguments.model) if arguments.model else None
    scorer = make_local_scorer(folder, console, accept_mismatch=arguments.accept_mismatch, keep_crops=True)
    os.environ.update(_NO_CALLS_HOME, GRADIO_TEMP_DIR=str(uploads))

    from tfdfd.commands.app_page import UPLOAD_LIMIT, make_page
    from tfdfd.commands.app_server import make_server, run_server
    from tfdfd.commands.scoring import model_name
    from tfdfd.reports.scored_clip_page import ModelShown
    from tfdfd.serving.saved_model import LoadedModel

    model = scorer.model
    assert isinstance(model, LoadedModel)  # what the scorer itself needs of it is less
    log = FailureLog()

    def on_fault(name: str, fault: Fault) -> None:
        log.add(name, fault)
        where = f"traceback in {log.path}" if log.path else fault.traceback
        console.print(f"{shown(name)}: {fault.reason}; {where}. Please report it", style="yellow")

    about = ModelShown.of(model_name(model), model.card())
    page = make_page(
        scorer.score,
        model.explain,
        model.rule,
        about,
        uploads=uploads,
        limit=UPLOAD_LIMIT,
        shows_masks=model.shows_masks,
        on_fault=on_fault,
    )
    host, port = listening.getsockname()[:2]
    is_local = ipaddress.ip_address(host).is_loopback
    server = make_server(page, limit=UPLOAD_LIMIT, hosts=(host, arguments.host, "localhost") if is_local else None)
    console.print(f"open {_address(host, port)} in a browser; Ctrl-C ends it")
    if not is_local:
        console.print("everyone who reaches this machine can send it clips: there is no password", style="yellow")
    run_server(server, listening)


def _require_gradio() -> None:
    if importlib.util.find_spec("gradio") is None:
        raise TfdfdError("tfdfd app needs Gradio, which is not installed: pip install -e '.[app]'")


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there, before anything slow is loaded.

    Raises:
        TfdfdError: if that is not possible.
    """
    if not 0 <= port <= 65535:
        raise TfdfdError(f"--port must be in [0, 65535], got {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise TfdfdError(
                f"port {port} of {host} is in use, maybe by another tfdfd app: give another with --port, or --port 0 "
                "for any free one"
            ) from error
        raise TfdfdError(f"--host {host} --port {port}: cannot listen there ({error.strerror or error})") from error


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/"
