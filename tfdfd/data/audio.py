"""The sound of a clip, read with PyAV: one channel at one rate, on the clock of its video, and where there is any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from tfdfd.clip import OK, ClipError
from tfdfd.data.video_stream import naming_errors, require_regular_file

SAMPLE_RATE = 16_000
"""Samples a second: what speech needs, and what networks for sound are usually given."""
NO_AUDIO, SHORT, VARIABLE, DAMAGED, FAILED, NO_FILE = "no_audio", "short", "variable", "damaged", "failed", "no_file"
SOUND_STATUSES = (OK, SHORT, VARIABLE, DAMAGED, NO_AUDIO, FAILED, NO_FILE)
"""ok; short: less of it than of the video; variable: rate or channels change on the way; damaged: parts do not decode;
no_audio: the file has no audio stream, or nothing in it in these seconds; failed: nothing of it can be read; no_file:
the clip is not here. Of several the later one counts. The first four have sound, and what is missing in them is marked
as such."""
HEARD = (OK, SHORT, VARIABLE, DAMAGED)

_TOLERATED_GAP_SECONDS = 0.25
"""Encoders work in blocks, and end up to so much before the video: no one calls that short."""
_MAX_DRIFT_SECONDS = 0.02
"""A sound whose stamped time is so far from where its samples have come to is put where the stamp says."""
_LEAD_SECONDS = 1.0
"""Decoding begins so long before the stretch: codecs take up to a tenth of it to be right."""
_MAX_BYTES = 2**30
"""Most bytes of samples that are read of one clip: 4.6 hours."""

AUDIO_SETTINGS = {"sample_rate": SAMPLE_RATE, "channels": "mean of all", "resampler": "libswresample", "rules": 1}
"""What the samples depend on beside the file: part of a fingerprint."""


@dataclass(frozen=True)
class ClipSound:
    """The sound of a stretch of a clip."""

    waveform: np.ndarray = field(repr=False)
    """float32, shape (n,), mostly in [-1, 1]: SAMPLE_RATE a second from the first frame on; 0 where there is none."""
    is_sound: np.ndarray = field(repr=False)
    """bool, shape (n,): which samples were in the file; a silent one is a sound too."""
    status: str
    """One of SOUND_STATUSES."""
    reason: str = ""
    """Why the status is not ok; empty when it is."""

    def __post_init__(self) -> None:
        if self.waveform.dtype != np.float32 or self.is_sound.dtype != np.bool_:
            raise ValueError(f"sound must be float32 with a bool mask, got {self.waveform.dtype} {self.is_sound.dtype}")
        if self.waveform.ndim != 1 or self.waveform.shape != self.is_sound.shape:
            raise ValueError(f"a mask belongs to every sample, got {self.waveform.shape} and {self.is_sound.shape}")
        if self.status not in SOUND_STATUSES or (self.status != OK) != bool(self.reason):
            raise ValueError(f"a reason belongs to every status but ok, got {self.status!r}, {self.reason!r}")
        if self.status not in HEARD and self.is_sound.any():
            raise ValueError(f"status {self.status} has no sound, got {int(self.is_sound.sum())} samples of it")

    @staticmethod
    def none(num_samples: int, status: str, reason: str) -> ClipSound:
        """Return the sound of a clip of which nothing is heard."""
        return ClipSound(np.zeros(num_samples, np.float32), np.zeros(num_samples, np.bool_), status, reason)


def read_sound(path: Path, *, start_seconds: float, end_seconds: float) -> ClipSound:
    """Read the sound that belongs to a stretch of a video.

    Args:
        path: a video file.
        start_seconds: when the first frame is shown, by the file's own clock: sample 0 is heard then.
        end_seconds: when the last frame is no longer shown, above start_seconds.

    Returns:
        SAMPLE_RATE samples a second. A file that cannot be read gives a status and a reason, never an error.
    """
    if not end_seconds > start_seconds:
        raise ValueError(f"end_seconds must be above start_seconds, got {start_seconds} to {end_seconds}")
    num_samples = max(1, round((end_seconds - start_seconds) * SAMPLE_RATE))
    if num_samples * 4 > _MAX_BYTES:
        seconds = _MAX_BYTES // 4 // SAMPLE_RATE
        return ClipSound.none(0, FAILED, f"{path}: {end_seconds - start_seconds:.0f} s of sound, at most {seconds} s")
    if not path.exists():
        return ClipSound.none(num_samples, NO_FILE, f"{path}: no such file")
    found = _Found(np.zeros(num_samples, np.float32), np.zeros(num_samples, np.bool_), start_seconds)
    try:
        with naming_errors(path):
            require_regular_file(path)
            has_stream = _read(path, end_seconds, found)
    except ClipError as error:
        if not found.is_sound.any():
            return ClipSound.none(num_samples, FAILED, str(error))
        found.problems.append(str(error))  # what came before it was heard
        has_stream = True
    if not has_stream:
        return ClipSound.none(num_samples, NO_AUDIO, f"{path}: no audio stream")
    return _judged(path, found)


@dataclass
class _Found:
    """The samples as they come, and what was wrong with them."""

    waveform: np.ndarray
    is_sound: np.ndarray
    start_seconds: float
    problems: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)

    def put(self, samples: np.ndarray, seconds: float) -> None:
        """Put samples, float32 (n,), where they are heard; what lies outside is left out."""
        first = round((seconds - self.start_seconds) * SAMPLE_RATE)
        begin, end = max(first, 0), min(first + len(samples), len(self.waveform))
        if begin >= end:
            return
        part = samples[begin - first : end - first]
        is_number = np.isfinite(part)
        if not is_number.all():
            self.problems.append(f"{int((~is_number).sum())} samples are no numbers")
        self.waveform[begin:end] = np.where(is_number, part, 0)
        self.is_sound[begin:end] = is_number


class _Run:
    """Frames of one format that follow each other without a gap, resampled together.

    Args:
        frame: the first of them.
        seconds: when it is heard.
    """

    def __init__(self, frame: Any, seconds: float) -> None:
        self.format = _format_of(frame)
        self.start_seconds, self.end_seconds = seconds, seconds
        self._resampler = av.AudioResampler(format="fltp", rate=SAMPLE_RATE)
        self._parts: list[np.ndarray] = []

    def add(self, frame: Any) -> None:
        """Take the next frame."""
        self.end_seconds += frame.samples / frame.sample_rate
        frame.pts = None  # the run knows where it is
        self._take(self._resampler.resample(frame))

    def samples(self) -> np.ndarray:
        """End the run and return its samples, float32 (n,)."""
        self._take(self._resampler.resample(None))
        return np.concatenate([np.zeros(0, np.float32), *self._parts])

    def _take(self, resampled: list[Any]) -> None:
        # FFmpeg's own way to one channel makes a stereo recording of one voice 3 dB louder than a mono one.
        self._parts += [part.to_ndarray().mean(axis=0) for part in resampled if part is not None]


def _read(path: Path, end_seconds: float, found: _Found) -> bool:
    """Read a file's sound into `found`; return whether it has an audio stream."""
    with av.open(f"file:{path}") as container:
        if not container.streams.audio:
            return False
        stream: Any = container.streams.best("audio") or container.streams.audio[0]
        if stream.codec_context is None:
            raise ClipError(f"{path}: its sound is in no codec that can be read here")
        run: _Run | None = None
        try:
            for frame, seconds in _decoded(container, stream, found):
                at = seconds if seconds is not None else run.end_seconds if run else found.start_seconds
                if at > end_seconds:
                    break
                if run is None or run.format != _format_of(frame) or abs(at - run.end_seconds) > _MAX_DRIFT_SECONDS:
                    if run is not None:
                        found.put(run.samples(), run.start_seconds)
                    run = _Run(frame, at)
                    found.formats.append(run.format)
                run.add(frame)
        finally:
            if run is not None:  # also where the file ends in an error
                found.put(run.samples(), run.start_seconds)
    return True


