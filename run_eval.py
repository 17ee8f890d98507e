"""Say how good a SavedModel is on clips it was not trained on. See --help."""

import sys

from tfdfd.commands.console import run_command
from tfdfd.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(run_command(main, goes_on=True))
