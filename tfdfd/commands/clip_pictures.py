"""Where the pictures of scored clips go: `--annotate` and `--plot`, a file of one clip, a folder of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tfdfd.clip import TfdfdError
from tfdfd.data.atomic import explain_write_errors, require_writable_folder, write_atomically
from tfdfd.guard import Failed, FailureLog, attempt
from tfdfd.phrases import counted
from tfdfd.scored_clip import ScoredClip

if TYPE_CHECKING:
    from tfdfd.models.scoring import ScoringRule

GetRule = Callable[[], "ScoringRule"]
"""Gets the rule that clips were scored by, where it is needed: that of a server's model loads TensorFlow."""

_VIDEO, _PICTURE = ".mp4", ".png"


@dataclass(frozen=True)
class PictureWriter:
    """Draws clips into files that were chosen before any work."""

    annotated: dict[str, Path]
    """Of each clip's path, the video to write; empty where none is asked for."""
    plotted: dict[str, Path]
    """The same of the score over time."""

    @staticmethod
    def for_clips(paths: Sequence[Path], *, annotate: str | None, plot: str | None) -> PictureWriter:
        """Choose a file for each clip.

        Args:
            paths: of the clips.
            annotate: what `--annotate` says: a file for one clip, a folder for several.
            plot: the same of `--plot`.

        Raises:
            TfdfdError: if that is a file for several clips, one of another kind, one of the clips, or in a folder that
                cannot be written.
        """
        if annotate is not None:
            from tfdfd.data.transcoding import require_h264_encoder

            require_h264_encoder()
        return PictureWriter(_files("--annotate", annotate, paths, _VIDEO), _files("--plot", plot, paths, _PICTURE))

    @property
    def folders(self) -> list[Path]:
        """Where files are written."""
        return list(dict.fromkeys(file.parent for files in (self.annotated, self.plotted) for file in files.values()))

    def write(self, clip: ScoredClip, get_rule: GetRule, log: FailureLog) -> list[str]:
        """Write what is asked for of a clip.

        Args:
            clip: the clip, with crops where it is to be plotted.
            get_rule: that it was scored by.
            log: keeps what nobody foresaw; that costs the picture, the score stands.

        Returns:
            What to tell a person: what was written, or why it was not.

        Raises:
            TfdfdError: if it cannot be written.
        """
        asked = [file for files in (self.annotated, self.plotted) if (file := files.get(clip.path))]
        if not any(window.tracks for window in clip.windows):
            return [f"{clip.path}: nothing to draw, so no {file} ({clip.reason})" for file in asked]
        notes = []
        for files, write in ((self.annotated, _annotate), (self.plotted, _plot)):
            if file := files.get(clip.path):
                _make_folder(file.parent)
                said = attempt(partial(write, clip, file, get_rule()))
                if not isinstance(said, Failed):
                    notes.append("; ".join([f"wrote {file}", *said]))
                    continue
                notes.append(f"{clip.path}: no {file}: {said.reason}")
                if said.fault is not None:
                    log.add(f"{clip.path}, drawing {file}", said.fault)
        return notes


def _annotate(clip: ScoredClip, file: Path, rule: ScoringRule) -> list[str]:
    from tfdfd.reports.annotated_clip import write_annotated_clip

    return write_annotated_clip(clip, file, rule=rule)


def _plot(clip: ScoredClip, file: Path, rule: ScoringRule) -> list[str]:
    from tfdfd.reports.score_timeline import timeline_png

    with explain_write_errors(file.parent):
        write_atomically(file, timeline_png(clip, threshold=rule.threshold))
    return []


def _files(flag: str, given: str | None, paths: Sequence[Path], suffix: str) -> dict[str, Path]:
    if given is None:
        return {}
    target = Path(given).expanduser()
    is_folder = target.is_dir() or given.endswith(("/", "\\")) or not target.suffix
    if not is_folder and target.suffix.lower() != suffix:
        raise TfdfdError(f"{flag} writes a {suffix} file, got {given}: name one, or a folder")
    if not is_folder and len(paths) > 1:
        raise TfdfdError(
            f"{flag} {given} is one file for {counted(len(paths), 'clip')}: name a folder, such as {target.stem}/"
        )
    files: dict[str, Path] = {}
    for path in paths:
        file = target
        if is_folder:
            taken = set(files.values())
            names = [path.stem, *(f"{path.stem}_{number}" for number in range(2, len(paths) + 1))]
            file = next(one for name in names if (one := target / (name + suffix)) not in taken)
        files[str(path)] = file
    if same := {file.resolve() for file in files.values()} & {path.resolve() for path in paths}:
        raise TfdfdError(f"{flag} would write over {min(same)}, which is to be scored: name another place")
    for folder in {file.parent for file in files.values()}:
        require_writable_folder(folder)
    return files


def _make_folder(folder: Path) -> None:
    # Not before something is written: a run that fails leaves no empty folders.
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
