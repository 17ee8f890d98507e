"""`tfdfd app` as a person uses it: the command in a process of its own, a browser, a clip dropped on the page."""

import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.browser import browser
from tests.painted_faces import redness_model
from tests.reports.test_evaluation_page_in_browser import CUT_OFF, nothing_sticks_out, unreadable
from tests.run_commands import ROOT, command, environment
from tfdfd.clip import TfdfdError
from tfdfd.commands import app
from tfdfd.data.demo import render_demo
from tfdfd.extraction import extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig

PATIENCE_SECONDS = 180
ITS_OWN_WARNING = "Method not implemented."  # of Gradio's script, whenever an answer has ended
FETCHED_FROM = (
    "return [...new Set(performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin))]"
)
PICTURES = "return [...document.querySelectorAll(arguments[0])].map((picture) => picture.naturalWidth)"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that calls a face fake that is redder than grey, as skin is."""
    from tfdfd.faces.mtcnn import MTCNN

    folder = tmp_path_factory.mktemp("models")
    config = ExtractionConfig(crop_size=32)
    detector = MTCNN(min_face_share=config.min_face_share)
    fingerprint = extraction_fingerprint(config, detector.settings, {"num_places": config.places})
    return redness_model(folder / "red", folder, fingerprint=fingerprint)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = render_demo(tmp_path_factory.mktemp("demo") / "clips", num_clips=4, num_frames=6)
    return next((folder / "dfdc_train_part_0").glob("*.mp4"))


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def process(model, uploads):
    pytest.importorskip("gradio", reason="gradio is not installed (pip install tfdfd[app])")
    started = subprocess.Popen(
        command("tfdfd", "app", "--model", model, "--port", 0),
        cwd=uploads,
        env=environment() | {"TMPDIR": str(uploads), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(PATIENCE_SECONDS, started.kill)
    watchdog.start()
    yield started
    watchdog.cancel()
    started.kill()
    started.wait()


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(process, clip):  # which is rendered while the page comes up
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("open http"):
            return line.split()[1]
    return pytest.fail(f"the page has not come up: {''.join(said)}")


def complaints(window):
    return [message for message in window.errors() if ITS_OWN_WARNING not in message]


def kept(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


def test_a_clip_is_dropped_and_its_verdict_and_reasons_appear(process, window, address, clip, uploads, tmp_path):
    window.visit(address, width=1280)
    window.wait_for("input[type=file]").send_keys(str(clip))
    window.wait_for("#reasons section")
    assert window.run("return document.querySelector('#outcome h2').textContent") == "Fake"
    assert window.run("return document.querySelector('#outcome .clip-name').textContent") == clip.name
    faces, heats = window.run(PICTURES, "#reasons .face"), window.run(PICTURES, "#reasons .heat")
    assert len(faces) == len(heats) == window.run("return document.querySelectorAll('.faces li').length") > 0
    assert min(faces + heats) > 0
    assert window.run("return document.querySelector('svg.chart').getBoundingClientRect().height") > 100
    assert window.run("return document.querySelectorAll('#reasons tbody tr').length") == 1
    assert kept(uploads) == []
    for width in (1280, 390):
        window.resize(width)
        assert nothing_sticks_out(window), width
        assert window.run(CUT_OFF) == []
    assert unreadable(window) == {}
    assert window.run(FETCHED_FROM) == [address.rstrip("/")]
    assert complaints(window) == []

    # By night, and a file that only its name makes a video.
    (tmp_path / "notes.mp4").write_text("milk, bread, eggs")
    window.visit(address, width=390, theme="dark")
    window.wait_for("input[type=file]").send_keys(str(tmp_path / "notes.mp4"))
    window.wait_for("#outcome .not-scored")
    assert "not a readable video" in window.run("return document.querySelector('#outcome .reason').textContent")
    assert str(uploads) not in window.run("return document.body.innerText")
    assert window.run("return document.querySelector('#reasons section')") is None
    assert unreadable(window) == {}
    assert complaints(window) == []

    # While the page is still open.
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0
    last_words = process.stdout.read()
    assert "deleted" in last_words
    assert "Traceback" not in last_words
    assert list(uploads.glob(f"{app._FOLDER}*")) == []


def test_a_port_in_use_and_one_that_is_none_stop_the_command_before_any_work(model):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(TfdfdError, match=f"port {port} of 127.0.0.1 is in use.*--port"):
            app.main(["--model", str(model), "--port", str(port)])
    with pytest.raises(TfdfdError, match=r"--port must be in \[0, 65535\], got 70000"):
        app.main(["--port", "70000"])
    with pytest.raises(TfdfdError, match="cannot listen there"):
        app.main(["--host", "no such host"])


def test_without_gradio_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(TfdfdError, match=r"pip install -e '\.\[app\]'"):
        app.main([])


def test_help_loads_neither_tensorflow_nor_gradio():
    script = (
        "import sys; from tfdfd.commands.main import main\n"
        "try: main(['app', '--help'])\n"
        "except SystemExit: print({'tensorflow', 'gradio', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--port" in told
    assert told.endswith("set()\n")


def server_that_fails(uploads):
    """Return a server whose page takes clips of up to 1 kB and comes to grief over each."""
    pytest.importorskip("gradio", reason="gradio is not installed (pip install tfdfd[app])")
    from tfdfd.commands.app_page import make_page
    from tfdfd.commands.app_server import make_server
    from tfdfd.models.scoring import ScoringRule
    from tfdfd.reports.scored_clip_page import ModelShown

    def fails(*_):
        raise AssertionError("this is no more than a test")

    page = make_page(fails, fails, ScoringRule(), ModelShown("a <b>", ()), uploads=uploads, limit="1kb")
    return make_server(page, limit="1kb", hosts=("127.0.0.1", "localhost"))


def test_a_fault_of_the_program_is_said_on_the_page_and_its_clip_is_deleted_too(window, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "a.mp4").write_bytes(b"x")
    server = server_that_fails(tmp_path / "uploads")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        running.start()
        try:
            window.visit(f"http://127.0.0.1:{listening.getsockname()[1]}/", width=800)
            window.wait_for("input[type=file]").send_keys(str(tmp_path / "a.mp4"))
            assert "AssertionError" in window.wait_for("#outcome .not-scored").text
            assert kept(tmp_path / "uploads") == []
        finally:
            server.should_exit = True
            running.join()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """What asks the page's server as a browser does, by a name of this machine."""
    folder = tmp_path_factory.mktemp("uploads")
    server = server_that_fails(folder)
    from fastapi.testclient import TestClient

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        with TestClient(server.config.app, base_url="http://127.0.0.1:7860") as client:
            yield client


