"""The layouts that a data folder can have: a table of what each expects, how it is recognised and what paths say.

Where folders give the labels, a layout is a list of rules: a pattern over the path of a clip, its label, and what the
parts of the path mean. Where lists give them, it is a reader of these (`tfdfd.data.listed_clips`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.clip_csv import read_clip_csv
from tfdfd.data.data_tree import DataTree, Item, without_suffix
from tfdfd.data.listed_clips import lists_of, read_dfdc, read_dfdc_preview
from tfdfd.data.tables import FACES_CSV, MANIFEST_CSV, LayoutRows, records, values

COMPRESSIONS = {"raw": "raw", "c0": "c0", "c23": "c23", "c40": "c40", "hq": "c23", "lq": "c40"}
"""Folders of FaceForensics++ to the compression of the clips in them: high and low quality are c23 and c40."""
TESTING_LIST = "List_of_testing_videos.txt"


@dataclass(frozen=True)
class Rule:
    """Which clips under a data folder are real or fake, and what their path says of them."""

    pattern: str
    """Of a whole path, in letters of any case, without suffix, compression, `videos` and `frames`."""
    label: int | None
    """REAL or FAKE; None for clips that are set aside."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns of the manifest, each a template of the pattern's groups; {c} is `c23/` or empty."""
    why: str = ""
    """Why clips are set aside."""

    def row(self, path: str, compression: str) -> dict[str, object] | None:
        """Return what the rule says of a clip, None where its path does not match."""
        match = re.fullmatch(self.pattern, path, re.IGNORECASE)
        if match is None:
            return None
        groups = {name: text or "" for name, text in match.groupdict().items()}
        groups["c"] = f"{compression}/" if compression else ""
        row = {
            name: template.format_map(groups).replace("//", "/").strip("/") for name, template in self.columns.items()
        }
        return {"clip_id": path, "label": self.label, "compression": compression, **row}


@dataclass(frozen=True)
class FolderLayout:
    """A layout in which the folder of a clip says whether it is real."""

    expects: str
    """What the folder must hold, for the person whose folder was not recognised."""
    looked_for: tuple[str, str]
    """Which folders hold the real, and which the fake clips."""
    rules: tuple[Rule, ...]
    """The first that matches counts."""
    marks: tuple[str, ...] = ()
    """Folders at the top, in small letters, by which it is recognised although they are empty."""
    has_compression: bool = False
    """Whether a folder such as `c23` is a compression."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Folders by their spelling in the data set's lists; others are taken as they stand."""
    finish: Callable[[DataTree, LayoutRows], LayoutRows] = lambda tree, rows: rows
    """Adds what lists beside the clips say."""
    needs_both: bool = False
    """Whether it is this layout only where there are real and fake clips."""

    def confidence(self, tree: DataTree) -> int:
        """Return how many of some clips of each folder it would take, 1 where only its folders are there, else 0."""
        labels = Counter(row["label"] for row in map(self._row_of(tree), tree.samples()) if row)
        if self.needs_both and not labels.keys() >= {REAL, FAKE}:
            return 0
        return sum(labels.values()) or int(self.is_marked(tree))

    def is_marked(self, tree: DataTree) -> bool:
        """Return whether one of the marks is there."""
        return any(entry.is_dir() and entry.name.lower() in self.marks for entry in tree.root.iterdir())

    def read(self, tree: DataTree) -> LayoutRows:
        """Return the rows of the clips: videos, or where there is none, folders of frames."""
        rows = {is_frames: self._rows(tree.of_kind(is_frames=is_frames)) for is_frames in (False, True)}
        is_frames = rows[False].table.empty and not rows[True].table.empty
        notes = []
        if not is_frames and len(rows[True].table):
            notes.append(
                f"{len(rows[True].table):,} folders of frames lie beside the videos and are not taken, the first: "
                f"{rows[True].table['path'].iat[0]}. To use them, give a folder without the videos, or a {FACES_CSV}"
            )
        chosen = rows[is_frames]
        unlisted = chosen.unlisted + (rows[False].unlisted if is_frames else ())
        table = chosen.table
        found = LayoutRows(
            table, unlisted=unlisted, notes=(*chosen.notes, *notes), looked_for=self.looked_for, is_faces=is_frames
        )
        return self.finish(tree, found) if len(table) else found

    def _row_of(self, tree: DataTree) -> Callable[[Item], dict[str, object] | None]:
        whole = re.search(r"[_-](c23|c40|c0|raw)$", tree.root.name, re.IGNORECASE) if self.has_compression else None
        default = whole[1].lower() if whole else ""

        def row_of(item: Item) -> dict[str, object] | None:
            parts = [self.names.get(part.lower(), part) for part in item.parts]
            compression = default
            if self.has_compression:
                compression = next((COMPRESSIONS[p.lower()] for p in parts[:-1] if p.lower() in COMPRESSIONS), default)
                parts = [*(part for part in parts[:-1] if part.lower() not in COMPRESSIONS), parts[-1]]
            path = "/".join(parts)
            return next((row for rule in self.rules if (row := rule.row(path, compression)) is not None), None)

        return row_of

    def _rows(self, tree: DataTree) -> LayoutRows:
        row_of = self._row_of(tree)
        rows, left, aside = [], [], Counter[str]()
        for item in tree.items:
            row = row_of(item)
            if row is None:
                left.append(str(tree.root / item.path))
            elif row["label"] is None:
                aside[next(rule.why for rule in self.rules if rule.label is None)] += 1
            else:
                rows.append({**row, "path": str(tree.root / item.path)})
        notes = tuple(f"{count:,} clips are set aside: {why}" for why, count in aside.items())
        return LayoutRows(pd.DataFrame(rows), unlisted=tuple(left), notes=notes)