def _decoded(container: Any, stream: Any, found: _Found) -> Iterator[tuple[Any, float | None]]:
    """Yield each frame from a little before the stretch on, and when it is heard, None where the file does not say.

    Packets of the time before are passed over: a long clip is read window by window, and to decode all that lies before
    each would take longer than all else. Nothing is sought, for where a file has no index that ends anywhere.
    """
    begin = found.start_seconds - _LEAD_SECONDS
    for packet in container.demux(stream):
        if packet.pts is not None and float((packet.pts + (packet.duration or 0)) * packet.time_base) < begin:
            continue
        try:
            frames = packet.decode()
        except FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            found.problems.append(error.strerror or str(error))
            continue
        for frame in frames:
            if frame.samples:
                yield frame, None if frame.pts is None else float(frame.pts * frame.time_base)


def _format_of(frame: Any) -> str:
    return f"{frame.sample_rate} Hz {frame.layout.name} {frame.format.name}"


def _judged(path: Path, found: _Found) -> ClipSound:
    """Say what is wrong with what was heard."""
    num_samples, num_heard = len(found.is_sound), int(found.is_sound.sum())
    status, reasons = OK, list[str]()
    if not num_heard and not found.problems:
        return ClipSound.none(num_samples, NO_AUDIO, f"{path}: its audio stream has nothing in these seconds")
    if (num_samples - num_heard) / SAMPLE_RATE > _TOLERATED_GAP_SECONDS:
        status = SHORT
        reasons.append(f"sound in {num_heard / SAMPLE_RATE:.2f} of its {num_samples / SAMPLE_RATE:.2f} s")
    if len(formats := dict.fromkeys(found.formats)) > 1:
        status = VARIABLE
        reasons.append(f"its sound changes on the way: {', then '.join(formats)}")
    if found.problems:
        status = DAMAGED if num_heard else FAILED
        reasons.append(f"{len(found.problems)} parts of its sound do not decode, the last: {found.problems[-1]}")
    return ClipSound(found.waveform, found.is_sound, status, f"{path}: {'; '.join(reasons)}" if reasons else "")