def test_the_browser_may_fetch_from_nowhere_else(pages):
    home = pages.get("/")
    assert home.status_code == 200
    assert "a <b>" not in home.text
    policy = home.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (2000, 413)])
def test_a_clip_above_the_limit_is_refused(pages, size, status):
    answer = pages.post("/gradio_api/upload", files={"files": ("a.mp4", b"x" * size)})
    assert answer.status_code == status


def test_pages_from_elsewhere_are_refused(pages):
    own, other = "http://127.0.0.1:7860", "http://example.org"
    assert pages.get("/", headers={"origin": own}).status_code == 200
    assert pages.get("/", headers={"host": "localhost:7860"}).status_code == 200
    assert pages.get("/", headers={"origin": other}).status_code == 403
    assert pages.get("/", headers={"origin": "null"}).status_code == 403
    assert pages.get("/", headers={"host": "example.org:7860"}).status_code == 403
    assert pages.get("/", headers={"host": "example.org:7860", "origin": "http://example.org:7860"}).status_code == 403


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_file_of_this_machine_that_nobody_uploaded_is_neither_scored_nor_deleted(pages, tmp_path, is_stream):
    (tmp_path / "mine.mp4").write_bytes(b"x")
    named = {"path": str(tmp_path / "mine.mp4"), "is_stream": is_stream, "meta": {"_type": "gradio.FileData"}}
    asked = {"data": [named], "fn_index": 0, "session_hash": f"one-{is_stream}", "trigger_id": 1}
    pages.post("/gradio_api/queue/join", json=asked).raise_for_status()
    told = pages.get("/gradio_api/queue/data", params={"session_hash": asked["session_hash"]}).text
    assert '"success":false' in told
    assert "Scoring" not in told
    assert (tmp_path / "mine.mp4").exists()