@dataclass(frozen=True)
class ListLayout:
    """A layout in which a list names the clips."""

    expects: str
    """What the folder must hold, for the person whose folder was not recognised."""
    lists: tuple[str, ...]
    """Files by which it is recognised."""
    read: Callable[[DataTree], LayoutRows]
    """Reads the rows of such a folder."""
    is_at_top: bool = False
    """Whether the list lies in the data folder itself."""

    def confidence(self, tree: DataTree) -> int:
        """Return 1 if one of the lists is there, else 0."""
        found = [folder for name in self.lists for folder in lists_of(tree, name)]
        return int("." in found if self.is_at_top else bool(found))


# --- FaceForensics++ and what is made of it --------------------------------------------------------------------

_STEM = r"(?P<stem>[^/]+)"
_METHODS = "Deepfakes|Face2Face|FaceSwap|FaceShifter|NeuralTextures|DeepFakeDetection"
_FFPP_REALS = (
    Rule(rf"original_sequences/{_STEM}", REAL, {"clip_id": "youtube/{c}{stem}", "folder": "youtube"}),
    Rule(rf"original_sequences/(?P<source>.+)/{_STEM}", REAL, {"clip_id": "{source}/{c}{stem}", "folder": "{source}"}),
)
_FFPP_FAKE = {"clip_id": "{method}/{c}{stem}", "folder": "{method}", "method": "{method}"}
_FFPP_LINKS = (
    # `183_253` is video 183 with the face of 253.
    (
        r"(?P<stem>(?P<target>\d+)_(?P<source>\d+))",
        {"original": "youtube/{c}{target}", "donor": "youtube/{c}{source}"},
    ),
    # `01_02__exit_phone_room__YVGY8LOK` (DeepFakeDetection) is actor 01 with the face of actor 02; which clip of actor
    # 02 gave the face is not published, so the one of the same scene stands for it.
    (
        r"(?P<stem>(?P<target>\d+)_(?P<source>\d+)__(?P<scene>.+)__[A-Za-z0-9]+)",
        {"original": "actors/{c}{target}__{scene}", "donor": "actors/{c}{source}__{scene}"},
    ),
    (_STEM, {}),
)
_FFPP = (
    *_FFPP_REALS,
    # As on Kaggle: methods and originals side by side.
    Rule(rf"(?:original|youtube)/{_STEM}", REAL, {"clip_id": "youtube/{c}{stem}", "folder": "youtube"}),
    Rule(rf"actors/{_STEM}", REAL, {"clip_id": "actors/{c}{stem}", "folder": "actors"}),
    *(
        Rule(rf"{where}/{stem}", FAKE, {**_FFPP_FAKE, **links})
        for where in (r"manipulated_sequences/(?P<method>.+)", rf"(?P<method>{_METHODS})")
        for stem, links in _FFPP_LINKS
    ),
    *(
        Rule(
            rf"(?P<method>manipulated_sequences)/{stem}",
            FAKE,
            {**_FFPP_FAKE, **links},
        )
        for stem, links in _FFPP_LINKS
    ),
)

