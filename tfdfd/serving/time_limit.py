"""Time for one clip: how much is spent, and how many frames fit into what is left."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns seconds, as `time.monotonic` does."""

_MOST_FRAMES = 10**9
"""As good as any number: of no clip are so many looked at."""
_UNMEASURED_SHARE = 0.25
"""Share of the time that is kept for faces and network while nothing is known of how long they take."""


class Stopwatch:
    """Seconds of work on one clip, without those in which it waits for the clip before it.

    Args:
        limit_seconds: most of them; None for no limit.
        clock: returns seconds.
    """

    def __init__(self, limit_seconds: float | None = None, clock: Clock = time.monotonic) -> None:
        self._limit, self._clock = limit_seconds, clock
        self._spent = 0.0
        self._since: float | None = clock()

    @property
    def limit_seconds(self) -> float | None:
        """Most seconds; None for no limit."""
        return self._limit

    @property
    def seconds(self) -> float:
        """Those spent."""
        since = self._since  # another thread may stop it meanwhile
        return self._spent + (0.0 if since is None else self._clock() - since)

    @property
    def left_seconds(self) -> float:
        """Those left, below 0 where the limit is passed; infinite without a limit."""
        return float("inf") if self._limit is None else self._limit - self.seconds

    def stop(self) -> None:
        """Stand still until `go_on`."""
        self._spent, self._since = self.seconds, None

    def go_on(self) -> None:
        """Run again."""
        if self._since is None:
            self._since = self._clock()


class Pace:
    """How long the work on a frame takes on this machine, as measured on the clips so far."""

    def __init__(self) -> None:
        self._pixels, self._pixel_seconds = 0, 0.0
        self._faces, self._face_seconds = 0, 0.0

    def saw_frames(self, num_pixels: int, seconds: float) -> None:
        """Take in how long finding and cropping the faces of some frames took."""
        # Half of what was before is forgotten: the next clip is more like the last one than like the first.
        self._pixels, self._pixel_seconds = self._pixels / 2 + num_pixels, self._pixel_seconds / 2 + seconds

    def saw_faces(self, num_faces: int, seconds: float) -> None:
        """Take in how long the network took for some faces."""
        self._faces, self._face_seconds = self._faces / 2 + num_faces, self._face_seconds / 2 + seconds

    @property
    def is_known(self) -> bool:
        """Whether any frame was measured."""
        return self._pixels > 0

    @property
    def seconds_a_face(self) -> float:
        """Of the network."""
        return self._face_seconds / self._faces if self._faces else 0.0

    def seconds_for(self, num_frames: int, frame_pixels: int) -> float:
        """Return how long so many frames take from their pixels to a score, with one face each."""
        a_pixel = self._pixel_seconds / self._pixels if self._pixels else 0.0
        return num_frames * (a_pixel * frame_pixels + self.seconds_a_face)

    def frames_in(self, seconds: float, frame_pixels: int) -> int:
        """Return how many frames fit into some seconds, 0 or more."""
        a_frame = self.seconds_for(1, frame_pixels)
        if seconds <= 0:
            return 0
        return int(min(seconds / a_frame, _MOST_FRAMES)) if a_frame > 0 else _MOST_FRAMES

    def is_reading_over(self, watch: Stopwatch, num_read: int, frame_pixels: int) -> bool:
        """Return whether what is left of the time is needed for the frames that are read.

        Half of the time at most is kept for them: a few frames spread over the clip say more than many of its
        beginning.

        Args:
            watch: of the clip.
            num_read: frames that are read.
            frame_pixels: of one of them.
        """
        if watch.limit_seconds is None:
            return False
        if not self.is_known:
            return watch.left_seconds <= _UNMEASURED_SHARE * watch.limit_seconds
        kept = min(self.seconds_for(num_read, frame_pixels), watch.limit_seconds / 2)
        return watch.left_seconds <= max(kept, self.seconds_for(1, frame_pixels))
