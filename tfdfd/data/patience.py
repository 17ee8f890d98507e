"""Waiting for a disk that is away for a moment: a network store that fails for a minute costs no run."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tfdfd.clip import TfdfdError

PATIENCE_SECONDS = 180.0
"""How long a disk may be away: a file server restarts in that time."""
MAY_PASS = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.EREMOTEIO),
        *(errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
    }
)
"""Errors that a network disk gives while it is away; a full disk or a missing permission does not pass by itself."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class GoneError(OSError):
    """A folder that was there is not there now, e.g. because its disk is not mounted."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.ENOENT, "it has vanished", str(path))


@dataclass(frozen=True)
class Patience:
    """How long to wait for a disk, and whom to tell."""

    seconds: float = PATIENCE_SECONDS
    """0 gives up at the first error."""
    say: Callable[[str], None] = _log.warning
    """Told once when the wait begins, and once when it was not in vain."""
    on_wait: Callable[[bool], None] = lambda _: None
    """Called with True when a wait begins and with False when it ends."""
    sleep: Callable[[float], None] = time.sleep

    def keep_trying(self, attempt: Callable[[], Result], *, what: str, folder: Path) -> Result:
        """Do something, again and again while it fails for a reason that may pass.

        Args:
            attempt: does it; may be repeated after it was half done.
            what: what is away, e.g. `the store`.
            folder: where it is.

        Returns:
            What the attempt returned.

        Raises:
            TfdfdError: if the disk stayed away.
            OSError: if an attempt failed for a reason that does not pass by itself.
        """
        try:
            return attempt()
        except OSError as error:
            if not may_pass(error):
                raise
            reason = _reason(error)
        self.say(f"{what} {folder} cannot be reached ({reason}): trying for {_duration(self.seconds)}")
        self.on_wait(True)
        try:
            result = self._try_again(attempt, what, folder, reason)
        finally:
            self.on_wait(False)
        self.say(f"{what} {folder} can be reached again")
        return result

    def _try_again(self, attempt: Callable[[], Result], what: str, folder: Path, reason: str) -> Result:
        began = time.monotonic()
        pause = _FIRST_PAUSE_SECONDS
        while (left := began + self.seconds - time.monotonic()) > 0:
            self.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            try:
                return attempt()
            except OSError as error:
                if not may_pass(error):
                    raise
                reason = _reason(error)
        raise TfdfdError(
            f"{what} {folder} could not be reached for {_duration(self.seconds)} ({reason}): see to its disk or "
            "network and run the same command again; what is done is kept"
        )


def may_pass(error: OSError) -> bool:
    """Return whether an error is one that a network disk gives while it is away."""
    return isinstance(error, GoneError) or error.errno in MAY_PASS


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 120 else f"{seconds:g} seconds"