_DEEPER = (
    *_FFPP_REALS,
    Rule(rf"target_videos/(?:.+/)?{_STEM}", REAL, {"clip_id": "youtube/{c}{stem}", "folder": "youtube"}),
    Rule(
        rf"source_videos/(?P<person>[MW]\d+)/(?:.+/)?{_STEM}",
        REAL,
        {"clip_id": "source_videos/{stem}", "folder": "source_videos", "person": "actor {person}"},
    ),
    Rule(
        r"manipulated_videos/(?P<variant>.+)/(?P<stem>(?P<target>\d+)_(?P<source>[MW]\d+))",
        FAKE,
        {
            "clip_id": "{variant}/{stem}",
            "folder": "{variant}",
            "method": "{variant}",
            "original": "youtube/{target}",
            "donor": "actor {source}",
        },
    ),
)


def _deeperforensics_notes(tree: DataTree, rows: LayoutRows) -> LayoutRows:
    studio = int(np.sum(values(rows.table, "folder") == "source_videos"))
    if not studio:
        return rows
    note = (
        f"{studio:,} real clips are the source videos of DeeperForensics, recorded in a studio. Its authors mean the "
        "target videos as the real part: FaceForensics++ c23. Where they lie in original_sequences/ beside "
        "manipulated_videos/ they are taken too"
    )
    return _noted(rows, note)


# --- Celeb-DF --------------------------------------------------------------------------------------------------

_CELEB_FOLDERS = {"Celeb-real": REAL, "Celeb-synthesis": FAKE, "YouTube-real": REAL}
_CELEB = (
    Rule(
        r"Celeb-synthesis/(?P<sub>(?:.+/)?)(?P<stem>(?P<target>id\d+)_(?P<source>id\d+)_(?P<number>\d+))",
        FAKE,
        {
            "folder": "Celeb-synthesis",
            "method": "Celeb-synthesis/{sub}",
            "original": "Celeb-real/{target}_{number}",
            "person": "Celeb-real/{target}",
            "donor": "Celeb-real/{source}",
        },
    ),
    Rule(
        rf"Celeb-synthesis/(?P<sub>(?:.+/)?){_STEM}",
        FAKE,
        {"folder": "Celeb-synthesis", "method": "Celeb-synthesis/{sub}"},
    ),
    Rule(r"Celeb-real/(?:.+/)?(?P<person>id\d+)_\d+", REAL, {"folder": "Celeb-real", "person": "Celeb-real/{person}"}),
    *(Rule(rf"{name}/(?:.+/)?{_STEM}", REAL, {"folder": name}) for name in ("Celeb-real", "YouTube-real")),
)


def read_testing_list(file: Path) -> list[str]:
    """Return the clip ids of Celeb-DF's testing list, in which, other than here, 1 means REAL.

    Raises:
        TfdfdError: if a line is not `1 YouTube-real/00170.mp4`, or its label is not that of its folder.
    """
    names = {name.lower(): name for name in _CELEB_FOLDERS}
    clip_ids = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        listed, _, name = line.strip().partition(" ")
        folder, _, clip = name.strip().replace("\\", "/").partition("/")
        folder = names.get(folder.lower(), folder)
        label = {"1": REAL, "0": FAKE}.get(listed)
        if label is None or not clip or _CELEB_FOLDERS.get(folder) != label:
            raise TfdfdError(
                f"{file}, line {number}: expected '1 YouTube-real/NAME.mp4' or '1 Celeb-real/NAME.mp4' (1 is real) "
                f"or '0 Celeb-synthesis/NAME.mp4', got {line.strip()!r}."
            )
        clip_ids.append(f"{folder}/{without_suffix(clip)}")
    return clip_ids


def _with_testing_list(tree: DataTree, rows: LayoutRows) -> LayoutRows:
    file = tree.root / TESTING_LIST
    if not file.is_file():
        return rows
    listed = read_testing_list(file)
    clip_ids = values(rows.table, "clip_id")
    table = rows.table.assign(official_split=np.where(np.isin(clip_ids, listed), "test", "train"))
    present = set(clip_ids)
    missing = tuple((c, f"listed in {file}, but there is no such file") for c in listed if c not in present)
    return replace(rows, table=table, missing=missing)


