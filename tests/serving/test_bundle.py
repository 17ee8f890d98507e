"""What stands beside a model for TensorFlow Serving: read by the parsers that will read it, and kept with care."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
import time
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pool, json_format, message_factory, text_format, wrappers_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from PIL import Image
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from tests.serving.signature_requests import CROP_SIZE, export_small
from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.serving.bundle import MAX_BATCH_ROWS, write_assets, write_bundle
from tfdfd.serving.signatures import FRAMES, SIGNATURES
from tfdfd.serving.versions import versions
from tfdfd.serving.warmup import ROWS

NAMES = ["xception", "My model: 50% 'real' \"$HOME\" ü"]
YAML_FILES = ["compose.yaml", "kubernetes-cpu.yaml", "kubernetes-gpu.yaml"]


def write(folder: Path, name: str = "xception", **changed: Any) -> tuple[str, ...]:
    options: dict[str, Any] = {"crop_size": 32, "places": 17, "has_frames": True}
    return write_bundle(folder, model_name=name, **(options | changed))


@pytest.fixture(scope="module", params=NAMES, ids=["plain", "odd"])
def bundle(request, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("model")
    assert write(folder, request.param) == ()
    return request.param, folder / "serving"


def message_with(fields: dict[str, str]) -> Any:
    """Make a message that no installed package has: fields `name: type`, numbered as they come."""
    file = FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    kind = file.message_type.add(name="M")
    for number, (name, type_name) in enumerate(fields.items(), start=1):
        field = kind.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        if type_name.startswith("repeated "):
            field.label = FieldDescriptorProto.LABEL_REPEATED
        if type_name.endswith("Value"):
            field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".google.protobuf.{type_name}"
        else:
            field.type = getattr(FieldDescriptorProto, f"TYPE_{type_name.split()[-1].upper()}")
    pool = descriptor_pool.DescriptorPool()
    wrappers = FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.M"))()


def manifest(path: Path, kind: str) -> dict[str, Any]:
    return next(document for document in yaml.safe_load_all(path.read_text()) if document["kind"] == kind)


def test_the_model_is_served_by_its_name_in_its_two_newest_versions(bundle):
    name, folder = bundle
    config = text_format.Parse((folder / "models.config").read_text(), ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == (name, "/model", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 2


def test_what_the_comments_offer_is_read_too(bundle):
    offered = re.findall(r"# ((?:model_version_policy|version_labels) .*)", (bundle[1] / "models.config").read_text())
    found = [text_format.Parse(line, ModelConfig()) for line in offered]
    assert [list(model.model_version_policy.specific.versions) for model in found[:2]] == [[1], [1, 2]]
    assert [dict(model.version_labels) for model in found[2:]] == [{"stable": 1}, {"canary": 2}]


def test_batching_takes_what_the_warm_up_sends_and_pads_nothing(bundle):
    # BatchingParameters of session_bundle_config.proto, which no installed package has.
    numbers = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    fields = dict.fromkeys(numbers, "Int64Value") | {"thread_pool_name": "StringValue"}
    fields |= {"allowed_batch_sizes": "repeated int64", "pad_variable_length_inputs": "bool"}
    found = text_format.Parse((bundle[1] / "batching.config").read_text(), message_with(fields))
    assert found.max_batch_size.value == MAX_BATCH_ROWS >= max(ROWS)
    assert all(getattr(found, name).value > 0 for name in numbers)
    assert not found.pad_variable_length_inputs
    assert not found.allowed_batch_sizes  # an empty batch would end the server: batching.config says how


def test_metrics_are_on(bundle):
    text = (bundle[1] / "monitoring.config").read_text()
    inner = re.search(r"prometheus_config \{(.*)\}", text, re.DOTALL)
    assert inner
    config = text_format.Parse(inner[1], message_with({"enable": "bool", "path": "string"}))
    assert config.enable
    assert config.path == "/monitoring/prometheus/metrics"


def test_files_that_the_server_is_started_with_are_there(bundle):
    for name in YAML_FILES:
        named = re.findall(r"=/model/serving/(\S+)", (bundle[1] / name).read_text())
        assert "models.config" in named
        assert all((bundle[1] / file).is_file() for file in named)
        assert ("batching.config" in named) == ("--enable_batching" in (bundle[1] / name).read_text())


def test_compose_opens_ports_to_this_machine_only_and_reads_without_writing(bundle):
    services = yaml.safe_load((bundle[1] / "compose.yaml").read_text())["services"]
    assert set(services) == {"cpu", "gpu"}
    for profile, service in services.items():
        assert service["profiles"] == [profile]
        assert all(port.startswith("${TFDFD_BIND:-127.0.0.1}:") for port in service["ports"])
        assert service["volumes"] == [{"type": "bind", "source": "..", "target": "/model", "read_only": True}]
        assert service["restart"] == "unless-stopped"
        assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+(-gpu)?", service["image"])
        assert service["image"].endswith("-gpu") == (profile == "gpu")
        assert service["mem_limit"]
    assert services["gpu"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def health_command(folder: Path, port: int) -> list[str]:
    test = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["cpu"]["healthcheck"]["test"]
    assert test[0] == "CMD"
    assert not re.search(r"(?<!\$)\$(?!\$)", test[-1]), "Compose would take a single $ for a variable"
    return [part.replace("$$", "$").replace("/8501", f"/{port}") for part in test[1:]]


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (404, False), (503, False)])
def test_the_health_check_asks_for_the_model_and_believes_200_only(bundle, status, healthy):
    name, folder = bundle
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        done = subprocess.run(health_command(folder, server.server_port), timeout=20, check=False)
    assert (done.returncode == 0) == healthy
    readiness = manifest(folder / "kubernetes-cpu.yaml", "Deployment")["spec"]["template"]["spec"]["containers"][0][
        "readinessProbe"
    ]["httpGet"]["path"]
    assert asked == [readiness]
    assert readiness.startswith("/v1/models/")
    assert name != "xception" or readiness == "/v1/models/xception/metadata"


def test_the_health_check_fails_where_nobody_listens(bundle):
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_port
    done = subprocess.run(health_command(bundle[1], port), timeout=20, check=False, stderr=subprocess.DEVNULL)
    assert done.returncode != 0


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_kubernetes_manifests_fit_together(bundle, kind):
    path = bundle[1] / f"kubernetes-{kind}.yaml"
    service, deployment = manifest(path, "Service"), manifest(path, "Deployment")
    name = deployment["metadata"]["name"]
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name)
    pod = deployment["spec"]["template"]
    for selector in (service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (
        {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports == {"grpc": 8500, "rest": 8501}
    )
    probed = [next(iter(container[f"{probe}Probe"].values()))["port"] for probe in ("startup", "readiness", "liveness")]
    assert set(probed) <= set(ports)
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert volumes["model"]["persistentVolumeClaim"]["readOnly"]
    assert container["image"].endswith("-gpu") == (kind == "gpu")
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (kind == "gpu")
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert grace > int(container["lifecycle"]["preStop"]["exec"]["command"][1])


def test_the_page_names_files_that_are_there_and_the_address_of_the_model(bundle):
    name, folder = bundle
    page = (folder / "README.md").read_text()
    first_column = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `") and "config" in line]
    assert first_column
    for file in re.findall(r"`([\w.-]+\.(?:config|yaml|json|protoset))`", "".join(first_column)):
        assert (folder / file).is_file(), file
    assert name != "xception" or "localhost:8501/v1/models/xception:predict" in page
    assert "{{" not in page
    assert "{%" not in page


def test_the_page_speaks_of_frames_only_where_the_model_takes_them(tmp_path):
    write(tmp_path / "with")
    write(tmp_path / "without", has_frames=False)
    assert "jpeg_frames" in (tmp_path / "with/serving/README.md").read_text()
    assert '"jpeg_frames"' not in (tmp_path / "without/serving/README.md").read_text()


def test_the_examples_ask_for_one_face_in_both_languages(bundle):
    name, folder = bundle
    rest = json.loads((folder / "example-rest.json").read_text())
    ((jpeg,),) = rest["inputs"]["face_bytes"]
    assert Image.open(BytesIO(b64decode(jpeg["b64"]))).size == (32, 32)
    request = json_format.Parse((folder / "example-grpc.json").read_text(), PredictRequest())
    assert request.model_spec.name == name
    assert request.model_spec.signature_name == rest["signature_name"] == "jpeg_faces"
    assert list(request.inputs["face_bytes"].string_val) == [b64decode(jpeg["b64"])]
    assert [dim.size for dim in request.inputs["face_bytes"].tensor_shape.dim] == [1, 1]


def test_the_protoset_describes_the_whole_interface(bundle):
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString((bundle[1] / "prediction_service.protoset").read_bytes()).file:
        pool.Add(file)  # each after those it needs
    service = pool.FindServiceByName("tensorflow.serving.PredictionService")
    assert service.methods_by_name["Predict"].input_type.full_name == "tensorflow.serving.PredictRequest"


def test_writing_it_again_changes_nothing(tmp_path):
    def state() -> dict[str, tuple[bytes, int]]:
        files = (tmp_path / "serving").iterdir()
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files if path.suffix != ".json"}

    write(tmp_path)
    before = state()
    assert write(tmp_path) == ()
    assert state() == before
    assert versions(tmp_path) == []


def test_what_somebody_changed_is_kept_and_what_nobody_changed_follows_the_model(tmp_path):
    write(tmp_path)
    config, page = tmp_path / "serving/models.config", tmp_path / "serving/README.md"
    config.write_text(config.read_text().replace("num_versions: 2", "num_versions: 3"))
    mine = config.read_text()
    (note,) = write(tmp_path, name="renamed")
    assert str(config) in note
    assert "models.config.new" in note
    assert config.read_text() == mine
    assert '"renamed"' in config.with_name("models.config.new").read_text()
    assert "renamed" in page.read_text()
    config.unlink()  # the person takes the new one
    assert write(tmp_path, name="renamed") == ()
    assert not config.with_name("models.config.new").exists()
    assert '"renamed"' in config.read_text()


def test_without_its_record_of_what_it_wrote_it_overwrites_nothing(tmp_path):
    write(tmp_path)
    (tmp_path / "serving/.written.json").write_text("not JSON")
    before = (tmp_path / "serving/compose.yaml").read_bytes()
    assert any("compose.yaml" in note for note in write(tmp_path, name="renamed"))
    assert (tmp_path / "serving/compose.yaml").read_bytes() == before


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "serving").write_text("a file")
    with pytest.raises(TfdfdError, match=r"cannot write to .*serving"):
        write(tmp_path)


@pytest.mark.parametrize("has_frames", [True, False])
def test_a_version_carries_labels_and_the_list_of_its_signatures(tmp_path, has_frames):
    write_assets(tmp_path, model_name="m", crop_size=16, places=2, has_frames=has_frames)
    labels = (tmp_path / "labels.txt").read_text().splitlines()
    assert (labels[REAL], labels[FAKE]) == ("REAL", "FAKE")
    told = json.loads((tmp_path / "signatures.json").read_text())
    assert (told["crop_size"], told["places"]) == (16, 2)
    assert (FRAMES in told["signatures"]) == has_frames
    for name, listed in told["signatures"].items():
        assert set(listed["inputs"]) == set(SIGNATURES[name].inputs)
        assert set(listed["outputs"]) == set(SIGNATURES[name].outputs)


def test_a_watching_server_never_sees_half_a_version(tmp_path):
    folder = tmp_path / "small"
    needed = ["saved_model.pb", "variables/variables.index", "assets.extra/tf_serving_warmup_requests"]
    needed += ["assets.extra/labels.txt", "assets.extra/signatures.json", "assets.extra/clips.csv"]
    seen: set[int] = set()
    halves: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for number in versions(folder):
                missing = [name for name in needed if not (folder / str(number) / name).is_file()]
                halves.extend(f"{number} without {name}" for name in missing if number not in seen)
                seen.add(number)
            time.sleep(0.001)  # else it takes the time of the exports

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        made = [export_small(folder, has_frames=False).name for _ in range(2)]
    finally:
        done.set()
        watcher.join()
    assert made == ["1", "2"]
    assert 1 in seen
    assert not halves
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2", "serving"]
    config = text_format.Parse((folder / "serving/models.config").read_text(), ModelServerConfig())
    assert config.model_config_list.config[0].name == "small"
    assert json.loads((folder / "2/assets.extra/signatures.json").read_text())["crop_size"] == CROP_SIZE
