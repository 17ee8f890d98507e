"""`tfdfd people`: who is seen in the clips of a face store, so that no split knows a person on both sides."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import FAKE, TfdfdError
from tfdfd.commands.console import WorkProgress, guarding, import_tensorflow, make_console
from tfdfd.commands.flags import CommandParser, add_config_flags, add_cpu_flag, config_from_flags, obey_cpu_flag
from tfdfd.commands.page_flags import check_page, print_page
from tfdfd.commands.people_kept import check_kept, write_kept
from tfdfd.data.atomic import require_writable_folder
from tfdfd.data.manifest import NO_LABEL, with_known_originals
from tfdfd.data.options import check_choices, option
from tfdfd.data.tables import some, values
from tfdfd.phrases import shown

if TYPE_CHECKING:
    from tfdfd.data.clusters import Clusters
    from tfdfd.data.splits import Split
    from tfdfd.data.store import FaceStore
    from tfdfd.data.track_embeddings import TrackEmbeddings

PAGE_FILE = "people.html"


@dataclass(frozen=True)
class PeopleConfig:
    """How people are found."""

    embedder: str = option("dlib", "what makes vectors of faces: dlib, or module:callable that returns a FaceEmbedder")
    cluster_on: str | None = option(
        None,
        "what DBSCAN sees: principal components, or the t-SNE map of them; left out, the map from 500 real tracks on",
        choices=("pca", "tsne"),
    )
    eps: float | None = option(
        None, "greatest distance of two embeddings of one person; left out, 0.24 on pca and 0.28 on tsne", metavar="X"
    )
    seed: int = option(0, "of t-SNE, of --keep-per-person and of the split that the page shows")

    def __post_init__(self) -> None:
        if self.cluster_on is not None:
            check_choices(self)
        if self.eps is not None and not 0 < self.eps < 2:
            raise ValueError(f"eps must be above 0 and below 2, the distance of opposite vectors, got {self.eps}")
        if not 0 <= self.seed < 2**32:  # what scikit-learn takes
            raise ValueError(f"seed must be at least 0 and below 2**32, got {self.seed}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd people`."""
    arguments = _parser().parse_args(argv)
    config = config_from_flags(PeopleConfig, arguments)
    _check_flags(arguments)
    obey_cpu_flag(arguments)
    console = make_console()

    from tfdfd.data.people import people_table, with_people, write_people
    from tfdfd.data.store import FaceStore

    store = FaceStore.open(Path(arguments.store))
    manifest, notes = with_known_originals(store.manifest())
    for note in notes:
        console.print(note, style="yellow")
    check_kept(store, manifest, arguments)
    _check_sides(manifest, arguments, config)
    embeddings = _embed(store, config, console)
    clusters, settings = _cluster(embeddings, manifest, config, console)
    people = people_table(embeddings, clusters)
    write_people(store.folder, people, {**settings, "crops": store.fingerprint.preprocessing})
    _print_found(people, clusters, embeddings, console)
    table = with_people(manifest, people)
    split, problem = _split(table, arguments, config, console)
    if arguments.keep_per_person is not None:
        write_kept(store, table, people, arguments, console)
    _write_page(store, people, manifest, split, settings, embeddings, arguments, console)
    if problem is not None:
        raise problem
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="tfdfd people", description=__doc__)
    parser.add_argument("--store", metavar="DIR", required=True, help="face store, as `tfdfd prepare` makes it")
    parser.add_argument(
        "--keep-per-person",
        type=int,
        metavar="N",
        help="write a CSV of a small training set: N real clips of every person and as many fakes made from them",
    )
    parser.add_argument(
        "--keep-to", metavar="FILE", help="where that CSV goes (default: people/kept_N/manifest.csv in the store)"
    )
    add_cpu_flag(parser)
    parser.add_argument("--page", metavar="FILE", help=f"the HTML page (default: people/{PAGE_FILE} in the store)")
    split = parser.add_argument_group("which side is who on, as run_train.py will split").add_mutually_exclusive_group()
    split.add_argument("--val-folders", metavar="GLOB", help="folders to validate on")
    split.add_argument("--val-originals", metavar="IDS", help="originals to validate on, with all their fakes")
    split.add_argument("--val-fraction", type=float, metavar="F", help="share of the clips to validate on")
    parser.add_argument(
        "--drop-parted", action="store_true", help="leave out the training clips that show people of the other side"
    )
    add_config_flags(parser, PeopleConfig, title="people")
    return parser


