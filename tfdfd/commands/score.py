"""`tfdfd score`: video files in, a score each out, by a SavedModel on this machine or by a server."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import WorkProgress, make_console, print_table
from tfdfd.commands.remote_scoring import add_server_flags, make_client, server_config
from tfdfd.scored_clip import OK, PARTIAL, ScoredClip

if TYPE_CHECKING:
    from tfdfd.commands.clip_pictures import GetRule, PictureWriter


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd score`; the exit status is 1 if no clip could be scored."""
    arguments = _parser().parse_args(argv)
    _check_options(arguments)
    # After the parsing, for a quick --help.
    from tfdfd.commands.clip_pictures import PictureWriter
    from tfdfd.data.video_paths import find_videos

    console = make_console(stderr=arguments.json)
    paths = find_videos(arguments.videos)
    pictures = PictureWriter.for_clips(paths, annotate=arguments.annotate, plot=arguments.plot)
    with ExitStack() as stack:
        title, get_rule, clips = _scores(arguments, paths, console, stack)
        done = list(_as_they_come(clips, len(paths), pictures, get_rule, console, as_json=arguments.json))
    if not arguments.json:
        _print_scores(console, title, done)
    return 0 if any(clip.status in (OK, PARTIAL) for clip in done) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tfdfd score", description=__doc__)
    parser.add_argument(
        "videos", nargs="+", metavar="VIDEO", help="video files, folders of them, or patterns such as 'clips/**/*.mp4'"
    )
    parser.add_argument("--model", metavar="DIR", help="saved_models/NAME or one of its versions (default: the newest)")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object a clip, as soon as it is done, instead of a table"
    )
    parser.add_argument("--accept-mismatch", action="store_true", help="go on although crops were made otherwise")
    parser.add_argument(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help="most time for one clip: fewer frames are looked at where more take longer, and the clip is `partial`",
    )
    parser.add_argument(
        "--annotate",
        metavar="OUT.mp4",
        help="write the clip with boxes and scores drawn on it; of several clips, a folder for them",
    )
    parser.add_argument(
        "--plot", metavar="OUT.png", help="draw the score over time with the faces; of several clips, a folder"
    )
    add_server_flags(parser)
    return parser


def _scores(
    arguments: argparse.Namespace, paths: list[Path], console: Console, stack: ExitStack
) -> tuple[str, GetRule, Iterator[ScoredClip]]:
    """Return what scores the clips, in words; what gets the rule; and the clips as they are scored."""
    server = server_config(arguments)
    if server is not None:
        client = stack.enter_context(make_client(arguments, console))
        if client.warning:
            console.print(f"warning: {client.warning}", style="yellow")
        return f"Scores by {server.server_model} at {server.server}", lambda: client.model.rule, client.score_all(paths)
    from tfdfd.commands.local_scoring import begin_scoring

    scorer, clips = begin_scoring(
        paths,
        Path(arguments.model) if arguments.model else None,
        console,
        accept_mismatch=arguments.accept_mismatch,
        time_limit_seconds=arguments.time_limit,
        keep_crops=bool(arguments.plot),
    )
    return f"Scores by {scorer.model.folder}", lambda: scorer.model.rule, clips


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuse what makes no sense, or what a server cannot honour, before any work."""
    limit = arguments.time_limit
    if limit is not None and not (limit > 0 and math.isfinite(limit)):
        raise TfdfdError(f"--time-limit must be above 0 seconds, got {limit:g}")
    if server_config(arguments) is None:
        return
    if arguments.model:
        raise TfdfdError("--model is on this machine, --server scores by its own: leave one of them out")
    if limit is not None:
        raise TfdfdError("--time-limit needs the model on this machine; with --server use --deadline for its requests")


def _as_they_come(
    clips: Iterator[ScoredClip],
    num_clips: int,
    pictures: PictureWriter,
    get_rule: GetRule,
    console: Console,
    *,
    as_json: bool,
) -> Iterator[ScoredClip]:
    """Print and draw each clip as soon as it is scored, and hand it on without its crops."""
    with WorkProgress(console, "scoring", "clips", num_clips) as progress:
        for clip in clips:
            if as_json:
                print(json.dumps(clip.to_json(), allow_nan=False), flush=True)
            if clip.status == PARTIAL:
                console.print(f"partial: {clip.path}: {clip.reason}", style="yellow")
            for warning in clip.warnings:
                console.print(f"warning: {clip.path}: {warning}", style="yellow")
            for note in pictures.write(clip, get_rule):
                console.print(note)
            progress.advance()
            yield clip.without_crops()


def _print_scores(console: Console, title: str, clips: Sequence[ScoredClip]) -> None:
    has_windows = any(clip.max_score is not None for clip in clips)
    rows = []
    for clip in clips:
        highest = [] if not has_windows else ["-" if clip.max_score is None else f"{clip.max_score:.4f}"]
        score = "-" if clip.clip_score is None else f"{clip.clip_score:.4f}"
        seconds = f"{clip.took_seconds:.1f}"
        rows.append([clip.path, score, *highest, _verdict(clip), clip.status, seconds, clip.reason])
    header = ["clip", "score", *(["max"] if has_windows else []), "verdict", "status", "seconds", "reason"]
    if not any(clip.reason for clip in clips):
        header, rows = header[:-1], [row[:-1] for row in rows]
    print_table(console, title, header, rows)


def _verdict(clip: ScoredClip) -> str:
    if clip.is_fake is None:
        return "no evidence"
    return "fake" if clip.is_fake else "real"
