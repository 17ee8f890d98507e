"""The page of `tfdfd app`: a clip is dropped, its verdict and the reasons appear."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdfd.clip import TfdfdError
from tfdfd.guard import Failed, Fault, attempt
from tfdfd.reports.scored_clip_page import ModelShown, reasons_part, verdict_part
from tfdfd.scored_clip import FAILED, ScoredClip

if TYPE_CHECKING:
    from tfdfd.models.scoring import ScoringRule
    from tfdfd.reports.scored_clip_shown import ExplainFaces

UPLOAD_LIMIT = "2gb"
"""Of one clip: an hour of 1080p as phones and platforms store it."""
_WAITING = 8
"""Clips that may wait for the one in work; a page that sends more is told to come back."""


def make_page(
    score: Callable[[Path], ScoredClip],
    explain: ExplainFaces,
    rule: ScoringRule,
    model: ModelShown,
    *,
    uploads: Path,
    limit: str,
    shows_masks: bool = False,
    on_fault: Callable[[str, Fault], None] = lambda name, fault: None,
) -> Any:
    """Return the page, a `gradio.Blocks`.

    Args:
        score: from a video file to its score, with the crops of its faces.
        explain: what the network says of each face, and of what in it.
        rule: that it scores by.
        model: what is said of the model.
        uploads: folder in which Gradio keeps what was uploaded; nothing else is scored, nor deleted after.
        limit: the largest clip that is taken, such as `2gb`.
        shows_masks: whether `explain` tells how likely each place was altered.
        on_fault: called with a clip's name and what nobody foresaw; the next clip is not affected.
    """
    import gradio

    from tfdfd.data.data_tree import VIDEO_SUFFIXES

    def answer(uploaded: str | None) -> Iterator[tuple[Any, str, str]]:
        if uploaded is None:
            return
        path = Path(uploaded).resolve()
        if not path.is_relative_to(uploads.resolve()):
            raise ValueError(f"{path} was not uploaded")
        try:
            yield gradio.skip(), _busy(f"Scoring {path.name} …"), ""
            clip = _as_uploaded(_scored(score, path), path)
            if clip.fault is not None:
                on_fault(path.name, clip.fault)
            verdict = verdict_part(clip, rule, model)
            yield gradio.skip(), verdict, "" if clip.clip_score is None else _busy("Drawing the faces …")
            reasons = attempt(lambda: reasons_part(clip, rule, explain, shows_masks=shows_masks))
            if isinstance(reasons, Failed):
                if reasons.fault is not None:
                    on_fault(path.name, reasons.fault)
                reasons = _NO_REASONS.format(escape(reasons.reason.replace(str(path), path.name)))
            yield None, verdict, reasons
        finally:
            path.unlink(missing_ok=True)

    with gradio.Blocks(title="tfdfd app", analytics_enabled=False) as page:
        gradio.HTML(_introduction(model, limit), apply_default_css=False)
        upload = gradio.File(label="Video", file_types=["video", *VIDEO_SUFFIXES], height=160, elem_id="clip")
        verdict = gradio.HTML(apply_default_css=False, elem_id="outcome", js_on_load=_SPOKEN)
        reasons = gradio.HTML(apply_default_css=False, elem_id="reasons")
        scoring = upload.upload(
            answer,
            upload,
            [upload, verdict, reasons],
            show_progress="hidden",
            trigger_mode="multiple",
            concurrency_limit=1,
            api_visibility="private",
        )
        shown = [upload, verdict, reasons]
        scoring.failure(lambda: (None, _FAULT, ""), None, shown, show_progress="hidden", api_visibility="private")
    page.queue(max_size=_WAITING, api_open=False)
    return page


_SPOKEN = "element.setAttribute('aria-live', 'polite');"
"""What appears there is read aloud to those who do not see it."""


_FAULT = (
    '<section class="tfdfd verdict not-scored"><h2>Not scored</h2><p class="reason">The program has a fault that this '
    "clip brings out: the terminal that it was started from says which.</p></section>"
)


_NO_REASONS = '<section class="tfdfd"><h2>Faces</h2><p class="reason">They cannot be drawn: {}</p></section>'


def _scored(score: Callable[[Path], ScoredClip], path: Path) -> ScoredClip:
    try:
        scored = attempt(lambda: score(path))
    except TfdfdError as error:
        return ScoredClip(str(path), FAILED, str(error))
    return ScoredClip(str(path), FAILED, scored.reason, fault=scored.fault) if isinstance(scored, Failed) else scored


def _introduction(model: ModelShown, limit: str) -> str:
    size = limit.upper().replace("GB", " GB").replace("MB", " MB").replace("KB", " KB")
    return (
        f'<div class="tfdfd"><h1>Is this clip a deepfake?</h1><p>Drop a video of up to {size}. It is scored on the '
        f"machine that this page runs on, by the model {escape(model.name)}, and its copy there is deleted right after."
        "</p></div>"
    )


def _busy(what: str) -> str:
    return f'<p class="tfdfd busy">{escape(what)}</p>'


def _as_uploaded(clip: ScoredClip, path: Path) -> ScoredClip:
    """Return it under the name that the person gave it: where its copy lies says nothing to them."""
    warnings = tuple(warning.replace(str(path), path.name) for warning in clip.warnings)
    reason = clip.reason.replace(str(path), path.name).removeprefix(f"{path.name}: ")
    return dataclasses.replace(clip, path=path.name, reason=reason, warnings=warnings)
