"""The server of `tfdfd app`: one page, closed to other machines and to other pages of the same browser."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from tfdfd.reports.scored_clip_page import styles

_PATIENCE_SECONDS = 1
"""How long open pages are waited for when the app ends: each holds a connection for as long as it is open."""
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
"""Gradio's scripts are inline and build code; whatever they may want, nothing comes from or goes to another machine."""
_STYLES = """
.gradio-container { width: 100%; max-width: 1120px !important; margin: 0 auto !important; }
.gradio-container .main { padding: 16px clamp(12px, 2.5vw, 32px) 48px !important; }
.gradio-container .column, .gradio-container .block, .gradio-container .html-container { min-width: 0 !important;
  max-width: 100%; padding: 0; }
#clip .or, #clip .wrap { color: var(--soft); }
#clip { border-color: var(--soft); }
"""


def make_server(page: Any, *, limit: str, hosts: Sequence[str] | None) -> Any:
    """Return what serves the page, a `uvicorn.Server`.

    Args:
        page: a `gradio.Blocks`.
        limit: the largest upload, such as `2gb`.
        hosts: names by which browsers may call it; None for any.
    """
    import fastapi
    import gradio
    import uvicorn
    from gradio.themes import Default

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    theme = Default(
        font=("system-ui", "sans-serif"),  # others would come from elsewhere
        font_mono=("ui-monospace", "monospace"),
    )
    gradio.mount_gradio_app(
        app,
        page,
        path="/",
        max_file_size=limit,
        show_error=False,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=theme.set(body_background_fill="var(--paper)", body_background_fill_dark="var(--paper)"),
        css=styles() + _STYLES,
    )
    page.has_launched = True  # until which Gradio takes any file of this machine for an upload
    closed = Closed(app, hosts=hosts)
    return uvicorn.Server(
        uvicorn.Config(closed, log_level="warning", timeout_graceful_shutdown=_PATIENCE_SECONDS, ws="none")
    )


def run_server(server: Any, listening: socket.socket) -> None:
    """Run a server of `make_server` until it is told to end, and have it end without complaints of open pages."""
    log = logging.getLogger("uvicorn.error")

    def is_of_interest(_: logging.LogRecord) -> bool:
        return not server.should_exit

    log.addFilter(is_of_interest)
    try:
        server.run(sockets=[listening])
    finally:
        log.removeFilter(is_of_interest)


class Closed:
    """An ASGI application that answers its own pages only, and whose pages fetch from no other machine.

    A page from elsewhere that is open in the same browser could else send clips here, and one that has its name point
    to this machine could read the answers.

    Args:
        app: an ASGI application.
        hosts: names by which it may be called; None for any.
    """

    def __init__(self, app: Any, *, hosts: Sequence[str] | None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":  # only the server's own start and end
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        is_known = self._hosts is None or urlsplit(f"//{host}").hostname in self._hosts
        if not is_known or (origin is not None and urlsplit(origin).netloc != host):
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"this page answers only to itself\n"})
            return

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message = {**message, "headers": [*message.get("headers", ()), policy]}
            await send(message)

        await self._app(scope, receive, send_with_policy)
