"""What the machine is made of, and the tests that need its cards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import tfdfd
from tfdfd.commands.check import MISSING, OK
from tfdfd.commands.gpu_checks import GPU_CHECKS
from tfdfd.commands.gpu_proof.context import Context, Figures, SkippedError, require
from tfdfd.commands.gpu_proof.process import environment, log_end

_TESTS_SECONDS = 280
_NO_TESTS_STATUS = 5
"""What pytest ends with where no test is selected."""


def libraries(context: Context) -> Figures:
    """Look at the driver, the CUDA libraries as TensorFlow's loader finds them, NVDEC's library and shared memory."""
    found = [check() for check in GPU_CHECKS]
    missing = [f"{check.name}: {check.detail}; remedy: {check.mend}" for check in found if check.state == MISSING]
    require(not missing, "; ".join(missing))
    return {check.name: check.state if check.state == OK else f"{check.state}: {check.detail}" for check in found}


def tests_on_cards(context: Context) -> Figures:
    """Run `pytest -m gpu` of the checkout that this package lies in; none may be skipped. A dry run collects them."""
    root = Path(tfdfd.__file__).resolve().parent.parent
    if not (root / "tests" / "conftest.py").is_file():
        raise SkippedError("the tests are not installed with the package: run the command from a checkout")
    report, log = context.folder / "tests.xml", context.folder / "tests.log"
    # Those on real clips need clips that are not shipped.
    env = environment(context)
    selection = "gpu" if env.get("TFDFD_TEST_DATA") else "gpu and not clips"
    # To collect all tests takes a while; the marker stands in few files.
    files = [str(path) for path in sorted(root.glob("tests/**/test_*.py")) if "mark.gpu" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", selection, "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    if context.is_dry:
        command.append("--collect-only")
    with open(log, "w") as printed:
        done = subprocess.run(
            [*command, *files],
            cwd=root,
            env=env,
            stdout=printed,
            stderr=subprocess.STDOUT,
            timeout=_TESTS_SECONDS,
            check=False,
        )
    print(log_end(log))
    require(done.returncode != _NO_TESTS_STATUS, "pytest -m gpu selects no test")
    require(done.returncode == 0, f"pytest -m gpu ended with status {done.returncode}; see the log")
    if context.is_dry:
        return {"collected": sum("::" in line for line in log.read_text().splitlines())}
    suite = ElementTree.parse(report).getroot().find("testsuite")
    counts = {} if suite is None else {name: int(suite.get(name, 0)) for name in ("tests", "skipped")}
    require(counts.get("tests", 0) > 0, "pytest -m gpu ran no test")
    require(not counts["skipped"], f"{counts['skipped']} of {counts['tests']} tests were skipped; see the log")
    return counts
