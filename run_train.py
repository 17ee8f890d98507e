"""Train a deepfake detector: folders of clips in, saved_models/<name>/<version>/ out. See --help."""

import sys

from tfdfd.commands.console import run_command
from tfdfd.commands.train import main

if __name__ == "__main__":
    sys.exit(run_command(main, goes_on=True))