# --- FakeAVCeleb -----------------------------------------------------------------------------------------------

_FAKEAV_WHERE = r"(?P<race>[^/]+)/(?P<sex>[^/]+)/(?P<person>id\d+)"
_FAKEAV = (
    Rule(
        rf"RealVideo-RealAudio/{_FAKEAV_WHERE}/{_STEM}",
        REAL,
        {"folder": "RealVideo-RealAudio", "person": "celebrity {person}"},
    ),
    Rule(
        r"RealVideo-FakeAudio/.+",
        None,
        why="only their sound is fake (RealVideo-FakeAudio), so neither label is right for a network that sees "
        "faces; to use them, list them in a CSV",
    ),
    *(
        Rule(
            rf"(?P<kind>FakeVideo-(?:Real|Fake)Audio)/{_FAKEAV_WHERE}/(?P<number>\d+)_{names}(?P<method>[^_/]+)",
            FAKE,
            {
                "folder": "{kind}",
                "method": "{method}",
                "original": "RealVideo-RealAudio/{race}/{sex}/{person}/{number}",
                "person": "celebrity {person}",
                **links,
            },
        )
        for names, links in (
            (r".*?(?P<donor>id\d+).*_", {"donor": "celebrity {donor}"}),
            (r"(?:.*_)?", {}),
        )
    ),
    Rule(rf"RealVideo-RealAudio/(?:.+/)?{_STEM}", REAL, {"folder": "RealVideo-RealAudio"}),
    Rule(rf"(?P<kind>FakeVideo-(?:Real|Fake)Audio)/(?:.+/)?{_STEM}", FAKE, {"folder": "{kind}", "method": "{kind}"}),
)


def _with_fakeav_methods(tree: DataTree, rows: LayoutRows) -> LayoutRows:
    """Take the methods from `meta_data.csv`, whose last columns are called otherwise than what they hold."""
    if "." not in tree.lists.get("meta_data.csv", ()):
        return rows
    file = tree.root / "meta_data.csv"
    listed = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    if "method" not in listed:
        raise TfdfdError(f"{file} must have a column method, its first line gives {list(listed.columns)}.")
    # A clip that is listed twice, as some are, keeps the first method.
    methods: dict[str, str] = {}
    for row in records(listed):
        kind = str(row.get("type", ""))
        name = next((str(text) for text in row.values() if str(text).lower().endswith(".mp4")), "")
        person = str(row.get("source", ""))
        methods.setdefault(f"{kind}/{person}/{without_suffix(name)}".lower(), str(row["method"]))
    keys = [_fakeav_key(clip_id) for clip_id in rows.table["clip_id"]]
    known = [methods.get(key, "") for key in keys]
    is_fake = np.asarray(rows.table["label"]) == FAKE
    before = np.array([row.get("method", "") for row in records(rows.table)], object)
    table = rows.table.assign(method=np.where(is_fake & (np.array(known, object) != ""), known, before))
    return replace(rows, table=table)


def _fakeav_key(clip_id: str) -> str:
    kind, *folders, stem = clip_id.split("/")
    return f"{kind}/{folders[-1] if folders else ''}/{stem}".lower()


# --- real beside fake ------------------------------------------------------------------------------------------

_SPLIT = r"(?P<split>train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?)"
_REAL_NAMES, _FAKE_NAMES = r"reals?(?:[ _-]?(?:videos?|clips?|faces?))?", r"fakes?(?:[ _-]?(?:videos?|clips?|faces?))?"
_WILD = tuple(
    Rule(
        rf"(?:[^/]+/)?(?P<top>{name}_{_SPLIT})/(?P<sub>(?:.+/)?){_STEM}",
        label,
        {"folder": "{top}/{sub}", "official_split": "{split}"},
    )
    for name, label in (("real", REAL), ("fake", FAKE))
)
_REAL_FAKE = tuple(
    Rule(pattern, label, columns)
    for name, label in ((_REAL_NAMES, REAL), (_FAKE_NAMES, FAKE))
    for pattern, columns in (
        (rf"{_SPLIT}/{name}/(?:.+/)?{_STEM}", {"folder": "{split}", "official_split": "{split}"}),
        (rf"{name}/{_SPLIT}/(?:.+/)?{_STEM}", {"folder": "{split}", "official_split": "{split}"}),
        # A folder of pictures called `fake/train` is no clip.
        (rf"{name}/(?P<sub>(?:.+/)?)(?!(?:train|val|test)$){_STEM}", {"folder": "{sub}"}),
    )
)
_NAMED_AFTER = (
    r"(?P<original>\d+)_(?P<donor>\d+)",
    r"(?P<actor>\d+)_(?P<other>\d+)__(?P<scene>.+)__[A-Za-z0-9]+",
    r"(?P<target>id\d+)_id\d+_(?P<number>\d+)",
)


