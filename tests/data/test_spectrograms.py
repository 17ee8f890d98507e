"""Log-mel spectrograms: the same numbers by tf.signal, NumPy and DALI, and masks that do not lie."""

from __future__ import annotations

import numpy as np
import pytest

from tests.sound_files import tone
from tfdfd.data.spectrograms import LOG_MEL, LogMel, log_mel

NOISE = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)


def of(
    waveform: np.ndarray, is_sound: np.ndarray | None = None, made: LogMel = LOG_MEL
) -> tuple[np.ndarray, np.ndarray]:
    mask = np.ones(len(waveform), np.bool_) if is_sound is None else is_sound
    logs, heard = log_mel(waveform[None], mask[None], made)
    return logs.numpy()[0], heard.numpy()[0]


def by_numpy(waveform: np.ndarray, made: LogMel) -> np.ndarray:
    """The definition, a frame and a band at a time."""
    turns = np.arange(made.window) / made.window
    edges_mel = np.linspace(
        *(2595 * np.log10(1 + hertz / 700) for hertz in (made.low_hz, made.high_hz)), made.num_mels + 2
    )
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    rows = []
    for first in range(0, len(waveform) - made.window + 1, made.hop):
        frame = waveform[first : first + made.window].astype(np.float64) * (0.5 - 0.5 * np.cos(2 * np.pi * turns))
        spectrum = np.abs(np.fft.rfft(frame, made.fft_size))
        hertz = np.fft.rfftfreq(made.fft_size, 1 / made.sample_rate)
        bands = [np.interp(hertz, edges[band : band + 3], [0, 1, 0]) @ spectrum for band in range(made.num_mels)]
        rows.append(np.log(np.array(bands) + made.offset))
    return np.array(rows)


@pytest.mark.parametrize("made", [LOG_MEL, LogMel(window=256, hop=100, fft_size=256, num_mels=20, offset=1e-3)])
def test_the_numbers_are_those_of_the_definition(made: LogMel) -> None:
    logs, heard = of(NOISE, made=made)
    expected = by_numpy(NOISE, made)
    assert logs.shape == expected.shape == (made.num_frames(len(NOISE)), made.num_mels)
    np.testing.assert_allclose(logs, expected, atol=2e-4)
    assert heard.all()


def test_dali_gives_the_same_numbers() -> None:
    pytest.importorskip("nvidia.dali")
    from pipelines.sound import log_mel_spectrograms

    waveforms = [NOISE, tone(440, 0.3, rate=16_000)]
    for waveform, by_dali in zip(waveforms, log_mel_spectrograms(waveforms), strict=True):
        np.testing.assert_allclose(by_dali, of(waveform)[0], atol=1e-3)
    with pytest.raises(ValueError, match="at least 400 samples, got one of 100"):
        log_mel_spectrograms([NOISE[:100]])


def test_a_higher_tone_is_in_a_higher_band_and_silence_is_its_floor() -> None:
    bands = [int(of(tone(hertz, 0.2, rate=16_000))[0].mean(axis=0).argmax()) for hertz in (300, 1000, 3000, 7000)]
    assert bands == sorted(set(bands))
    corners = LOG_MEL.mel_matrix()[:, bands[1]].nonzero()[0] * 16_000 / 512
    assert corners.min() <= 1000 <= corners.max()
    np.testing.assert_allclose(of(np.zeros(800, np.float32))[0], np.log(0.01), atol=1e-6)


def test_a_frame_of_which_a_sample_is_missing_is_none() -> None:
    mask = np.ones(8000, np.bool_)
    mask[2000:2001] = False
    logs, heard = of(NOISE, mask)
    expected = [not first <= 2000 < first + 400 for first in range(0, 7601, 160)]
    assert heard.tolist() == expected
    assert not logs[~heard].any()
    np.testing.assert_array_equal(logs[heard], of(NOISE)[0][heard])


@pytest.mark.parametrize("length", [0, 399])
def test_what_is_shorter_than_a_frame_gives_one_that_is_not_heard(length: int) -> None:
    logs, heard = of(NOISE[:length])
    assert not logs.any()
    assert heard.tolist() == [False]
    assert (LOG_MEL.num_frames(length), LOG_MEL.num_frames(400), LOG_MEL.num_frames(560)) == (1, 1, 2)
