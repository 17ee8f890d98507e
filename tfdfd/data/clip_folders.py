"""Whether it is the clip that cannot be read, or the disk that all clips are on."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tfdfd.clip import Clip, ClipError
from tfdfd.data.patience import GoneError, Patience, may_pass
from tfdfd.data.store import FILE_IS_GONE, source_bytes

Frames = TypeVar("Frames")


@dataclass(frozen=True)
class ClipFolders:
    """The folders of clips that were there when a run began; a clip may fail, a folder that vanishes stops the run."""

    inodes: Mapping[Path, int]
    """Of each folder; unlike its device the same on all machines that share a disk."""

    @staticmethod
    def of(clips: Iterable[Clip]) -> ClipFolders:
        """Return the folders of clips that are there now."""
        folders = {clip.path.parent for clip in clips}
        return ClipFolders({folder: folder.stat().st_ino for folder in sorted(folders) if folder.is_dir()})

    def read(self, read: Callable[[], Frames | ClipError], path: Path, patience: Patience) -> Frames | ClipError:
        """Read a clip; where its disk is away, wait and read it again.

        Args:
            read: reads it.
            path: its file.
            patience: how long to wait for the disk.

        Returns:
            What it read, or why the clip, and not its disk, cannot be read.

        Raises:
            TfdfdError: if the disk stayed away.
        """
        result = read()
        if not isinstance(result, ClipError):
            return result
        was_away = self._wait_for(path, patience)
        # The disk may be back already. FFmpeg reports broken files as I/O errors too: read twice, those fail twice.
        return read() if was_away or _may_be_the_disk(result) else result

    def size_of(self, path: Path, patience: Patience) -> int:
        """Return the size of a clip's file as `source_bytes`, but not `FILE_IS_GONE` because its disk is away.

        Raises:
            TfdfdError: if the disk stayed away.
        """
        size = source_bytes(path)
        if size == FILE_IS_GONE and self._wait_for(path, patience):
            return source_bytes(path)
        return size

    def _wait_for(self, path: Path, patience: Patience) -> bool:
        """Wait until a clip's disk is there; return whether it was away."""
        failures = 0

        def attempt() -> None:
            nonlocal failures
            try:
                self._look_at(path)
            except OSError as error:
                failures += may_pass(error)
                raise

        try:
            patience.keep_trying(attempt, what="the clips' folder", folder=path.parent)
        except OSError:
            return failures > 0  # the file alone: missing, or no permission
        return failures > 0

    def _look_at(self, path: Path) -> None:
        try:
            with open(path, "rb") as file:
                file.read(1)
        except FileNotFoundError:
            if self._has_vanished(path.parent):
                raise GoneError(path.parent) from None
            raise

    def _has_vanished(self, folder: Path) -> bool:
        if folder not in self.inodes:
            return False
        try:
            # What is left where a disk is not mounted is another folder, an empty one.
            with os.scandir(folder) as entries:
                return next(entries, None) is None and os.stat(folder).st_ino != self.inodes[folder]
        except (FileNotFoundError, NotADirectoryError):
            return True


def _may_be_the_disk(error: BaseException) -> bool:
    cause = error.__cause__
    if cause is None:
        return False
    of_disk = isinstance(cause, OSError) and (may_pass(cause) or cause.errno == errno.ENOENT)
    return of_disk or _may_be_the_disk(cause)
