"""What stands beside a SavedModel so that TensorFlow Serving can be started on it: configuration, manifests, a page."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from google.protobuf import text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.wrappers_pb2 import StringValue
from tensorflow_serving.apis import prediction_service_pb2

from tfdfd.clip import LABEL_NAMES
from tfdfd.data.atomic import explain_write_errors, write_atomically
from tfdfd.serving.signatures import JPEG_FACES, signatures_of
from tfdfd.serving.warmup import WARMUP_FILE, as_jpeg, portrait_face, write_warmup

BUNDLE = "serving"
"""The folder beside the versions; TensorFlow Serving looks at children that are whole numbers only."""
MAX_BATCH_ROWS = 16
"""Rows that the server joins at most, and so the most that a request may have where requests are joined."""
CPU_IMAGE, GPU_IMAGE = "tensorflow/serving:2.20.0", "tensorflow/serving:2.20.0-gpu"

_WRITTEN = ".written.json"
"""What this module last wrote: by it a file that somebody changed is told from one that only is of an older version."""


def write_assets(
    assets: Path, *, model_name: str, crop_size: int, places: int, has_frames: bool, hears: bool = False
) -> None:
    """Write the files of a version that servers and clients read: warm-up records, labels, the list of signatures.

    Args:
        assets: `assets.extra/` of the version, which exists.
        model_name, crop_size, places, has_frames, hears: as in `write_bundle`.
    """
    write_warmup(
        assets / WARMUP_FILE,
        model_name=model_name,
        crop_size=crop_size,
        places=places,
        has_frames=has_frames,
        hears=hears,
    )
    # One name a line, the label's number is its line: what readers of labels.txt expect.
    (assets / "labels.txt").write_text("".join(f"{LABEL_NAMES[label]}\n" for label in sorted(LABEL_NAMES)))
    listed = {
        name: {
            "purpose": signature.purpose,
            "inputs": {key: _tensor_json(tensor) for key, tensor in signature.inputs.items()},
            "outputs": {key: _tensor_json(tensor) for key, tensor in signature.outputs.items()},
        }
        for name, signature in signatures_of(has_frames=has_frames, hears=hears).items()
    }
    told = {"crop_size": crop_size, "places": places, "signatures": listed}
    (assets / "signatures.json").write_text(json.dumps(told, indent=1) + "\n")


def write_bundle(
    folder: Path, *, model_name: str, crop_size: int, places: int, has_frames: bool, hears: bool = False
) -> tuple[str, ...]:
    """Write `serving/` beside the versions of a model, or bring it up to date.

    A file that somebody has changed is left alone, and the new one is written beside it as `<file>.new`.

    Args:
        folder: `saved_models/<name>`.
        model_name: the name it is served under.
        crop_size: side of a crop in pixels.
        places: of a track, as clients will mostly send them.
        has_frames: whether the newest version has the signatures that take frames.
        hears: whether its network takes sound.

    Returns:
        What a person should be told: a line for each file that was left alone.

    Raises:
        TfdfdError: if it cannot be written.
    """
    bundle = folder / BUNDLE
    notes = []
    with explain_write_errors(bundle):
        bundle.mkdir(parents=True, exist_ok=True)
        known = _written(bundle)
        for name, content in _files(model_name, crop_size, places, has_frames=has_frames, hears=hears).items():
            path = bundle / name
            there = path.read_bytes() if path.is_file() else None
            if there is None or there == content or known.get(name) == _digest(there):
                if there != content:
                    write_atomically(path, content)
                known[name] = _digest(content)
                path.with_name(f"{name}.new").unlink(missing_ok=True)
            else:
                write_atomically(path.with_name(f"{name}.new"), content)
                notes.append(f"{path} was changed by hand and is left as it is; what is new stands in {name}.new")
        write_atomically(bundle / _WRITTEN, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    return tuple(notes)


def _files(model_name: str, crop_size: int, places: int, *, has_frames: bool, hears: bool) -> dict[str, bytes]:
    slug = "tfdfd-" + (re.sub(r"[^a-z0-9]+", "-", model_name.lower()).strip("-")[:45].rstrip("-") or "model")
    url_path = f"/v1/models/{quote(model_name, safe='')}"
    values = {
        "model_name": model_name,
        "url_path": url_path,
        "readiness_path": f"{url_path}/metadata",
        "health_command": _health_command(f"{url_path}/metadata"),
        "slug": slug,
        "cpu_image": CPU_IMAGE,
        "gpu_image": GPU_IMAGE,
        "max_rows": MAX_BATCH_ROWS,
        "places": places,
        "crop_size": crop_size,
        "has_frames": has_frames,
        "hears": hears,
    }
    environment = _environment()
    names = ["models.config", "batching.config", "monitoring.config", "compose.yaml", "README.md"]
    files = {name: environment.get_template(name).render(values) for name in names}
    for kind in ("cpu", "gpu"):
        manifest = environment.get_template("kubernetes.yaml")
        files[f"kubernetes-{kind}.yaml"] = manifest.render(values, kind=kind, gpu=kind == "gpu", app=f"{slug}-{kind}")
    face = b64encode(as_jpeg(portrait_face(crop_size))).decode()
    inputs: dict[str, Any] = {"face_bytes": [[{"b64": face}]]}
    sound: dict[str, Any] = {}
    if hears:  # a tenth of a second of silence
        inputs |= {"waveform": [[0.0] * 1600], "is_sound": [[True] * 1600]}
        samples = {"dim": [{"size": "1"}, {"size": "1600"}]}
        sound = {
            "waveform": {"dtype": "DT_FLOAT", "tensor_shape": samples, "float_val": [0.0]},
            "is_sound": {"dtype": "DT_BOOL", "tensor_shape": samples, "bool_val": [True]},
        }
    rest = {"signature_name": JPEG_FACES, "inputs": inputs}
    shape = {"dim": [{"size": "1"}, {"size": "1"}]}
    grpc = {
        "model_spec": {"name": model_name, "signature_name": JPEG_FACES},
        "inputs": {"face_bytes": {"dtype": "DT_STRING", "tensor_shape": shape, "string_val": [face]}, **sound},
    }
    files |= {"example-rest.json": json.dumps(rest) + "\n", "example-grpc.json": json.dumps(grpc) + "\n"}
    encoded = {name: text.encode() for name, text in files.items()}
    return encoded | {"prediction_service.protoset": _protoset()}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # nothing here is HTML; what is quoted is quoted by its own rules
    )
    environment.filters["prototext"] = _prototext
    environment.filters["dollars"] = lambda text: text.replace("$", "$$")  # Compose takes $ for a variable
    environment.policies["json.dumps_function"] = lambda value, **_: json.dumps(value)  # no escapes for HTML
    return environment


def _prototext(text: str) -> str:
    """Return a string as the text format of protocol buffers quotes it."""
    return text_format.MessageToString(StringValue(value=text), as_one_line=True).removeprefix("value:").strip()


def _health_command(path: str) -> str:
    """Return the Bash command that succeeds while a GET of the path on the REST port answers 200."""
    request = f"printf '%s\\r\\n\\r\\n' 'GET {path} HTTP/1.0' >&3"
    return f'exec 3<>/dev/tcp/127.0.0.1/8501 && {request} && read -r _ code _ <&3 && [ "$code" = 200 ]'


def _protoset() -> bytes:
    """Return the description of PredictionService and all that it uses, which tools such as grpcurl need."""
    found: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for needed in file.dependencies:
            add(needed)
        found.setdefault(file.name, file)

    add(prediction_service_pb2.DESCRIPTOR)
    described = FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(described.file.add())
    return described.SerializeToString(deterministic=True)


def _tensor_json(tensor: Any) -> dict[str, Any]:
    return {"dtype": tensor.dtype, "shape": list(tensor.shape), "meaning": tensor.meaning}


def _written(bundle: Path) -> dict[str, str]:
    try:
        known = json.loads((bundle / _WRITTEN).read_text())
    except (FileNotFoundError, ValueError):
        return {}  # then every file that differs counts as changed by hand, and none is lost
    return known if isinstance(known, dict) else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
