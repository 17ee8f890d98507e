"""Log-mel spectrograms, pictures of sound, by tf.signal; `pipelines.sound` gives the same numbers by DALI."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdfd.data.audio import SAMPLE_RATE

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class LogMel:
    """How a spectrogram is made; the defaults are those of VGGish.

    Source: Hershey et al., CNN Architectures for Large-Scale Audio Classification, arXiv:1609.09430.
    """

    sample_rate: int = SAMPLE_RATE
    """Samples a second."""
    window: int = 400
    """Samples of a frame: 25 ms."""
    hop: int = 160
    """Samples from one frame to the next: 10 ms."""
    fft_size: int = 512
    """Samples of the Fourier transform, a frame and zeros."""
    num_mels: int = 64
    """Bands."""
    low_hz: float = 125.0
    """Where the lowest band begins."""
    high_hz: float = 7500.0
    """Where the highest band ends."""
    offset: float = 0.01
    """Added before the logarithm: silence is log(0.01)."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the numbers depend on, JSON-able: part of a fingerprint."""
        return {**dataclasses.asdict(self), "window_function": "periodic Hann", "spectrum": "magnitude", "rules": 1}

    @property
    def frames_a_second(self) -> float:
        """Frames of a spectrogram in a second of sound."""
        return self.sample_rate / self.hop

    def num_frames(self, num_samples: int) -> int:
        """Return the frames that so many samples give: one at least, not heard in full, where they fill none."""
        return max(1, 1 + (num_samples - self.window) // self.hop)

    def window_values(self) -> np.ndarray:
        """Return the weights of a frame's samples, float32, shape (window,): a periodic Hann window."""
        turns = np.arange(self.window) / self.window
        return (0.5 - 0.5 * np.cos(2 * np.pi * turns)).astype(np.float32)

    def mel_matrix(self) -> np.ndarray:
        """Return the weights from frequencies to bands, float32, shape (fft_size // 2 + 1, num_mels).

        Bands are triangles over hertz whose corners are evenly spaced in mel (HTK's formula), of height 1.
        """
        low, high = (1127.0 * np.log1p(hertz / 700.0) for hertz in (self.low_hz, self.high_hz))
        corners = 700.0 * np.expm1(np.linspace(low, high, self.num_mels + 2) / 1127.0)
        hertz = np.arange(self.fft_size // 2 + 1)[:, None] * self.sample_rate / self.fft_size
        rising = (hertz - corners[:-2]) / np.diff(corners)[:-1]
        falling = (corners[2:] - hertz) / np.diff(corners)[1:]
        return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


LOG_MEL = LogMel()
"""The one that is used."""


def log_mel(waveforms: tf.Tensor, is_sound: tf.Tensor, made: LogMel = LOG_MEL) -> tuple[tf.Tensor, tf.Tensor]:
    """Turn waveforms into log-mel spectrograms; runs eagerly and inside a graph.

    Args:
        waveforms: float32 [batch, samples], in [-1, 1].
        is_sound: bool [batch, samples]: which samples were heard.
        made: how.

    Returns:
        float32 [batch, frames, num_mels], 0 where there is no sound, and bool [batch, frames]: which frames are heard
        in full. Frame i covers the samples from i * hop on, `window` in number; a frame of which one sample was not
        heard is none, for a cut in a sound is not a sound.
    """
    import tensorflow as tf

    lacking = [[0, 0], [0, tf.maximum(made.window - tf.shape(waveforms)[1], 0)]]
    waveforms, is_sound = tf.pad(waveforms, lacking), tf.pad(is_sound, lacking)  # the transform takes no empty tensor
    spectra = tf.abs(
        tf.signal.stft(
            waveforms,
            made.window,
            made.hop,
            made.fft_size,
            window_fn=lambda *_, dtype=tf.float32: tf.constant(made.window_values(), dtype),
        )
    )
    logs = tf.math.log(tf.matmul(spectra, made.mel_matrix()) + made.offset)
    # By sums from the beginning: frames overlap, and a sum over each would read every sample three times.
    missing = tf.pad(tf.cumsum(tf.cast(tf.logical_not(is_sound), tf.int32), axis=1), [[0, 0], [1, 0]])
    first = tf.range(tf.shape(logs)[1]) * made.hop
    is_heard = tf.equal(tf.gather(missing, first + made.window, axis=1), tf.gather(missing, first, axis=1))
    return tf.where(is_heard[..., None], logs, 0.0), is_heard
