"""Sequences of faces with their sound: which stretch of which clip, drawn from the seed, and what is read of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfdfd.data.clip_cache import ClipCache
from tfdfd.data.clip_features import place_seconds, span_of
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.sequences import (
    FACES,
    IS_FACE,
    IS_SOUND,
    LOG_MELS,
    SequenceTable,
    draw_sequences,
    most_sound_frames,
    num_places_of,
    sequence_dataset,
    sound_frames_of,
    whole_sequences,
)

PLACES, FRAMES, D = 8, 80, 4
SECONDS = (0.05 + 0.1 * np.arange(PLACES)).astype(np.float32)


def table(folder: Path, number: int = 6) -> SequenceTable:
    """Clips whose features at place p are p + 1, and whose sound at frame f is f; the last one has no sound."""
    cache = ClipCache.create_or_open(folder / "cache", Fingerprint({}), flag="--features")
    is_face = np.ones((number, PLACES), np.bool_)
    is_face[1, 2:] = False
    for clip in range(number):
        places = np.flatnonzero(is_face[clip]) + 1
        arrays = {"features": np.repeat(places[:, None], D, 1).astype(np.float16), "is_face": is_face[clip]}
        cache.put(f"faces{clip}", {}, arrays)
        logs = np.repeat(np.arange(FRAMES)[:, None], 64, 1).astype(np.float16)
        cache.put(f"sound{clip}", {}, {"log_mel": logs, "is_sound": np.arange(FRAMES) % 10 != 9})
    return SequenceTable(
        strip_paths=[f"{clip}.jpg" for clip in range(number)],
        feature_paths=[str(cache.path(f"faces{clip}")) for clip in range(number)],
        sound_paths=[str(cache.path(f"sound{clip}")) if clip < number - 1 else "" for clip in range(number)],
        is_face=is_face,
        place_seconds=np.tile(SECONDS, (number, 1)),
        labels=(np.arange(number) % 2).astype(np.float32),
        clip_rows=np.arange(number, dtype=np.int32),
        originals=np.full(number, -1, np.int32),
        num_features=D,
        num_frames=FRAMES,
    )


def draw(of: SequenceTable, **changes: Any) -> Any:
    values: dict[str, Any] = {"seed": 0, "epoch": 0, "global_batch_size": 4, "num_places": 3, "drop_sound": 0.5}
    return draw_sequences(of, **(values | {"balance": "weights", "mirror": True} | changes))


def test_seed_and_epoch_decide_everything_and_padding_has_no_weight(tmp_path: Path) -> None:
    clips = table(tmp_path)
    one, again, other = draw(clips), draw(clips), draw(clips, epoch=1)
    assert len(one) == 8
    assert (one.weights == 0).sum() == 2
    assert sorted(one.tracks[one.weights > 0].tolist()) == list(range(6))
    for name in ("tracks", "first_places", "is_deaf", "is_mirrored"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert any((getattr(one, name) != getattr(other, name)).any() for name in ("tracks", "first_places"))
    assert not draw(clips, drop_sound=0.0).is_deaf.any()
    assert not draw(clips, mirror=False).is_mirrored.any()


def test_every_stretch_lies_in_the_clip_and_holds_a_face(tmp_path: Path) -> None:
    clips = table(tmp_path)
    seen = {clip: set() for clip in range(6)}
    for epoch in range(60):
        rows = draw(clips, epoch=epoch)
        for track, first in zip(rows.tracks.tolist(), rows.first_places.tolist(), strict=True):
            seen[track].add(first)
            assert clips.is_face[track, first : first + 3].any()
    assert seen[0] == set(range(6))
    assert seen[1] == {0, 1}  # its faces are at the first two places


def test_the_sound_is_that_of_the_stretch() -> None:
    # Places at 0.05, 0.15, ... seconds: half the way between two is a tenth of a second.
    assert sound_frames_of(SECONDS, 0, PLACES) == (0, None)
    assert sound_frames_of(SECONDS, 0, 3) == (0, 30)
    assert sound_frames_of(SECONDS, 2, 3) == (20, 50)
    assert sound_frames_of(SECONDS, 5, 3) == (50, 80)
    short = np.where(np.arange(PLACES) < 4, SECONDS, -1)
    assert sound_frames_of(short, 1, 5) == (10, 40)
    assert sound_frames_of(short, 5, 3) == (0, None)  # an empty end: only a stretch without a face would be there


def test_places_in_the_middle_of_a_long_clip_do_not_bring_the_sound_of_its_ends(tmp_path: Path) -> None:
    middle = SECONDS + 20
    assert sound_frames_of(middle, 0, PLACES) == (0, None)
    assert sound_frames_of(middle, 0, 3) == (2000, 2030)
    assert sound_frames_of(middle, 5, 3) == (2050, 2080)
    long = dataclasses.replace(table(tmp_path), place_seconds=np.tile(middle, (6, 1)), num_frames=4000)
    assert most_sound_frames(long, 3) == 30
    assert most_sound_frames(long, PLACES) == 4000
    # Beside a long clip a short one does not make all sounds as long as the longest.
    long.place_seconds[0, 3:] = -1
    assert most_sound_frames(long, 3) == 30


def test_what_is_read_is_what_was_drawn(tmp_path: Path) -> None:
    clips = table(tmp_path)
    assert most_sound_frames(clips, 3) == 30
    rows = draw(clips)
    dataset = sequence_dataset(
        clips, rows, (rows.labels, rows.tracks), num_places=3, num_frames=30, crop_size=8, batch_size=4
    )
    batches = list(dataset.as_numpy_iterator())
    assert len(batches) == 2
    inputs = {name: np.concatenate([batch[0][name] for batch in batches]) for name in batches[0][0]}
    np.testing.assert_array_equal(np.concatenate([batch[2] for batch in batches]), rows.tracks)
    for row, (track, first) in enumerate(zip(rows.tracks.tolist(), rows.first_places.tolist(), strict=True)):
        is_face = clips.is_face[track, first : first + 3]
        np.testing.assert_array_equal(inputs[IS_FACE][row], is_face)
        np.testing.assert_array_equal(inputs[FACES][row, :, 0], np.where(is_face, np.arange(first, first + 3) + 1, 0))
        if track == 5 or rows.is_deaf[row]:
            assert not inputs[IS_SOUND][row].any()
            assert not inputs[LOG_MELS][row].any()
        else:
            begin, end = sound_frames_of(SECONDS, first, 3)
            length = (end or FRAMES) - begin
            np.testing.assert_array_equal(inputs[LOG_MELS][row, :length, 0], np.arange(begin, begin + length))
            expected = (np.arange(begin, begin + 30) % 10 != 9) & (np.arange(30) < length)
            np.testing.assert_array_equal(inputs[IS_SOUND][row], expected)


def test_scoring_sees_each_clip_whole_and_once(tmp_path: Path) -> None:
    rows, numbers = whole_sequences(table(tmp_path), global_batch_size=4)
    assert rows.tracks.tolist() == [0, 1, 2, 3, 4, 5, 5, 5]
    assert numbers.tolist() == [0, 1, 2, 3, 4, 5, -1, -1]
    assert not rows.first_places.any()
    assert not rows.is_deaf.any()


@pytest.mark.parametrize(("share", "places"), [(0.75, 13), (1.0, 17), (0.01, 1)])
def test_a_share_of_the_places_is_at_least_one(share: float, places: int) -> None:
    assert num_places_of(share, 17) == places


def test_times_come_from_the_record_whichever_way_it_holds_them() -> None:
    even = {"frame_seconds": [2.0, 3.9], "num_frames": 20, "frames_per_second": 10.0, "frame_indices": [0, 10, -1]}
    assert span_of(even) == pytest.approx((2.0, 4.0))
    np.testing.assert_allclose(place_seconds(even, 3), [0, 1, -1], atol=1e-6)
    odd = even | {"frame_seconds": [0.0, 0.1, 1.0], "num_frames": 3, "frame_indices": [0, 2, -1]}
    assert span_of(odd) == pytest.approx((0.0, 1.5))
    np.testing.assert_allclose(place_seconds(odd, 3), [0, 1, -1], atol=1e-6)
    one = even | {"frame_seconds": [1.0], "num_frames": 1, "frames_per_second": float("nan")}
    assert span_of(one) == pytest.approx((1.0, 1.04))
    assert span_of(even | {"frame_seconds": []}) is None


def test_the_names_of_the_inputs_are_those_of_the_network() -> None:
    from tfdfd.data import sequences
    from tfdfd.models import audio_visual
    from tfdfd.training import sequence_options

    for name in ("FACES", "IS_FACE", "LOG_MELS", "IS_SOUND"):
        assert getattr(sequences, name) == getattr(audio_visual, name)
    for name in ("AUDIO_VISUAL", "OVER_TIME"):
        assert getattr(sequence_options, name) == getattr(audio_visual, name)