def _check_flags(arguments: argparse.Namespace) -> None:
    """Refuse what could not be honoured, before any work.

    Raises:
        TfdfdError: says which flag and what to do.
    """
    from tfdfd.data.split_options import check_options

    if arguments.keep_per_person is not None and arguments.keep_per_person < 1:
        raise TfdfdError(f"--keep-per-person must be at least 1, got {arguments.keep_per_person}")
    if arguments.keep_to is not None and arguments.keep_per_person is None:
        raise TfdfdError("--keep-to says where the small training set goes: add --keep-per-person N")
    if arguments.keep_to is not None:
        if Path(arguments.keep_to).is_dir():
            raise TfdfdError(f"--keep-to must be a file, {arguments.keep_to} is a folder: name a CSV in it")
        require_writable_folder(Path(arguments.keep_to).parent)
    check_page("--page", "a page", arguments.page, None, file_name=PAGE_FILE)
    check_options(**_split_options(arguments), drop_parted=arguments.drop_parted)


def _split_options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("val_folders", "val_originals", "val_fraction")}


def _check_sides(manifest: pd.DataFrame, arguments: argparse.Namespace, config: PeopleConfig) -> None:
    """Refuse folders or originals that make no two sides, whoever is seen where, before any work.

    Raises:
        TfdfdError: as `splits.split_manifest`.
    """
    from tfdfd.data.split_people import without_people
    from tfdfd.data.splits import split_manifest

    if arguments.val_folders is not None or arguments.val_originals is not None:
        split_manifest(without_people(manifest), **_split_options(arguments), seed=config.seed)


def _embed(store: FaceStore, config: PeopleConfig, console: Console) -> TrackEmbeddings:
    """Embed the tracks of a store, and say what could not be."""
    import_tensorflow()
    from rich.progress import track

    from tfdfd.data.track_embeddings import FOLDER, embed_tracks
    from tfdfd.faces.identity import make_embedder

    num_tracks = len(store.tracks(columns=["clip_id"]))
    if not num_tracks:
        raise TfdfdError(
            f"no clip of the store {store.folder} has a face, so there is nobody to find: look at the reasons in "
            f"{store.folder / 'clips.parquet'}, or at the contact sheet of `tfdfd prepare --contact-sheet`"
        )
    embedder = make_embedder(config.embedder)

    def watch(parts: Sequence[int]) -> Iterable[int]:
        return track(parts, "finding landmarks", console=console, transient=True)

    with (
        WorkProgress(console, "embedding faces", "tracks", num_tracks) as progress,
        guarding(console, store.folder / FOLDER, items="tracks") as guard,
    ):
        embeddings = embed_tracks(
            store,
            embedder,
            guard=guard,
            watch=watch,
            on_tracks=progress.advance,
            say=lambda text: console.print(text, style="yellow"),
        )
    if not len(embeddings.table):
        raise TfdfdError(
            f"none of the {num_tracks} tracks of the store {store.folder} could be embedded, the first: "
            f"{embeddings.failed[0][0]}: {embeddings.failed[0][2]}"
        )
    for clip_id, number, reason in embeddings.failed[:5]:
        console.print(shown(f"  {clip_id}, track {number + 1}: {reason}"), style="yellow")
    if embeddings.failed:
        console.print(
            f"{len(embeddings.failed)} of {num_tracks} tracks could not be embedded: each counts as a "
            "person of its own",
            style="yellow",
        )
    blind = embeddings.table["num_aligned"].to_numpy() == 0
    if np.any(blind):
        console.print(
            f"in {int(np.sum(blind))} of {len(blind)} tracks no landmarks are known: faces are laid by their box, "
            "and may be taken for strangers"
        )
    return embeddings