def _with_official_split(tree: DataTree, rows: LayoutRows) -> LayoutRows:
    """Make `train` and `test` of the folders' names; a folder to validate on counts as test where there is no other."""
    if "official_split" not in rows.table:
        return rows
    names = [str(name)[:2].lower() if isinstance(name, str) else "" for name in rows.table["official_split"]]
    test = "te" if "te" in names else "va"
    sides = ["" if not name else "test" if name == test else "train" for name in names]
    # One folder tells nothing.
    table = rows.table.assign(official_split=sides if len(set(sides) - {""}) > 1 else "")
    rows = replace(rows, table=table)
    if {"te", "va"} <= set(names):
        folders = ", ".join(sorted(set(values(table, "folder"))))
        return _noted(rows, f"there are clips to test on and to validate on: choose by --val-folders among {folders}")
    return rows


def _with_originals_by_name(tree: DataTree, rows: LayoutRows) -> LayoutRows:
    """Take a fake for one of the real clip whose name it has, or whose name its own begins with."""
    rows = _with_official_split(tree, rows)
    table = rows.table
    splits = values(table, "folder") if "official_split" in table else np.full(len(table), "", object)
    stems = [clip_id.rsplit("/", 1)[-1].lower() for clip_id in table["clip_id"]]
    is_fake = np.asarray(table["label"]) == FAKE
    reals: dict[str, list[int]] = {}
    for row in np.flatnonzero(~is_fake).tolist():
        reals.setdefault(stems[row], []).append(row)
    originals, donors = np.full(len(table), "", object), np.full(len(table), "", object)
    for row in np.flatnonzero(is_fake).tolist():
        for original, donor in ((stems[row], ""), *_made_from(stems[row])):
            for column, stem in ((originals, original), (donors, donor)):
                found = reals.get(stem, [])
                beside = [other for other in found if splits[other] == splits[row]]
                if chosen := beside or found:
                    column[row] = table["clip_id"].iat[chosen[0]] if len(chosen) == 1 else stem
            if originals[row]:
                break
    table = table.assign(original=originals, donor=donors)
    rows = replace(rows, table=table)
    if count := int(np.sum(originals != "")):
        return _noted(rows, f"{count:,} fakes are named after a real clip, which is taken for their original")
    return rows


def _made_from(stem: str) -> Iterable[tuple[str, str]]:
    for pattern in _NAMED_AFTER:
        if match := re.fullmatch(pattern, stem, re.IGNORECASE):
            names = match.groupdict()
            if "scene" in names:
                yield f"{names['actor']}__{names['scene']}", f"{names['other']}__{names['scene']}"
            elif "target" in names:
                yield f"{names['target']}_{names['number']}", ""
            else:
                yield names["original"], names["donor"]


def _noted(rows: LayoutRows, note: str) -> LayoutRows:
    return replace(rows, notes=(*rows.notes, note))


def _at_top(name: str, *, is_faces: bool = False) -> Callable[[DataTree], LayoutRows]:
    def read(tree: DataTree) -> LayoutRows:
        file = next(path for path in sorted(tree.root.iterdir()) if path.name.lower() == name)
        rows = read_clip_csv(file, is_faces=is_faces)
        listed = set(rows.table["path"]) if "path" in rows.table else set()
        left = tuple(
            path for item in tree.items if not item.is_frames and (path := str(tree.root / item.path)) not in listed
        )
        return replace(rows, unlisted=left if listed else ())

    return read


