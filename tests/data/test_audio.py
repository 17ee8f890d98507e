"""The sound of a clip: where it lies in time, what is missing of it, and why."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.sound_files import tone, write_clip
from tests.video_files import write_video
from tfdfd.clip import OK
from tfdfd.data import audio
from tfdfd.data.audio import (
    DAMAGED,
    FAILED,
    NO_AUDIO,
    NO_FILE,
    SAMPLE_RATE,
    SHORT,
    VARIABLE,
    ClipSound,
    read_sound,
)


def click_at(seconds: float, *, rate: int = 48_000, length: float = 1.0) -> np.ndarray:
    samples = np.zeros(round(length * rate), np.float32)
    first = round(seconds * rate)
    samples[first : first + rate // 1000] = 0.9  # a millisecond
    return samples


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_a_sound_is_where_the_videos_clock_says(tmp_path: Path, rate: int, layout: str) -> None:
    path = write_clip(tmp_path / "clip.mkv", [(0.0, click_at(0.4, rate=rate))], rate=rate, layout=layout)
    sound = read_sound(path, start_seconds=0.0, end_seconds=1.0)
    assert (sound.status, len(sound.waveform)) == (OK, SAMPLE_RATE)
    assert sound.is_sound.mean() > 0.99
    heard = np.flatnonzero(np.abs(sound.waveform) > 0.45)
    assert abs(heard[0] / SAMPLE_RATE - 0.4) < 2e-3
    assert abs(heard[-1] / SAMPLE_RATE - 0.401) < 2e-3
    assert 0.8 < sound.waveform.max() < 1.3


def test_a_video_that_begins_later_has_the_sound_of_its_own_seconds(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", [(0.0, click_at(0.7))], video_start_seconds=0.5, video_seconds=0.5)
    sound = read_sound(path, start_seconds=0.5, end_seconds=1.0)
    assert abs(np.flatnonzero(np.abs(sound.waveform) > 0.45)[0] / SAMPLE_RATE - 0.2) < 2e-3


@pytest.mark.parametrize(("name", "codec"), [("clip.mkv", "pcm_s16le"), ("clip.mp4", "aac")])
def test_a_late_stretch_is_that_of_the_whole_and_what_lies_long_before_it_is_not_decoded(
    tmp_path: Path, name: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rising = np.sin(2 * np.pi * 10 * np.arange(48_000 * 6) ** 2 / 48_000**2).astype(np.float32) / 2
    path = write_clip(tmp_path / name, [(0.0, rising)], codec=codec, video_seconds=6.0, frames_per_second=5)
    whole = read_sound(path, start_seconds=0.0, end_seconds=6.0)
    lasted = []
    add = audio._Run.add
    monkeypatch.setattr(audio._Run, "add", lambda run, frame: (lasted.append(frame.samples / 48_000), add(run, frame)))
    part = read_sound(path, start_seconds=4.0, end_seconds=5.0)
    assert part.status == OK
    assert part.is_sound.all()
    # Stamps are rounded to a millisecond, in which this sound turns by a tenth at most.
    expected = whole.waveform[4 * SAMPLE_RATE :][:SAMPLE_RATE]
    assert np.corrcoef(part.waveform, expected)[0, 1] > 0.9
    assert 2.0 < sum(lasted) < 2.2


def test_aac_in_an_mp4_is_where_it_was_put(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", [(0.0, click_at(0.4))], codec="aac")
    sound = read_sound(path, start_seconds=0.0, end_seconds=1.0)
    assert sound.status == OK
    # The encoder smears a click, but not its middle; its delay of 21 ms is not left in.
    assert abs(np.argmax(np.abs(sound.waveform)) / SAMPLE_RATE - 0.4005) < 3e-3


def test_the_pitch_stays(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", [(0.0, tone(1000, 1.0, rate=44_100))], rate=44_100)
    sound = read_sound(path, start_seconds=0.0, end_seconds=1.0)
    spectrum = np.abs(np.fft.rfft(sound.waveform[2000:14_000]))
    assert abs(np.argmax(spectrum) * SAMPLE_RATE / 12_000 - 1000) <= 2
    assert abs(np.abs(sound.waveform).max() - 0.5) < 0.03


def test_sound_that_ends_early_or_pauses_is_marked_and_said(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "early.mkv", [(0.0, tone(500, 0.5))])
    sound = read_sound(path, start_seconds=0.0, end_seconds=1.0)
    assert sound.status == SHORT
    assert "sound in 0.50 of its 1.00 s" in sound.reason
    assert sound.is_sound[: SAMPLE_RATE // 2 - 200].all()
    assert not sound.is_sound[SAMPLE_RATE // 2 + 200 :].any()
    path = write_clip(tmp_path / "pause.mkv", [(0.0, tone(500, 0.25)), (0.75, tone(500, 0.25))])
    sound = read_sound(path, start_seconds=0.0, end_seconds=1.0)
    assert sound.status == SHORT
    assert not sound.is_sound[4300:11_700].any()
    assert sound.is_sound[12_100:15_700].all()
    assert not sound.waveform[4300:11_700].any()


def test_a_silent_sound_is_a_sound_and_no_stream_is_none(tmp_path: Path) -> None:
    silent = read_sound(
        write_clip(tmp_path / "silent.mkv", [(0.0, np.zeros(48_000, np.float32))]), start_seconds=0.0, end_seconds=1.0
    )
    assert silent.status == OK
    assert silent.is_sound.mean() > 0.99
    mute = read_sound(write_video(tmp_path / "mute.mp4", num_frames=4), start_seconds=0.0, end_seconds=0.5)
    assert (mute.status, mute.is_sound.any(), len(mute.waveform)) == (NO_AUDIO, False, SAMPLE_RATE // 2)
    assert "mute.mp4: no audio stream" in mute.reason


def test_a_stream_with_nothing_in_these_seconds_is_no_sound(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.mkv", [(0.9, tone(440, 0.5))], video_seconds=0.5)
    sound = read_sound(path, start_seconds=0.0, end_seconds=0.5)
    assert sound.status == NO_AUDIO
    assert "nothing in these seconds" in sound.reason
    assert len(sound.is_sound) == SAMPLE_RATE // 2
    assert not sound.is_sound.any()


def test_a_rate_that_changes_on_the_way_is_heard_and_said(tmp_path: Path) -> None:
    # MPEG audio may change its rate from one frame to the next; joined files do.
    parts = []
    for rate in (44_100, 48_000):
        part = write_clip(
            tmp_path / f"{rate}.mp3.mkv", [(0.0, tone(1000, 0.5, rate=rate))], rate=rate, codec="libmp3lame"
        )
        parts.append(packets_of(part))
    (tmp_path / "joined.mp3").write_bytes(b"".join(parts))
    sound = read_sound(tmp_path / "joined.mp3", start_seconds=0.0, end_seconds=1.0)
    assert sound.status == VARIABLE
    assert "44100 Hz" in sound.reason
    assert "48000 Hz" in sound.reason
    for first in (2000, 10_000):
        spectrum = np.abs(np.fft.rfft(sound.waveform[first : first + 4000]))
        assert abs(np.argmax(spectrum) * SAMPLE_RATE / 4000 - 1000) <= 8


def packets_of(path: Path) -> bytes:

    with av.open(str(path)) as container:
        return b"".join(bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size)


def test_damaged_packets_are_left_out_and_said(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", [(0.0, tone(700, 1.0))], codec="flac")
    packets = []

    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
    content = bytearray(path.read_bytes())
    for number in range(3, 6):
        where = content.find(packets[number])
        content[where : where + 12] = b"\xff" * 12
    path.write_bytes(content)
    sound = read_sound(path, start_seconds=0.0, end_seconds=1.0)
    assert sound.status == DAMAGED, sound
    assert "do not decode" in sound.reason
    assert 0.3 < sound.is_sound.mean() < 0.97
    assert not sound.waveform[~sound.is_sound].any()


def test_what_is_no_clip_fails_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video at all")
    sound = read_sound(tmp_path / "notes.mp4", start_seconds=0.0, end_seconds=1.0)
    assert sound.status == FAILED
    assert "notes.mp4" in sound.reason
    assert read_sound(tmp_path / "gone.mp4", start_seconds=0.0, end_seconds=1.0).status == NO_FILE
    assert read_sound(tmp_path, start_seconds=0.0, end_seconds=1.0).status == FAILED
    assert read_sound(tmp_path / "gone.mp4", start_seconds=0.0, end_seconds=1e6).status == FAILED
    with pytest.raises(ValueError, match="end_seconds must be above"):
        read_sound(tmp_path / "gone.mp4", start_seconds=1.0, end_seconds=1.0)


def test_a_value_that_lies_about_its_sound_is_refused() -> None:
    with pytest.raises(ValueError, match="status no_audio has no sound"):
        ClipSound(np.zeros(2, np.float32), np.ones(2, np.bool_), NO_AUDIO, "none")
    with pytest.raises(ValueError, match="a mask belongs to every sample"):
        ClipSound(np.zeros(3, np.float32), np.ones(2, np.bool_), OK)


@pytest.mark.clips
def test_real_clips_are_heard_from_beginning_to_end(test_data: Path) -> None:
    for path in sorted((test_data / "clips/dfdc").glob("*/*.mp4"))[:3]:
        sound = read_sound(path, start_seconds=0.0, end_seconds=10.0)
        assert (sound.status, sound.reason) == (OK, "")
        assert sound.is_sound.mean() > 0.99
        assert np.std(sound.waveform) > 1e-4
    swapped = next((test_data / "clips/ffpp").rglob("*.mp4"))
    assert read_sound(swapped, start_seconds=0.0, end_seconds=10.0).status == NO_AUDIO
