"""What finding people takes, and how well it does: simulated embeddings of several counts, and real ones.

Simulated are unit vectors of 128 numbers. People differ in how often they are seen: one track to 200, twelve on
average. Distances are about those of dlib's network on tracks of real clips: of one person 0.22 in the middle and 0.34
at most but for one pair in a hundred, of two people 0.6 in the middle, 0.36 at least but for one pair in ten thousand.

Printed is, of each count and way (`pca`, `tsne`): seconds, seconds of processor time, people found and simulated,
purity and completeness. To time two cores: `taskset -c 0,1`; where other work wants these cores, look at the processor
time with OMP_NUM_THREADS=1, for threads that wait for each other burn time.

With --clips, a folder of FaceForensics++: every face of its clips is embedded alone, and is of a person who is known
from the clip's name (of the donor for Deepfakes and FaceSwap, of the target for Face2Face and NeuralTextures); and the
same of whole tracks. With --crops, a store of ready-made crops of one face a clip: the share of the real ones that lie
in the folder which most of their person lies in. It stands for purity, which nobody knows there: people of one
folder who are joined do not show in it, and a person who recurs in another folder counts as wrong.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from tfdfd.clip import REAL
from tfdfd.data.agreement import agreement
from tfdfd.data.clusters import CLUSTER_ON, EPS, find_people
from tfdfd.faces.identity import mean_embedding, unit_vectors
from tfdfd.guard import FailureGuard, FailureLog

NUMBERS, MOST_TRACKS, MEAN_TRACKS = 128, 200, 12
SWAPS = ("Deepfakes", "FaceSwap")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="*", default=[1000, 2000, 5000, 10_000, 20_000], metavar="N")
    parser.add_argument("--ways", nargs="*", default=list(CLUSTER_ON), choices=CLUSTER_ON)
    parser.add_argument("--clips", metavar="DIR", help="clips in the layout of FaceForensics++")
    parser.add_argument("--crops", metavar="STORE", help="store of ready-made crops, one face a clip")
    arguments = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    if arguments.counts:
        print(
            f"{'embeddings':>10s} {'on':>5s} {'seconds':>8s} {'cpu':>7s} {'found':>6s} {'people':>6s} purity  complete"
        )
    for count in arguments.counts:
        vectors, known = simulated(count)
        for way in arguments.ways:
            start, cpu = time.perf_counter(), time.process_time()
            found = find_people(vectors, cluster_on=way, draw_map=way == "tsne")
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            agreed = agreement(found.person, known)
            print(
                f"{count:10d} {way:>5s} {seconds:8.1f} {cpu:7.1f} {found.num_people:6d} {len(set(known)):6d} "
                f"{agreed.purity:.4f}  {agreed.completeness:.4f}",
                flush=True,
            )
    if arguments.clips:
        of_clips(Path(arguments.clips))
    if arguments.crops:
        of_crops(Path(arguments.crops))


def simulated(count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors, float32 (count, 128), and the person of each."""
    rng = np.random.default_rng(seed)
    sizes = np.clip(rng.geometric(1 / MEAN_TRACKS, count), 1, MOST_TRACKS)
    known = np.repeat(np.arange(count), sizes)[:count]
    # Some directions tell more than others, as in real embeddings; and all faces have something in common.
    weights = 1 / np.arange(1, NUMBERS + 1) ** 0.35
    turned = np.linalg.qr(rng.normal(size=(NUMBERS, NUMBERS)))[0]
    people = unit_vectors((rng.normal(size=(known[-1] + 1, NUMBERS)) * weights) @ turned)
    noise = unit_vectors((rng.normal(size=(count, NUMBERS)) * weights) @ turned)
    vectors = 0.9 * turned[0] + 0.42 * people[known] + 0.16 * rng.uniform(0.6, 1.4, (count, 1)) * noise
    order = rng.permutation(count)
    return unit_vectors(vectors)[order], known[order]


