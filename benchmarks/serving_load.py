"""Clients that ask a server at once, for benchmarks/serving.py: REST requests of 17 JPEG crops, ours and the naive way.

python serving_load.py MODEL      serves it by the Python server of our tests, and prints its REST port
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from serving_requests import PLACES  # which quietens TensorFlow

HERE = Path(__file__).parent
CLIENTS = (1, 2, 4, 8, 16)
REQUESTS_A_CLIENT = 4
NAME = "model"


def measure_clients(model: Path, peers: str | None) -> None:
    """Print latency and throughput of both servers under one to sixteen clients."""
    from tfdfd.serving.versions import newest_version
    from tfdfd.serving.warmup import as_jpeg, portrait_face

    folder = newest_version(model)
    told = json.loads((folder / "assets.extra/signatures.json").read_text())
    input_size = json.loads((folder / "assets.extra/model_card.json").read_text())["input_size"]
    face = base64.b64encode(as_jpeg(portrait_face(told["crop_size"]))).decode()
    ours = {"signature_name": "jpeg_faces", "instances": [{"face_bytes": [{"b64": face}] * PLACES}]}
    theirs = {"faces": [face] * PLACES}
    with our_server(folder) as (what, url):
        print(f"\nClients at once, each {REQUESTS_A_CLIENT} requests of {PLACES} JPEG crops over REST; ours is {what}")
        cells = f"{'p50 ms':>10}{'p95':>9}{'a second':>10}"
        print(f"clients {cells} {cells if peers else ''}{'ours/Flask' if peers else '':>12}")
        with naive_server(peers, input_size) as naive_url:
            ask(url, ours)
            if naive_url:
                ask(naive_url, theirs)
            for count in CLIENTS:
                mine = load(count, lambda session: ask(url, ours, session))
                cells, rate = row(mine)
                line = f"{count:6}  {cells}"
                if naive_url:
                    peer = load(count, lambda session: ask(naive_url, theirs, session))
                    peer_cells, peer_rate = row(peer)
                    line += f" {peer_cells}{rate / peer_rate:12.2f}"
                print(line, flush=True)


def ask(url: str, body: dict, session: requests.Session | None = None) -> None:
    """Send a request; an answer that is none ends the benchmark."""
    answer = (session or requests).post(url, json=body, timeout=600)
    if answer.status_code != 200:
        raise SystemExit(f"{url} answered {answer.status_code}: {answer.text[:300]}")


def load(count: int, send: Callable[[requests.Session], None]) -> tuple[list[float], float]:
    """Return the seconds of each request and of all together, so many clients asking at once."""
    seconds: list[float] = []

    def client() -> None:
        with requests.Session() as session:
            for _ in range(REQUESTS_A_CLIENT):
                start = time.perf_counter()
                send(session)
                seconds.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client) for _ in range(count)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(seconds) != count * REQUESTS_A_CLIENT:
        raise SystemExit("a client failed")
    return seconds, time.perf_counter() - start


def row(measured: tuple[list[float], float]) -> tuple[str, float]:
    """Return the cells of a measurement, and its requests a second."""
    seconds, total = measured
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    rate = len(seconds) / total
    return f"{1e3 * statistics.median(seconds):10.0f}{1e3 * p95:9.0f}{rate:10.2f}", rate


@contextmanager
def our_server(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve a model; yields by what, and where a prediction is asked for."""
    binary = shutil.which("tensorflow_model_server")
    if binary:
        port = free_port()
        base = folder.parent.resolve()
        command = [binary, f"--rest_api_port={port}", f"--port={free_port()}", f"--model_name={NAME}"]
        process = subprocess.Popen([*command, f"--model_base_path={base}"], stdout=subprocess.DEVNULL)
        what = "tensorflow_model_server"
        wait_for(port)
    else:
        process = subprocess.Popen(
            [sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout
        port = int(process.stdout.readline())
        what = "the Python server of our tests (no tensorflow_model_server on the PATH)"
    try:
        yield what, f"http://localhost:{port}/v1/models/{NAME}:predict"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def naive_server(python: str | None, input_size: int) -> Iterator[str]:
    """Start Flask; yields where it is asked, or nothing without an environment for it."""
    if python is None:
        yield ""
        return
    process = subprocess.Popen(
        [python, str(HERE / "naive_server.py"), str(input_size)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    port = process.stdout.readline().strip()
    if not port:
        raise SystemExit(f"naive_server.py did not start: run it by hand with {python} to see why")
    try:
        yield f"http://localhost:{port}/score"
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]


def wait_for(port: int) -> None:
    """Wait until TensorFlow Serving has loaded the model."""
    url = f"http://localhost:{port}/v1/models/{NAME}/metadata"
    for _ in range(600):
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            pass  # it is starting
        time.sleep(0.5)
    raise SystemExit(f"tensorflow_model_server has no model at {url} after five minutes")


def serve(folder: Path) -> None:
    """Serve a model by the server of our tests until told to stop."""
    sys.path.insert(0, str(HERE.parent))
    from tests.serving.loopback_server import LoopbackServer, SavedModelSignatures

    with LoopbackServer({NAME: {1: SavedModelSignatures(folder)}}) as server:
        print(server.addresses["rest"].rpartition(":")[2], flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
