"""The page of `tfdfd app`: a clip is dropped, its verdict and the reasons appear; and the server of that one page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdfd.reports.scored_clip_page import ModelShown, reasons_part, styles, verdict_part
from tfdfd.scored_clip import ScoredClip

if TYPE_CHECKING:
    from tfdfd.models.scoring import ScoringRule
    from tfdfd.reports.scored_clip_shown import ExplainFaces

UPLOAD_LIMIT = "2gb"
"""Of one clip: an hour of 1080p as phones and platforms store it."""
_WAITING = 8
"""Clips that may wait for the one in work; a page that sends more is told to come back."""
_PATIENCE_SECONDS = 2
"""How long an open page is waited for when the app ends: each holds a connection for as long as it is open."""
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
"""Gradio's scripts are inline and build code; whatever they may want, nothing comes from or goes to another machine."""


def make_page(
    score: Callable[[Path], ScoredClip], explain: ExplainFaces, rule: ScoringRule, model: ModelShown, *, limit: str
) -> Any:
    """Return the page, a `gradio.Blocks`.

    Args:
        score: from a video file to its score, with the crops of its faces.
        explain: what the network says of each face, and of what in it.
        rule: that it scores by.
        model: what is said of the model.
        limit: the largest clip that is taken, such as `2gb`.
    """
    import gradio

    from tfdfd.data.layouts import VIDEO_SUFFIXES

    def answer(uploaded: str | None) -> Iterator[tuple[Any, str, str]]:
        if uploaded is None:
            return
        path = Path(uploaded)
        try:
            yield gradio.skip(), _busy(f"Scoring {path.name} …"), ""
            clip = _as_uploaded(score(path), path)
            verdict = verdict_part(clip, rule, model)
            yield gradio.skip(), verdict, "" if clip.clip_score is None else _busy("Drawing the faces …")
            yield None, verdict, reasons_part(clip, rule, explain)
        finally:
            path.unlink(missing_ok=True)

    with gradio.Blocks(title="tfdfd app", analytics_enabled=False) as page:
        gradio.HTML(_introduction(model, limit), apply_default_css=False)
        upload = gradio.File(label="Video", file_types=["video", *VIDEO_SUFFIXES], height=160, elem_id="clip")
        verdict = gradio.HTML(apply_default_css=False, elem_id="outcome", js_on_load=_SPOKEN)
        reasons = gradio.HTML(apply_default_css=False, elem_id="reasons")
        upload.upload(
            answer,
            upload,
            [upload, verdict, reasons],
            show_progress="hidden",
            trigger_mode="multiple",
            concurrency_limit=1,
            api_visibility="private",
        )
    page.queue(max_size=_WAITING, api_open=False)
    return page


_SPOKEN = "element.setAttribute('aria-live', 'polite');"
"""What appears there is read aloud to those who do not see it."""


def make_server(page: Any, *, limit: str) -> Any:
    """Return what serves the page, a `uvicorn.Server`: it runs until its process is interrupted.

    Args:
        page: of `make_page`.
        limit: the largest upload.
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
        css=styles() + _PAGE_STYLES,
    )
    return uvicorn.Server(
        uvicorn.Config(_Closed(app), log_level="warning", timeout_graceful_shutdown=_PATIENCE_SECONDS, ws="none")
    )


class _Closed:
    """An ASGI application whose pages may neither fetch from another machine nor send to one."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message = {**message, "headers": [*message.get("headers", ()), policy]}
            await send(message)

        await self._app(scope, receive, send_with_policy)


_PAGE_STYLES = """
.gradio-container { width: 100%; max-width: 1120px !important; margin: 0 auto !important; }
.gradio-container .main { padding: 16px clamp(12px, 2.5vw, 32px) 48px !important; }
.gradio-container .column, .gradio-container .block, .gradio-container .html-container { min-width: 0 !important;
  max-width: 100%; padding: 0; }
#clip .or, #clip .wrap { color: var(--soft); }
#clip { border-color: var(--soft); }
"""


def _introduction(model: ModelShown, limit: str) -> str:
    size = limit.upper().replace("GB", " GB").replace("MB", " MB").replace("KB", " KB")
    return (
        f'<div class="tfdfd"><h1>Is this clip a deepfake?</h1><p>Drop a video of up to {size}. It stays on this '
        f"machine, is scored by the model {escape(model.name)}, and its copy is deleted as soon as it is scored."
        "</p></div>"
    )


def _busy(what: str) -> str:
    return f'<p class="tfdfd busy">{escape(what)}</p>'


def _as_uploaded(clip: ScoredClip, path: Path) -> ScoredClip:
    """Return it under the name that the person gave it: where its copy lies says nothing to them."""
    warnings = tuple(warning.replace(str(path), path.name) for warning in clip.warnings)
    reason = clip.reason.replace(str(path), path.name).removeprefix(f"{path.name}: ")
    return dataclasses.replace(clip, path=path.name, reason=reason, warnings=warnings)