def _cluster(
    embeddings: TrackEmbeddings, manifest: pd.DataFrame, config: PeopleConfig, console: Console
) -> tuple[Clusters, dict[str, object]]:
    from tfdfd.data.clusters import EPS, TSNE_FROM, find_people

    labels = dict(zip(manifest["clip_id"], manifest["label"].tolist(), strict=True))
    is_fake = np.array([labels.get(clip_id, NO_LABEL) == FAKE for clip_id in embeddings.table["clip_id"]], bool)
    num_real = int((~is_fake).sum())
    if not num_real:
        console.print("no clip of the store is real: fakes are put together by their own faces", style="yellow")
    cluster_on = config.cluster_on or ("tsne" if (num_real or len(is_fake)) >= TSNE_FROM else "pca")
    eps = EPS[cluster_on] if config.eps is None else config.eps
    if config.cluster_on is None:
        console.print(f"clustering on {cluster_on}, as is best for {num_real or len(is_fake)} tracks")
    console.print(f"finding people among {len(is_fake):,} tracks")  # a log shows no status
    with console.status("finding people"):
        clusters = find_people(
            embeddings.vectors,
            is_fake=is_fake,
            num_faces=embeddings.table["num_faces"].to_numpy(),
            cluster_on=cluster_on,
            eps=config.eps,
            seed=config.seed,
        )
    found_by = {"embedder": config.embedder, "cluster_on": cluster_on, "eps": eps, "seed": config.seed}
    return clusters, found_by


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} people"


def _print_found(people: pd.DataFrame, clusters: Clusters, embeddings: TrackEmbeddings, console: Console) -> None:
    from tfdfd.reports.page import counted

    counts = people["person"].value_counts()
    often, once = int((counts > 1).sum()), int((counts == 1).sum())
    clips = counted(len(np.unique(values(people, "clip_id"))), "clip")
    console.print(
        f"{_people(len(counts))} in {counted(len(people), 'track')} of {clips}: "
        f"seen more than once {often:,}, the most seen in {counted(int(counts.iloc[0]), 'track')}; seen once {once:,}",
        style="bold",
    )
    if len(counts) == 1 and len(people) > 1:
        console.print(
            "all tracks show one person: no split can keep them on one side. If they are several, try a smaller --eps; "
            "to train all the same, give run_train.py --ignore-people",
            style="yellow",
        )


def _split(
    table: pd.DataFrame, arguments: argparse.Namespace, config: PeopleConfig, console: Console
) -> tuple[Split | None, TfdfdError | None]:
    """Split as run_train.py would and print the proof.

    Returns:
        The split, None where there is none, and what stands in the way of one that was asked for: the page, which
        shows why, comes first.
    """
    from tfdfd.commands.train import print_split
    from tfdfd.data.splits import split_manifest

    given = _split_options(arguments)
    is_asked = arguments.drop_parted or any(value is not None for value in given.values())
    if not is_asked and np.any(table["label"] == NO_LABEL):
        console.print("the clips have no labels, so there are no sides to show")
        return None, None
    try:
        split = split_manifest(table, **given, seed=config.seed, drop_parted=arguments.drop_parted)
    except TfdfdError as error:
        if is_asked:
            return None, error
        console.print(f"no sides are shown, for the clips cannot be split: {error}", style="yellow")
        return None, None
    print_split(split, console)
    return split, None


def _write_page(
    store: FaceStore,
    people: pd.DataFrame,
    manifest: pd.DataFrame,
    split: Split | None,
    settings: dict[str, object],
    embeddings: TrackEmbeddings,
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    from tfdfd.data.people import people_of_sides
    from tfdfd.data.splits import TRAIN, VAL
    from tfdfd.data.track_embeddings import FOLDER
    from tfdfd.reports.people_page import write_people_page

    facts = {
        "people": f"{people['person'].nunique():,}",
        "tracks": f"{len(people):,}",
        "clips": f"{people['clip_id'].nunique():,}",
        "clustered on": f"{settings['cluster_on']}, eps {settings['eps']}",
        "embedder": str(settings["embedder"]),
    }
    notices = []
    sides: dict[str, str] = {}
    if split is not None:
        sides = dict(zip(values(split.table, "clip_id").tolist(), split.sides.tolist(), strict=True))
        seen = people_of_sides(split.table)
        facts["split"] = f"{split.rule}: {len(seen[TRAIN]):,} people in training, {len(seen[VAL]):,} in validation"
        facts["on both sides"] = f"{len(seen[TRAIN] & seen[VAL]):,}"
        notices += split.notes
    if embeddings.failed:
        names = some((clip_id for clip_id, _, _ in embeddings.failed), limit=5)
        notices.append(f"{len(embeddings.failed):,} tracks could not be embedded: {names}")
    path = Path(arguments.page or store.folder / FOLDER / PAGE_FILE)
    labels = dict(zip(manifest["clip_id"], manifest["label"].tolist(), strict=True))
    size = write_people_page(store, path, people, labels=labels, sides=sides, facts=facts, notices=tuple(notices))
    print_page("page", path, size, console)
