"""The arrows of the house: who may import whom. CONTRIBUTING.md draws them; this walks every import and checks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each room of tfdfd may import itself and the rooms of later lines; rooms of one line leave each other alone.
RANKS = (
    ("commands",),
    ("serving", "evaluation", "training"),
    ("streaming", "workers", "reports"),
    ("extraction",),
    ("models", "data"),
    ("faces",),
    ("cuda_libraries",),
    ("gpus",),
    ("scored_clip",),
    ("guard",),
    ("clip", "phrases"),
)
RANK_OF = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path
    for path in sorted([*ROOT.glob("run_*.py"), *ROOT.glob("tfdfd/**/*.py"), *ROOT.glob("pipelines/**/*.py")])
}


def imports_in(source: str, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Yield the full name of everything that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                here = parts[: len(parts) - node.level + is_package]
                base = ".".join([*here, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


IMPORTS = {
    module: sorted(set(imports_in(path.read_text(), module, is_package=path.name == "__init__.py")))
    for module, path in FILES.items()
}


def our_module(name: str) -> str | None:
    """Return the module of ours that an imported name lies in, or None if it is someone else's."""
    while name and name not in FILES:
        name = name.rpartition(".")[0]
    return name or None


ARROWS = {
    module: sorted({target for name in names if (target := our_module(name)) and target != module})
    for module, names in IMPORTS.items()
}


def forbidden(module: str, target: str) -> str | None:
    """Return why a module may not import another of ours, or None if it may."""
    source_top, target_top = module.split(".")[0], target.split(".")[0]
    if source_top.startswith("run_"):
        return None if target.startswith("tfdfd.commands") else "run_*.py are thin callers of tfdfd.commands"
    if target_top.startswith("run_"):
        return "nothing imports an entry point"
    if source_top == "pipelines":
        return (
            "commands put things together, pipelines do not use them" if target.startswith("tfdfd.commands") else None
        )
    room = module.split(".")[1] if "." in module else None
    if target_top == "pipelines":
        return None if room == "commands" else "inside tfdfd only commands imports pipelines"
    target_room = target.split(".")[1] if "." in target else None
    if target_room is None or room == target_room:
        return None  # tfdfd itself holds the version only
    if room is None:
        return "tfdfd/__init__.py imports no room"
    if RANK_OF[room] < RANK_OF[target_room]:
        return None
    return f"{room} does not stand above {target_room}"


def users_of(package: str) -> set[str]:
    return {m for m, names in IMPORTS.items() if any(n == package or n.startswith(f"{package}.") for n in names)}


def test_every_room_has_its_rank():
    rooms = {module.split(".")[1] for module in FILES if module.startswith("tfdfd.")}
    assert rooms <= set(RANK_OF), "a new room of tfdfd needs its line in RANKS (and in CONTRIBUTING.md)"


@pytest.mark.parametrize("module", sorted(FILES))
def test_no_arrow_goes_the_wrong_way(module: str):
    wrong = [f"{module} -> {target}: {why}" for target in ARROWS[module] if (why := forbidden(module, target))]
    assert not wrong, "pass a function or an iterator down instead:\n" + "\n".join(wrong)


def test_there_are_no_cycles():
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, "cycle: " + " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for target in ARROWS[module]:
                walk(target, (*path, module))
            done.add(module)

    for module in ARROWS:
        walk(module, ())


def test_only_pipelines_imports_dali():
    wrong = {module for module in users_of("nvidia") if module.split(".")[0] != "pipelines"}
    assert not wrong, f"only pipelines imports nvidia.dali, got {sorted(wrong)}"


def test_one_module_alone_imports_keras_cv():
    assert users_of("keras_cv") == {"tfdfd.training.batch_augmentation"}


def test_the_walk_sees_every_kind_of_import():
    source = """
import a.b as c
from . import near
from .. import up
from ..faces import boxes
def later():
    from x import y
"""
    found = set(imports_in(source, "tfdfd.data.store"))
    assert found == {"a.b", "tfdfd.data.near", "tfdfd.up", "tfdfd.faces.boxes", "x.y"}
    assert set(imports_in("from . import near", "tfdfd.data", is_package=True)) == {"tfdfd.data.near"}


def test_wrong_arrows_are_seen():
    assert forbidden("tfdfd.data.store", "tfdfd.models.xception")
    assert forbidden("tfdfd.models.xception", "tfdfd.data.store")
    assert forbidden("tfdfd.faces.mtcnn", "tfdfd.extraction")
    assert forbidden("tfdfd.training.loop", "pipelines.faces")
    assert forbidden("tfdfd.training.loop", "tfdfd.serving.export")
    assert forbidden("tfdfd.clip", "tfdfd.commands.main")
    assert forbidden("tfdfd.commands.main", "run_train")
    assert forbidden("run_train", "tfdfd.data.store")
    assert not forbidden("tfdfd.commands.train", "pipelines.faces")
    assert not forbidden("pipelines.decode", "tfdfd.data.video")
    assert not forbidden("tfdfd.extraction", "tfdfd.faces.mtcnn")
