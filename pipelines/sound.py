"""Waveforms to log-mel spectrograms by DALI: the numbers of `tfdfd.data.spectrograms`, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nvidia.dali import fn, math
from nvidia.dali.pipeline import pipeline_def

from tfdfd.data.spectrograms import LOG_MEL, LogMel


def log_mel_spectrograms(
    waveforms: Sequence[np.ndarray], made: LogMel = LOG_MEL, *, device_id: int | None = None
) -> list[np.ndarray]:
    """Turn waveforms into log-mel spectrograms.

    Args:
        waveforms: float32 (samples,) each, at least `made.window` long; lengths may differ.
        made: how.
        device_id: number of the GPU to do it on, None for the CPU.

    Returns:
        float32 (frames, num_mels) of each. They know no mask: where there is no sound is the caller's to say.
    """
    if short := [len(waveform) for waveform in waveforms if len(waveform) < made.window]:
        raise ValueError(f"a waveform must have at least {made.window} samples, got one of {short[0]}")

    @pipeline_def(batch_size=len(waveforms), num_threads=1, device_id=device_id)  # pyright: ignore[reportArgumentType]  None is a CPU
    def graph():
        samples = fn.external_source(source=lambda: list(waveforms), batch=True)
        if device_id is not None:
            samples = samples.gpu()
        spectra = fn.spectrogram(
            samples,
            nfft=made.fft_size,
            window_length=made.window,
            window_step=made.hop,
            window_fn=made.window_values().tolist(),
            center_windows=False,
            power=1,
            layout="tf",
        )
        bands = fn.mel_filter_bank(
            spectra,
            sample_rate=made.sample_rate,
            nfilter=made.num_mels,
            freq_low=made.low_hz,
            freq_high=made.high_hz,
            mel_formula="htk",
            normalize=False,
        )
        return math.log(bands + made.offset)

    pipeline = graph()
    pipeline.build()
    (logs,) = pipeline.run()
    return [np.asarray(one) for one in (logs.as_cpu() if device_id is not None else logs)]
