"""What `tfdfd prepare` takes as a whole: peak memory of its process tree, and clips a second against their number."""

from __future__ import annotations

import csv
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".webm"}
_SAMPLE_SECONDS = 0.25


def measure_memory(data: Path, counts: tuple[int, ...] = (39, 390)) -> None:
    """Print the peak memory of `tfdfd prepare` with one worker over so many clips, repeated under other names."""
    print("\nPeak memory of the whole process tree of `tfdfd prepare`, one worker (proportional set size, so that")
    print("pages that processes share count once)")
    for count in counts:
        peak, seconds, _ = prepare(data, count, workers=1)
        print(f"{count:4d} clips: {peak / 2**30:.2f} GiB, {seconds:.0f} s", flush=True)


def measure_work(data: Path, counts: tuple[int, ...] = (10, 20, 40, 80, 160)) -> None:
    """Print clips a second against the number of clips, and with two workers, start-up left aside."""
    print("\nClips a second of `tfdfd prepare` while its workers are at work, and seconds in all")
    rates = []
    for count in counts:
        _, seconds, rate = prepare(data, count, workers=1, distinct=counts[0])
        rates.append(rate)
        print(f"{count:4d} clips, --workers 1: {rate:.2f}/s, {seconds:.0f} s in all", flush=True)
    middle = statistics.median(rates)
    print(f"furthest from their median: {max(abs(rate / middle - 1) for rate in rates):.0%}")
    paired = []
    for workers in (1, 2, 1, 2):
        _, seconds, rate = prepare(data, 40, workers=workers, distinct=counts[0])
        paired.append((workers, rate))
        print(
            f"  40 clips, {workers} worker{'s' if workers > 1 else ' '}: {rate:.2f}/s, {seconds:.0f} s in all",
            flush=True,
        )
    one, two = (statistics.mean(rate for count, rate in paired if count == workers) for workers in (1, 2))
    print(f"two workers against one: {two / one:.2f}")


def prepare(data: Path, count: int, *, workers: int, distinct: int | None = None) -> tuple[int, float, float]:
    """Run `tfdfd prepare` in a folder that is thrown away.

    Args:
        data: folder of clips.
        count: clips to extract; the clips of the folder in turn, under other names.
        workers: as --workers.
        distinct: use so many different clips only, so that every further round is the same work.

    Returns:
        Peak memory of the process tree in bytes, seconds, and clips a second while all workers are at work: without
        the first and the last clip of each.
    """
    paths = sorted(path for path in data.rglob("*") if path.suffix.lower() in SUFFIXES)
    # Evenly over the folder: clips of all sizes in each round.
    paths = [paths[row * len(paths) // distinct] for row in range(distinct)] if distinct else paths
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open(folder / "manifest.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", "clip_id", "label"])
            for row in range(count):
                path = paths[row % len(paths)]
                clip = folder / f"{row:05d}{path.suffix}"
                give_name(path, clip)
                table.writerow([clip.name, clip.stem, "REAL"])
        store = folder / "store"
        command = [sys.executable, "-m", "tfdfd.commands.main", "prepare", "--data", str(folder / "manifest.csv")]
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--store", str(store), "--workers", str(workers)], stdout=subprocess.PIPE, text=True
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, tree_bytes(process.pid))
            time.sleep(_SAMPLE_SECONDS)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise SystemExit(f"tfdfd prepare ended with {process.returncode}")
        done = sorted(path.stat().st_mtime for path in (store / "records").rglob("*.json"))
        if len(done) != count:
            raise SystemExit(f"{count} clips were asked for, the store has {len(done)}")
        return peak, seconds, (count - 2 * workers) / (done[-1 - workers] - done[workers - 1])


def give_name(path: Path, name: Path) -> None:
    """Give a file a second name; a copy where the disk is another. A symbolic link would count as the same clip."""
    try:
        os.link(path, name)
    except OSError:
        shutil.copyfile(path, name)


def tree_bytes(root: int) -> int:
    """Return the memory of a process and all its descendants, shared pages counted once."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):  # it has just ended
                continue
    family, grown = {root}, True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in family}
        grown = not children <= family
        family |= children
    total = 0
    for pid in family:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        match = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        total += int(match[1]) * 1024 if match else 0
    return total
