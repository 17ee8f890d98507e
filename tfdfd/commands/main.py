"""The `tfdfd` command: finds the subcommand and imports only that."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from tfdfd import __version__
from tfdfd.commands.console import run_command

SUBCOMMANDS = {
    "prepare": ("tfdfd.commands.prepare", "clips or ready face crops to a face store"),
    "people": ("tfdfd.commands.people", "who is seen in the clips of a store, so that no split parts a person"),
    "features": ("tfdfd.commands.features", "features of the faces and the sound of a store's clips, as parquet"),
    "masks": ("tfdfd.commands.masks", "where each fake of a store was altered, from its original"),
    "train": ("tfdfd.commands.train", "train and export a SavedModel (as run_train.py)"),
    "eval": ("tfdfd.commands.evaluate", "say how good a SavedModel is (as run_eval.py)"),
    "ensemble": ("tfdfd.commands.ensemble", "several SavedModels to one that returns their mean"),
    "score": ("tfdfd.commands.score", "score video files with a SavedModel"),
    "app": ("tfdfd.commands.app", "a page on this machine: drop a clip, see its verdict, faces and heat maps"),
    "doctor": ("tfdfd.commands.doctor", "what this machine can do, and how to mend what is missing"),
}
GO_ON = ("prepare", "people", "features", "masks", "train", "eval")
"""Those that, given again after an interruption, go on where they were."""


def usage() -> str:
    """Return the help text of the command."""
    listed = "\n".join(f"  {name:9}{what}" for name, (_, what) in SUBCOMMANDS.items())
    return (
        f"tfdfd {__version__}: deepfake detection for video\n\nusage: tfdfd COMMAND [options]\n\n{listed}\n\n"
        "`tfdfd COMMAND --help` lists the options of a command."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        print(__version__)
        return 0
    name, *rest = arguments
    if name not in SUBCOMMANDS:
        print(f"error: tfdfd has no command {name!r}, it must be one of {list(SUBCOMMANDS)}", file=sys.stderr)
        return 2

    def run(rest: Sequence[str] | None) -> int:
        return importlib.import_module(SUBCOMMANDS[name][0]).main(rest)

    return run_command(run, rest, goes_on=name in GO_ON)


if __name__ == "__main__":
    sys.exit(main())
