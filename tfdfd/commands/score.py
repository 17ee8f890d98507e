"""`tfdfd score`: video files in, a score each out, by a SavedModel on this machine or by a server."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import WorkProgress, import_tensorflow, make_console, print_error, print_table
from tfdfd.commands.flags import CommandParser, add_cpu_flag, obey_cpu_flag
from tfdfd.commands.inputs import add_decoder_flag
from tfdfd.commands.remote_scoring import add_server_flags, make_client, server_config
from tfdfd.guard import FailureGuard, FailureLog
from tfdfd.phrases import counted, shown
from tfdfd.scored_clip import FAILED, PARTIAL, WEAK, ScoredClip

if TYPE_CHECKING:
    from tfdfd.commands.clip_pictures import GetRule, PictureWriter
    from tfdfd.models.scoring import ScoringRule
    from tfdfd.serving.clip_parts import OnWindow


_STATUS_HELP = (
    "exit status: 0 if at least one clip has a score, although others failed or show no face; 1 if none has, or for an "
    "error; 2 for a wrong command line; 130 if interrupted, what is scored so far is printed; 141 if nobody reads the "
    "output any more"
)


@dataclass(frozen=True)
class _Scoring:
    """What scores clips, and the clips as they are scored."""

    title: str
    """What scores, in words."""
    model: str
    """Its name and version, such as `dfdc/3`."""
    threshold: float
    """The rule's: scores at or above it are called fake."""
    get_rule: GetRule
    clips: Iterator[ScoredClip]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd score`; the exit status is 1 if no clip could be scored."""
    arguments = _parser().parse_args(argv)
    _check_options(arguments)
    obey_cpu_flag(arguments)
    # After the parsing, for a quick --help.
    from tfdfd.commands.clip_pictures import PictureWriter
    from tfdfd.data.video_paths import find_videos

    console = make_console(stderr=arguments.json)
    paths, left_out = find_videos(arguments.videos)
    if left_out:
        files = counted(len(left_out), "file is no video", "files are no videos")
        console.print(f"{files} by the suffix, and left out: name what shall be scored. The first: {left_out[0]}")
    pictures = PictureWriter.for_clips(paths, annotate=arguments.annotate, plot=arguments.plot)
    log = FailureLog(*pictures.folders)
    done: list[ScoredClip] = []
    with ExitStack() as stack:
        progress = WorkProgress(console, "scoring", "clips", len(paths))
        scoring = _begin(arguments, paths, console, stack, partial(progress.show_part, "window"))
        try:
            with progress:
                for clip in _as_they_come(scoring, pictures, log, progress, console, as_json=arguments.json):
                    done.append(clip)
        except (KeyboardInterrupt, Exception):
            _conclude(scoring, done, len(paths), log, console, as_json=arguments.json)
            raise
    _conclude(scoring, done, len(paths), log, console, as_json=arguments.json)
    return 0 if any(clip.clip_score is not None for clip in done) else 1


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="tfdfd score", description=__doc__, epilog=_STATUS_HELP)
    parser.add_argument(
        "videos", nargs="+", metavar="VIDEO", help="video files, folders of them, or patterns such as 'clips/**/*.mp4'"
    )
    parser.add_argument(
        "--model", metavar="DIR", help="saved_models/NAME or one of its versions (default: that written last)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object a clip, as soon as it is done, instead of a table"
    )
    parser.add_argument("--accept-mismatch", action="store_true", help="go on although crops were made otherwise")
    add_cpu_flag(parser)
    add_decoder_flag(parser)
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


def _begin(
    arguments: argparse.Namespace, paths: list[Path], console: Console, stack: ExitStack, on_window: OnWindow
) -> _Scoring:
    server = server_config(arguments)
    if server is not None:
        client = stack.enter_context(make_client(arguments, console, on_window))
        if client.warning:
            console.print(f"warning: {client.warning}", style="yellow")

        def get_rule() -> ScoringRule:
            import_tensorflow(gpus=0)  # else its notices come through where nothing else needed it
            return client.model.rule

        model = client.model
        return _Scoring(f"Scores by {model.target}", model.name, model.threshold, get_rule, client.score_all(paths))
    from tfdfd.commands.local_scoring import begin_scoring

    scorer, clips = begin_scoring(
        paths,
        Path(arguments.model) if arguments.model else None,
        console,
        accept_mismatch=arguments.accept_mismatch,
        time_limit_seconds=arguments.time_limit,
        keep_crops=bool(arguments.plot),
        decoder=arguments.decoder,
        on_window=on_window,
    )
    rule = scorer.model.rule
    return _Scoring(f"Scores by {scorer.model.folder}", scorer.model.name, rule.threshold, lambda: rule, clips)


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuse what makes no sense, or what a server cannot honour, before any work."""
    limit = arguments.time_limit
    if limit is not None and not (limit > 0 and math.isfinite(limit)):
        raise TfdfdError(
            f"--time-limit must be a finite number of seconds above 0, got {limit:g}: leave it out for no limit"
        )
    if server_config(arguments) is None:
        return
    if arguments.model:
        raise TfdfdError("--model is on this machine, --server scores by its own: leave one of them out")
    if limit is not None:
        raise TfdfdError("--time-limit needs the model on this machine; with --server use --deadline for its requests")


def _as_they_come(
    scoring: _Scoring,
    pictures: PictureWriter,
    log: FailureLog,
    progress: WorkProgress,
    console: Console,
    *,
    as_json: bool,
) -> Iterator[ScoredClip]:
    """Print and draw each clip as soon as it is scored, and hand it on without its crops.

    Raises:
        RepeatedFaultError: after a clip that fails as those before it.
    """
    guard = FailureGuard(log)
    for clip in scoring.clips:
        if as_json:
            by = {"model": scoring.model, "threshold": scoring.threshold}
            print(json.dumps(clip.to_json() | by, allow_nan=False), flush=True)
        if clip.status in (PARTIAL, WEAK):
            console.print(shown(f"{clip.status}: {clip.path}: {clip.reason}"), style="yellow")
        for warning in clip.warnings:
            console.print(shown(f"warning: {clip.path}: {warning}"), style="yellow")
        for note in pictures.write(clip, scoring.get_rule, log):
            console.print(shown(note))
        progress.advance()
        yield clip.without_crops()
        if clip.fault is not None:
            guard.failed(clip.path, clip.fault)
        elif clip.status != FAILED:
            guard.done()


def _conclude(
    scoring: _Scoring,
    clips: Sequence[ScoredClip],
    num_clips: int,
    log: FailureLog,
    console: Console,
    *,
    as_json: bool,
) -> None:
    """Print the table of what is done, which may not be all, and say on stderr what is missing in it."""
    if clips and not as_json:
        _print_scores(console, scoring.title, clips)
    if len(clips) < num_clips:
        are = counted(num_clips, "clip is", "clips are")
        print(f"{len(clips)} of {are} done, the others are not scored", file=sys.stderr)
    if num_warned := sum(bool(clip.warnings) for clip in clips):
        print(f"{num_warned} of {counted(num_clips, 'clip has', 'clips have')} warnings", file=sys.stderr)
    if num_weak := sum(clip.status == WEAK for clip in clips):
        print(f"{num_weak} of {counted(num_clips, 'clip is', 'clips are')} scored on weak evidence", file=sys.stderr)
    if note := log.note():
        print_error(note)
    if num_failed := sum(clip.status == FAILED for clip in clips):
        print(f"{num_failed} of {counted(num_clips, 'clip')} failed", file=sys.stderr)


def _print_scores(console: Console, title: str, clips: Sequence[ScoredClip]) -> None:
    has_windows = any(clip.max_score is not None for clip in clips)
    rows = []
    for clip in clips:
        highest = [] if not has_windows else ["-" if clip.max_score is None else f"{clip.max_score:.4f}"]
        score = "-" if clip.clip_score is None else f"{clip.clip_score:.4f}"
        seconds = f"{clip.took_seconds:.1f}"
        faces = f"{clip.num_with_face} of {clip.num_places}" if clip.num_places else "-"
        rows.append([clip.path, score, *highest, _verdict(clip), clip.status, faces, seconds, clip.reason])
    header = ["clip", "score", *(["max"] if has_windows else []), "verdict", "status", "faces", "seconds", "reason"]
    if not any(clip.reason for clip in clips):
        header, rows = header[:-1], [row[:-1] for row in rows]
    print_table(console, title, header, rows)


def _verdict(clip: ScoredClip) -> str:
    if clip.status == FAILED:
        return "not scored"
    if clip.is_fake is None:
        return "no evidence"
    return ("fake" if clip.is_fake else "real") + ("?" if clip.status == WEAK else "")