LAYOUTS: dict[str, FolderLayout | ListLayout] = {
    "dfdc": ListLayout(
        "DFDC: */metadata.json beside the clips that it lists, or labels.csv (filename, label) of the test set",
        ("metadata.json", "labels.csv"),
        read_dfdc,
    ),
    "dfdc_preview": ListLayout(
        "DFDC preview: dataset.json, original_videos/, method_A/, method_B/", ("dataset.json",), read_dfdc_preview
    ),
    "ffpp": FolderLayout(
        "FaceForensics++: original_sequences/SOURCE/COMPRESSION/videos/*.mp4 and "
        "manipulated_sequences/METHOD/COMPRESSION/videos/*.mp4; or original/ beside Deepfakes/, Face2Face/ and others",
        ("original_sequences/ or original/", f"manipulated_sequences/ or {_METHODS.replace('|', '/, ')}/"),
        _FFPP,
        ("original_sequences", "manipulated_sequences"),
        has_compression=True,
    ),
    "celebdf": FolderLayout(
        f"Celeb-DF v2: Celeb-real/, Celeb-synthesis/, YouTube-real/ and {TESTING_LIST}",
        ("Celeb-real/ and YouTube-real/", "Celeb-synthesis/"),
        _CELEB,
        ("celeb-real", "celeb-synthesis"),
        names={name.lower(): name for name in _CELEB_FOLDERS},
        finish=_with_testing_list,
    ),
    "fakeavceleb": FolderLayout(
        "FakeAVCeleb: RealVideo-RealAudio/, FakeVideo-RealAudio/, FakeVideo-FakeAudio/ and meta_data.csv",
        ("RealVideo-RealAudio/", "FakeVideo-RealAudio/ and FakeVideo-FakeAudio/"),
        _FAKEAV,
        ("realvideo-realaudio", "fakevideo-realaudio", "fakevideo-fakeaudio"),
        finish=_with_fakeav_methods,
    ),
    "deeperforensics": FolderLayout(
        "DeeperForensics-1.0: manipulated_videos/VARIANT/000_W025.mp4, source_videos/ACTOR/, and original_sequences/ "
        "of FaceForensics++ beside them",
        ("original_sequences/, target_videos/ or source_videos/", "manipulated_videos/"),
        _DEEPER,
        ("manipulated_videos",),
        has_compression=True,
        finish=_deeperforensics_notes,
    ),
    "wilddeepfake": FolderLayout(
        "WildDeepfake: real_train/, real_test/, fake_train/ and fake_test/ with a folder of pictures each sequence",
        ("real_train/ and real_test/", "fake_train/ and fake_test/"),
        _WILD,
        ("real_train", "fake_train", "real_test", "fake_test"),
        finish=_with_official_split,
    ),
    "real_fake": FolderLayout(
        "real/ and fake/, or both in each of train/, val/ and test/",
        ("real/", "fake/"),
        _REAL_FAKE,
        finish=_with_originals_by_name,
        needs_both=True,
    ),
    "csv": ListLayout(
        f"CSV: {MANIFEST_CSV} with columns clip_id, path, label (REAL or FAKE) and perhaps folder, original, "
        "method, dataset; or the path of such a CSV",
        (MANIFEST_CSV,),
        _at_top(MANIFEST_CSV),
        is_at_top=True,
    ),
    "faces": ListLayout(
        f"ready face crops: {FACES_CSV} with columns path, clip_id, label, original, folder beside its pictures",
        (FACES_CSV,),
        _at_top(FACES_CSV, is_faces=True),
        is_at_top=True,
    ),
}
"""Every known layout by the name that goes into the manifest."""


def layouts_of(tree: DataTree) -> list[str]:
    """Return the layouts that a folder has: those of its lists, and of those of its folders the one for most clips.

    A list decides, but where FaceForensics++ or Celeb-DF lie beside it, for it may be of other clips.
    """
    lists = [name for name, layout in LAYOUTS.items() if isinstance(layout, ListLayout) and layout.confidence(tree)]
    folders = {n: layout.confidence(tree) for n, layout in LAYOUTS.items() if isinstance(layout, FolderLayout)}
    best = max(folders, key=lambda name: folders[name])
    found = LAYOUTS[best]
    decides = not lists or (best in ("ffpp", "celebdf") and isinstance(found, FolderLayout) and found.is_marked(tree))
    return [*([best] if folders[best] and decides else []), *lists]