def of_clips(folder: Path) -> None:
    """Print how well people of FaceForensics++ are found, by single faces and by tracks."""
    from tfdfd.commands.console import import_tensorflow
    from tfdfd.commands.prepare import main as prepare
    from tfdfd.data.crop_landmarks import landmarks_in_crops
    from tfdfd.data.store import FaceStore
    from tfdfd.data.strips import decode_strip
    from tfdfd.data.tables import records
    from tfdfd.data.track_embeddings import chosen_places
    from tfdfd.faces.aligned_faces import align_face
    from tfdfd.faces.identity import make_embedder

    import_tensorflow()
    embedder = make_embedder("dlib")
    with tempfile.TemporaryDirectory() as temporary:
        prepare(["--data", str(folder), "--store", temporary + "/store"])
        store = FaceStore.open(Path(temporary) / "store")
        tracks = store.tracks()
        landmarks = landmarks_in_crops(store, tracks, watch=lambda parts: parts)
        faces, tracks_means, of_faces, of_tracks, fake_tracks = [], [], [], [], []
        for row, marks in zip(records(tracks), landmarks, strict=True):
            crops = decode_strip((store.folder / row["strip"]).read_bytes(), num_places=store.num_places)
            places = np.flatnonzero(row["is_face"])
            laid = [align_face(crops[p], marks[p], embedder.landmarks_xy, embedder.input_size) for p in places]
            vectors = embedder.embed(np.stack(laid))
            who = known_person(row["clip_id"], row["track"])
            faces.append(vectors)
            of_faces += [who] * len(vectors)
            chosen = np.isin(places, chosen_places(np.asarray(row["is_face"], bool)))
            tracks_means.append(mean_embedding(vectors[chosen]))
            of_tracks.append(who)
            fake_tracks.append(not row["clip_id"].startswith("youtube/"))
    print(f"\nFaceForensics++, {len(of_tracks)} tracks of {len(set(of_tracks))} people, {len(of_faces)} faces")
    for name, vectors, known in (
        ("faces, each alone", np.concatenate(faces), np.array(of_faces)),
        ("tracks", np.stack(tracks_means), np.array(of_tracks)),
    ):
        for way in CLUSTER_ON:
            print_agreement(f"{name}, {way}", find_people(vectors, cluster_on=way).person, known)
    found = find_people(np.stack(tracks_means), is_fake=np.array(fake_tracks), num_faces=np.full(len(of_tracks), 5))
    print_agreement("tracks, fakes join real ones", found.person, np.array(of_tracks))


def known_person(clip_id: str, track: int) -> str:
    """Return who is seen in a track of FaceForensics++; the second of a clip is a bystander who no method altered."""
    method, _, name = clip_id.split("/")
    target, _, donor = name.partition("_")
    if track:
        return f"beside {target}"
    return donor if method in SWAPS else target


def of_crops(folder: Path) -> None:
    """Print how well people of real crops, who mostly keep to one folder, are found."""
    from tfdfd.commands.console import import_tensorflow
    from tfdfd.data.store import FaceStore
    from tfdfd.data.track_embeddings import embed_tracks
    from tfdfd.faces.identity import make_embedder

    import_tensorflow()
    store = FaceStore.open(folder)
    embedded = embed_tracks(
        store, make_embedder("dlib"), guard=FailureGuard(FailureLog(store.folder)), watch=lambda parts: parts
    )
    manifest = store.manifest().set_index("clip_id").loc[embedded.table["clip_id"].tolist()]
    is_real = (manifest["label"] == REAL).to_numpy()
    vectors, folders = embedded.vectors[is_real], manifest["folder"].to_numpy(object)[is_real].astype(str)
    print(f"\n{len(vectors)} real crops of {len(set(folders))} folders")
    for way in CLUSTER_ON:
        for eps in sorted({EPS[way], 0.2, 0.24, 0.28, 0.32}):
            found = find_people(vectors, cluster_on=way, eps=eps, draw_map=way == "tsne")
            chosen = " (default)" if eps == EPS[way] else ""
            alone = int(found.is_alone.sum())
            print(
                f"{way:5s} eps {eps:.2f}: in their person's folder {agreement(found.person, folders).purity:.4f}, "
                f"{found.num_people - alone} people seen more than once, {alone} crops alone, the most seen "
                f"{int(np.bincount(found.person).max())}{chosen}",
                flush=True,
            )


def print_agreement(name: str, person: np.ndarray, known: np.ndarray) -> None:
    """Print purity and completeness."""
    agreed = agreement(person, known)
    found = int(person.max()) + 1
    print(f"{name:30s} {found:4d} people, purity {agreed.purity:.4f}, completeness {agreed.completeness:.4f}")


if __name__ == "__main__":
    main()
