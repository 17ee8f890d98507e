"""Embeddings of tracks: made once, kept in the store, refused where they were made otherwise."""

import numpy as np
import pandas as pd
import pytest

from tests.colour_embedder import ColourEmbedder, OtherEmbedder
from tests.stores import new_store, ok_clip, painted, track_of, write_clips
from tfdfd.clip import OK, ClipFaces, TfdfdError
from tfdfd.data.ready_crops import READY_MADE
from tfdfd.data.store import FaceStore
from tfdfd.data.track_embeddings import FACES_A_TRACK, FOLDER, chosen_places, embed_tracks
from tfdfd.guard import FailureGuard, FailureLog

RED, BLUE = (200, 10, 10), (10, 10, 200)


def clip_of(clip_id, *colours):
    tracks = [track_of() for _ in colours]
    crops = [painted(track, colour) for track, colour in zip(tracks, colours, strict=True)]
    return ClipFaces(clip_id, OK, tracks=tuple(tracks), crops=tuple(crops), frames=ok_clip("a").frames)


@pytest.fixture
def store(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [clip_of("a", RED, BLUE), clip_of("b", BLUE)])
    return store


class Counting(ColourEmbedder):
    """Counts the faces that it sees; dies after so many."""

    def __init__(self, most=10_000):
        self.seen, self.most = 0, most

    def embed(self, faces):
        self.seen += len(faces)
        if self.seen > self.most:
            raise KeyboardInterrupt
        return super().embed(faces)


def guard_of(store):
    return FailureGuard(FailureLog(store.folder))


def embedded(store, embedder=None):
    return embed_tracks(store, embedder or ColourEmbedder(), guard=guard_of(store), watch=lambda parts: parts)


def test_each_track_has_the_mean_of_its_faces(store):
    found = embedded(store)
    assert found.table[["clip_id", "track"]].values.tolist() == [["a", 0], ["a", 1], ["b", 0]]
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)
    assert found.vectors[0] @ found.vectors[1] < 0.2
    assert found.vectors[1] @ found.vectors[2] > 0.99
    assert found.table["num_aligned"].tolist() == [3, 3, 3]
    assert found.failed == ()


def test_what_is_embedded_is_not_embedded_again(store):
    first = embedded(store)
    again = Counting()
    second = embedded(store, again)
    assert again.seen == 0
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_a_killed_run_goes_on_where_it_was(store, monkeypatch):
    monkeypatch.setattr("tfdfd.data.track_embeddings._TRACKS_A_PART", 1)
    with pytest.raises(KeyboardInterrupt):
        embedded(store, Counting(most=6))
    rest = Counting()
    assert len(embedded(store, rest).table) == 3
    assert rest.seen == 3


def test_a_clip_that_was_made_again_is_embedded_again(store):
    embedded(store)
    with store.writing():
        noisy = clip_of("b", RED)
        noise = np.random.default_rng(0).integers(0, 60, noisy.crops[0].shape, dtype=np.uint8)
        store.write(ClipFaces("b", OK, tracks=noisy.tracks, crops=(noisy.crops[0] + noise,), frames=noisy.frames),
                    source_bytes=2)  # fmt: skip
    again = Counting()
    found = embedded(store, again)
    assert again.seen == 3
    assert found.vectors[0] @ found.vectors[2] > found.vectors[1] @ found.vectors[2]


def test_embeddings_of_another_network_are_refused_with_both_values(store):
    embedded(store)
    with pytest.raises(
        TfdfdError, match=r"version: '2' in this run, '1' in the embeddings.*\nUse the embedder .*delete"
    ):
        embedded(store, OtherEmbedder())


def test_embeddings_of_other_crops_say_that_it_is_the_crops_which_differ(store):
    embedded(store)
    path = store.folder / FOLDER / "embedder.json"
    path.write_text(path.read_text().replace('"margin": 0.3', '"margin": 0.5'))
    with pytest.raises(
        TfdfdError, match=r"crops\.margin: 0\.3 in this run, 0\.5 in the embeddings.*\nThey were made of"
    ):
        embedded(store)
    path.write_text("{")
    with pytest.raises(TfdfdError, match=r"embedder.json is not a fingerprint: .* delete .*embedder.json"):
        embedded(store)


def test_what_nothing_tells_the_make_of_is_embedded_anew(store):
    embedded(store, OtherEmbedder())
    (store.folder / FOLDER / "embedder.json").unlink()
    again = Counting()
    embedded(store, again)
    assert again.seen == 9


@pytest.mark.parametrize("damage", ["empty", "cut off", "other columns"])
def test_a_damaged_part_is_embedded_again_and_said(store, damage):
    first = embedded(store)
    (part,) = (store.folder / FOLDER / "embeddings").glob("*.parquet")
    whole, said, again = part.read_bytes(), [], Counting()
    part.write_bytes(b"" if damage == "empty" else whole[: len(whole) // 2])
    if damage == "other columns":
        pd.DataFrame({"clip_id": ["a"]}).to_parquet(part)
    second = embed_tracks(store, again, guard=guard_of(store), watch=lambda parts: parts, say=said.append)
    assert again.seen == 9
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert f"{part} is damaged" in said[0]
    assert part.read_bytes() == whole


def test_a_strip_that_is_gone_or_damaged_fails_alone(store):
    strips = store.tracks()["strip"].tolist()
    (store.folder / strips[0]).unlink()
    (store.folder / strips[2]).write_bytes(b"no picture")
    found = embedded(store)
    assert found.table["clip_id"].tolist() == ["a"]
    assert [(clip_id, track) for clip_id, track, _ in found.failed] == [("a", 0), ("b", 0)]
    assert "tfdfd prepare" in found.failed[0][2]


def test_a_detector_without_landmarks_leaves_faces_by_their_box(tmp_path):
    store = new_store(tmp_path / "store")
    track = track_of()
    bare = type(track)(track.is_face, track.boxes_xyxy, np.zeros_like(track.landmarks_xy), track.confidences)
    write_clips(store, [ok_clip("a", bare)])
    assert embedded(store).table["num_aligned"].tolist() == [0]


def test_ready_crops_are_embedded_where_their_landmarks_are_found(tmp_path):
    store = new_store(tmp_path / "store", num_places=1, detector=READY_MADE, margin="not declared")
    write_clips(store, [ok_clip(name, track_of([True])) for name in "ab"])
    strips = store.tracks()["strip"].tolist()
    marks = [np.arange(10.0).tolist(), [np.nan] * 10]
    sizes = [(store.folder / strip).stat().st_size for strip in strips]
    points = pd.DataFrame({"strip": strips, "bytes": sizes, "landmarks_xy": marks})
    points.to_parquet(store.folder / "crop_landmarks.parquet")
    assert embedded(FaceStore.open(store.folder)).table["num_aligned"].tolist() == [1, 0]


def test_at_most_some_faces_spread_over_the_clip_are_embedded():
    assert chosen_places(np.array([False, True, True])).tolist() == [1, 2]
    places = chosen_places(np.ones(17, bool))
    assert len(places) == FACES_A_TRACK
    assert places[0] < 4
    assert places[-1] > 12


def test_the_folder_of_people_is_no_strange_thing_to_the_store(store):
    embedded(store)
    with store.writing():
        store.write(clip_of("c", RED), source_bytes=1)
    assert (store.folder / FOLDER).is_dir()
    assert len(embedded(store).table) == 4
