"""Processes that checks run in: started with the cards they may see, and ended whole."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tfdfd.commands.gpu_proof.context import ALL, NONE, Context, NotShownError, SkippedError
from tfdfd.data.atomic import write_atomically

OK, FAILED, SKIPPED = "ok", "failed", "skipped"
PACKAGE = "tfdfd.commands.gpu_proof"
LOG_BYTES = 6000
"""How much of a log's end is kept."""
LINE_CHARACTERS = 400
"""And of each line: TensorFlow prints whole graphs."""
_LAST_WORDS_SECONDS = 3.0
"""How long a process that hangs may take to print where."""
_POLL_SECONDS = 0.05
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # else the first process leaves no memory to the next, nor to DALI
    "PYTHONUNBUFFERED": "1",
    "PYTHONFAULTHANDLER": "1",  # a crash, or the signal that ends a process that hangs, prints where it was
}


def environment(context: Context, cards: str = ALL) -> dict[str, str]:
    """Return the environment of a process that sees ALL cards of the context, the first ONE, or NONE."""
    seen = {ALL: context.cards, NONE: ()}.get(cards, context.cards[:1])
    # Ours are found where this process finds them.
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, **_ENVIRONMENT, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ",".join(seen) or "-1"}


@contextmanager
def started(
    function: str, context: Context, log: Path, *arguments: Any, env: dict[str, str], is_first: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a function of this package in a process of its own; whatever happens, it is ended in the end.

    Args:
        function: `module:function` in this package, or with dots in the module the whole name.
        context: its first argument.
        log: file that gets what it prints.
        arguments: further ones, JSON-able.
        env: of the process.
        is_first: whether the process leads a group, which ends with it and with this process.

    Yields:
        The process.
    """
    command = [sys.executable, "-m", f"{PACKAGE}.process", function, context.to_json(), str(_result_file(log))]
    with open(log, "ab") as printed:
        process = subprocess.Popen(
            [*command, json.dumps(arguments), "first" if is_first else "part"],
            # A first process ends itself when its end of this pipe closes: this process was killed.
            stdin=subprocess.PIPE if is_first else subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=is_first,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if is_first else process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()


def wait(process: subprocess.Popen[bytes], limit_seconds: float, *, is_group: bool = False) -> bool:
    """Wait for a process; return False where it took longer and was made to print where it hangs."""
    deadline = time.monotonic() + limit_seconds
    while process.poll() is None:
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                # Python's fault handler answers SIGABRT with the traceback of all threads.
                os.killpg(process.pid, signal.SIGABRT) if is_group else process.send_signal(signal.SIGABRT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_WORDS_SECONDS)
            return False
        time.sleep(_POLL_SECONDS)
    return True


def result_of(process: subprocess.Popen[bytes], log: Path) -> tuple[str, Any]:
    """Return what an ended process came to: OK and its value, or FAILED or SKIPPED and the reason."""
    try:
        found = json.loads(_result_file(log).read_text())
        return found["state"], found["value"]
    except (FileNotFoundError, ValueError):
        return FAILED, f"the process ended by itself: {_ending(process.returncode)}; its last words are in the log"


def part(
    context: Context,
    function: str,
    *arguments: Any,
    cards: str = ALL,
    limit_seconds: float = 300,
    env: dict[str, str] | None = None,
) -> Any:
    """Run a part of a check in a process of its own, and return what it returns.

    A process has one set of devices and one MirroredStrategy, so numbers of replicas, and a CPU beside a card, are
    compared by processes.

    Args:
        context, function, arguments: as of `started`.
        cards: which cards it sees, ALL, ONE or NONE.
        limit_seconds: longest that it may take.
        env: variables that it has beside or instead of those of the cards.

    Raises:
        NotShownError: if it fails, crashes or takes longer.
        SkippedError: if it says that it cannot be done here.
    """
    log = context.folder / f"part-{len(list(context.folder.glob('part-*.log')))}.log"
    with started(function, context, log, *arguments, env={**environment(context, cards), **(env or {})}) as process:
        in_time = wait(process, limit_seconds)
    state, value = result_of(process, log) if in_time else (FAILED, f"took more than {limit_seconds:g} s")
    print(f"--- {function} {list(arguments)} on {cards} cards: {state}\n{log_end(log)}", flush=True)
    if state == SKIPPED:
        raise SkippedError(value)
    if state == FAILED:
        raise NotShownError(f"{function.partition(':')[2]}: {value}")
    return value


def log_end(log: Path) -> str:
    """Return the last LOG_BYTES of a log."""
    with open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return "\n".join(line[:LINE_CHARACTERS] for line in lines)


def _result_file(log: Path) -> Path:
    return log.with_suffix(".json")


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    return f"{signal.Signals(-status).name} ({signal.strsignal(-status)})"


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module if "." in module else f"{PACKAGE}.{module}"), function)


def _end_with_parent() -> None:
    """End the whole group as soon as the process that started this one is gone."""

    def watch() -> None:
        os.read(0, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="parent watch").start()


def main(function: str, context: str, result: str, arguments: str, place: str) -> None:
    """Run a function in this process and write what it returns, or why it does not."""
    if place == "first":
        _end_with_parent()
    try:
        found = {"state": OK, "value": _function(function)(Context.from_json(context), *json.loads(arguments))}
    except SkippedError as error:
        found = {"state": SKIPPED, "value": str(error)}
    except NotShownError as error:
        found = {"state": FAILED, "value": str(error)}
    except Exception as error:  # noqa: BLE001  whatever it is, it is what this check found
        traceback.print_exc()
        found = {"state": FAILED, "value": f"{type(error).__name__}: {error}"[:1000]}
    write_atomically(Path(result), json.dumps(found).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
