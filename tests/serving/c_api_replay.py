"""Load a SavedModel by the C API, replay warm-up records, print the answers as JSON lines: a program for the tests.

Usage: python -m tests.serving.c_api_replay FOLDER_OF_THE_VERSION RECORDS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.serving.c_api import Session
from tests.serving.c_api_records import read_requests


def main() -> None:
    """Print a line for each record, then which modules of TensorFlow this process has loaded: none."""
    folder, records = map(Path, sys.argv[1:])
    session = Session(folder)
    for request in read_requests(records):
        outputs = session.run(request.signature, request.inputs)
        told = {
            name: [text.decode() for text in value.flat] if value.dtype == object else value.tolist()
            for name, value in outputs.items()
        }
        print(json.dumps({"signature": request.signature, "outputs": told}))
    ours = [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras", "tensorflow_serving")]
    print(json.dumps({"signatures": sorted(session.signatures), "tensorflow_modules": ours}))


if __name__ == "__main__":
    main()
