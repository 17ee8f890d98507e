"""Send malformed requests to a SavedModel through the C API, and report what became of them: a program for the tests.

A crash ends this process, not the tests. The server itself checks the names of inputs before it asks the graph, so
requests with inputs of other names are not among these.

Usage: python -m tests.serving.c_api_malformed FOLDER_OF_THE_VERSION NUMBER_OF_REQUESTS
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tests.serving.c_api import RunError, Session, Value

SIZE, PLACES = 48, 5
"""Of the model's crops."""
MEASURED_EVERY = 50

Request = tuple[str, dict[str, Value]]


@dataclass(frozen=True)
class Kind:
    """A way in which a request can be wrong."""

    make: Callable[[np.random.Generator], Request]
    refused: bool = True
    """False where an answer is as good as an error: what was sent is odd, but can be read."""


def crops_request(rng: np.random.Generator, crops: Value, is_face: Value) -> Request:
    return str(rng.choice(["serving_default", "explain"])), {"crops": crops, "is_face": is_face}


def crops_of(*shape: int, dtype: type = np.uint8) -> Value:
    return np.full(shape, 100, dtype)


def faces(*shape: int) -> Value:
    return np.ones(shape, bool)


def texts(*values: bytes, shape: tuple[int, ...] | None = None) -> Value:
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape((1, len(values)) if shape is None else shape)


def encoded(size: tuple[int, int] = (SIZE, SIZE), form: str = "JPEG", mode: str = "RGB", **options: bool) -> bytes:
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(picture).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def claiming(width: int, height: int) -> bytes:
    """Return a small JPEG whose header says that it is so large."""
    jpeg = bytearray(encoded())
    frame_header = jpeg.index(b"\xff\xc0")
    jpeg[frame_header + 5 : frame_header + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(jpeg)


def cut(rng: np.random.Generator) -> bytes:
    jpeg = encoded()
    return jpeg[: int(rng.integers(1, len(jpeg) // 2))]


def with_noise(rng: np.random.Generator) -> bytes:
    jpeg = bytearray(encoded())
    for place in rng.integers(2, len(jpeg), 20):
        jpeg[place] = int(rng.integers(256))
    return bytes(jpeg)


def jpeg_request(rng: np.random.Generator, jpeg: bytes) -> Request:
    """Return a request with that JPEG among sound ones."""
    name, key = [("jpeg_faces", "face_bytes"), ("jpeg_frames", "frame_bytes")][int(rng.integers(2))]
    values = [encoded()] * PLACES
    values[int(rng.integers(PLACES))] = jpeg
    return name, {key: texts(*values)}


def of_another_rank(rng: np.random.Generator, rank: int) -> tuple[int, ...]:
    ranks = [other for other in range(7) if other != rank]
    return tuple(int(side) for side in rng.integers(1, 4, int(rng.choice(ranks))))


def other_side(rng: np.random.Generator) -> int:
    return int(rng.choice([0, 1, 3, SIZE - 1, SIZE + 1, 2 * SIZE, 200]))


def frames_request(*shape: int, dtype: type = np.uint8) -> Request:
    return "frames", {"frames": crops_of(*shape, dtype=dtype)}


GOOD = {"crops": crops_of(1, PLACES, SIZE, SIZE, 3), "is_face": faces(1, PLACES)}

KINDS = {
    "crops of another size": Kind(
        lambda rng: crops_request(rng, crops_of(1, 2, side := other_side(rng), side, 3), faces(1, 2))
    ),
    "crops that are not square": Kind(
        lambda rng: crops_request(rng, crops_of(1, 2, SIZE, other_side(rng), 3), faces(1, 2))
    ),
    "crops with other channels": Kind(
        lambda rng: crops_request(rng, crops_of(1, 2, SIZE, SIZE, int(rng.choice([0, 1, 2, 4]))), faces(1, 2))
    ),
    "crops as a picture twice as wide": Kind(
        lambda rng: crops_request(rng, crops_of(1, 2, SIZE // 2, SIZE * 2, 3), faces(1, 2))
    ),
    "crops of another rank": Kind(lambda rng: crops_request(rng, crops_of(*of_another_rank(rng, 5)), faces(1, 2))),
    "is_face of another rank": Kind(
        lambda rng: crops_request(rng, crops_of(1, 2, SIZE, SIZE, 3), faces(*of_another_rank(rng, 2)))
    ),
    "is_face with other places": Kind(
        lambda rng: crops_request(rng, crops_of(1, 2, SIZE, SIZE, 3), faces(1, int(rng.choice([0, 1, 3, 50]))))
    ),
    "is_face with other rows": Kind(
        lambda rng: crops_request(rng, crops_of(2, 2, SIZE, SIZE, 3), faces(int(rng.choice([0, 1, 3])), 2))
    ),
    "is_face turned over": Kind(lambda rng: crops_request(rng, crops_of(2, 3, SIZE, SIZE, 3), faces(3, 2))),
    "crops of another type": Kind(
        lambda rng: crops_request(
            rng,
            crops_of(1, 2, SIZE, SIZE, 3, dtype=[np.float32, np.int32, np.int8, np.bool_][int(rng.integers(4))]),
            faces(1, 2),
        )
    ),
    "crops as text": Kind(lambda rng: crops_request(rng, texts(b"a", b"b"), faces(1, 2))),
    "is_face of another type": Kind(
        lambda rng: crops_request(rng, crops_of(1, 2, SIZE, SIZE, 3), crops_of(1, 2, dtype=np.int32))
    ),
    "no crops": Kind(lambda rng: ("serving_default", {"is_face": faces(1, 2)})),
    "no is_face": Kind(lambda rng: ("explain", {"crops": crops_of(1, 2, SIZE, SIZE, 3)})),
    "no input": Kind(
        lambda rng: (str(rng.choice(["serving_default", "jpeg_faces", "frames", "jpeg_frames", "about"])), {})
    ),
    "a JPEG that is cut off": Kind(lambda rng: jpeg_request(rng, cut(rng))),
    "noise for a JPEG": Kind(lambda rng: jpeg_request(rng, rng.bytes(int(rng.integers(1, 3000))))),
    "zeros for a JPEG": Kind(lambda rng: jpeg_request(rng, bytes(int(rng.integers(1, 3000))))),
    "text for a JPEG": Kind(lambda rng: jpeg_request(rng, b"<html>not found</html>")),
    "the beginning of a JPEG": Kind(lambda rng: jpeg_request(rng, b"\xff\xd8\xff\xe0"[: int(rng.integers(1, 5))])),
    "another format for a JPEG": Kind(
        lambda rng: jpeg_request(rng, encoded(form=["PNG", "GIF", "BMP", "TIFF", "WEBP"][int(rng.integers(5))]))
    ),
    "a JPEG of another size": Kind(lambda rng: jpeg_request(rng, encoded((int(rng.integers(1, SIZE)), SIZE)))),
    "a JPEG that says it is huge": Kind(
        lambda rng: jpeg_request(rng, claiming(*[(65500, 65500), (65500, 1), (30000, 20000)][int(rng.integers(3))]))
    ),
    "a clip of JPEGs that say they are large": Kind(
        lambda rng: ("jpeg_frames", {"frame_bytes": texts(*[claiming(13000, 13000)] * int(rng.integers(3, 9)))})
    ),
    "a JPEG that says it has no size": Kind(lambda rng: jpeg_request(rng, claiming(0, int(rng.choice([0, SIZE]))))),
    "JPEGs of another rank": Kind(
        lambda rng: (
            "jpeg_faces" if (of_faces := bool(rng.integers(2))) else "jpeg_frames",
            {
                "face_bytes" if of_faces else "frame_bytes": texts(
                    *[encoded()] * int(np.prod(shape := of_another_rank(rng, 2))), shape=shape
                )
            },
        )
    ),
    "pixels for JPEGs": Kind(lambda rng: ("jpeg_faces", {"face_bytes": crops_of(1, 2, SIZE, SIZE, 3)})),
    "frames of another rank": Kind(lambda rng: frames_request(*of_another_rank(rng, 5))),
    "frames with other channels": Kind(lambda rng: frames_request(1, 2, 48, 64, int(rng.choice([0, 1, 2, 4])))),
    "frames without pixels": Kind(
        lambda rng: frames_request(1, 2, *[(0, 0), (0, 64), (64, 0)][int(rng.integers(3))], 3)
    ),
    "frames of another type": Kind(lambda rng: frames_request(1, 1, 48, 64, 3, dtype=np.float32)),
    "numbers for the question": Kind(lambda rng: ("about", {"ask": crops_of(1)})),
    "a question of rank 0": Kind(lambda rng: ("about", {"ask": np.array(b"", object)})),
    "no rows of crops": Kind(
        lambda rng: crops_request(rng, crops_of(0, PLACES, SIZE, SIZE, 3), faces(0, PLACES)), refused=False
    ),
    "no places": Kind(lambda rng: crops_request(rng, crops_of(1, 0, SIZE, SIZE, 3), faces(1, 0)), refused=False),
    "no rows of JPEGs": Kind(lambda rng: ("jpeg_faces", {"face_bytes": np.empty((0, PLACES), object)}), refused=False),
    "no rows of frames": Kind(lambda rng: frames_request(0, 2, 48, 64, 3), refused=False),
    "no rows of JPEG frames": Kind(
        lambda rng: ("jpeg_frames", {"frame_bytes": np.empty((0, PLACES), object)}), refused=False
    ),
    "clips without frames": Kind(lambda rng: frames_request(2, 0, 48, 64, 3), refused=False),
    "clips of empty JPEGs": Kind(lambda rng: ("jpeg_frames", {"frame_bytes": texts(*[b""] * 5)}), refused=False),
    "no question": Kind(lambda rng: ("about", {"ask": np.empty((0,), object)}), refused=False),
    "thousands of empty places": Kind(
        lambda rng: ("jpeg_faces", {"face_bytes": texts(*[b""] * int(rng.integers(1000, 9000)))}), refused=False
    ),
    "frames of a few pixels": Kind(
        lambda rng: frames_request(1, 2, *(int(side) for side in rng.integers(1, 14, 2)), 3), refused=False
    ),
    "frames one pixel high": Kind(lambda rng: frames_request(1, 1, 1, 4000, 3), refused=False),
    "frames one pixel wide": Kind(lambda rng: frames_request(1, 1, 4000, 1, 3), refused=False),
    "frames like a ribbon": Kind(lambda rng: frames_request(1, 1, 12, 3000, 3), refused=False),
    "a JPEG frame like a thread": Kind(
        lambda rng: ("jpeg_frames", {"frame_bytes": texts(encoded((5000, 2)))}), refused=False
    ),
    "a JPEG with noise in it": Kind(lambda rng: jpeg_request(rng, with_noise(rng)), refused=False),
    "a grey JPEG": Kind(lambda rng: jpeg_request(rng, encoded(mode="L")), refused=False),
    "a progressive JPEG": Kind(lambda rng: jpeg_request(rng, encoded(progressive=True)), refused=False),
    "a CMYK JPEG": Kind(lambda rng: jpeg_request(rng, encoded(mode="CMYK")), refused=False),
    "a JPEG and more": Kind(lambda rng: jpeg_request(rng, encoded() + rng.bytes(500)), refused=False),
}


def wrong_in(inputs: dict[str, Value], outputs: dict[str, Value]) -> str:
    """Return what is wrong with an answer, empty where nothing is."""
    rows = next(iter(inputs.values())).shape[:1]
    for name, value in outputs.items():
        if not rows or value.shape[:1] != rows:
            return f"{name} has shape {value.shape}, not {rows} rows"
        if value.dtype == np.float32 and not np.isfinite(value).all():
            return f"{name} is not finite"
    scores = outputs.get("clip_score", np.zeros(0))
    return "" if ((scores >= 0) & (scores <= 1)).all() else f"scores {scores.tolist()}"


def memory_mb(entry: str) -> float:
    """Return `VmRSS`, what this process holds, or `VmHWM`, the most that it ever held."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(entry))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Send the requests in an order drawn from one seed, every kind at least once if they are enough."""
    session, count = Session(Path(sys.argv[1])), int(sys.argv[2])
    rng = np.random.default_rng(5)
    before = session.run("serving_default", GOOD)["clip_score"].tolist()
    order: list[str] = []
    while len(order) < count:
        order += rng.permutation(list(KINDS)).tolist()
    answered, refused, wrong, memory = Counter(), {}, [], []
    for number, kind in enumerate(order[:count]):
        signature, inputs = KINDS[kind].make(rng)
        print(f"{number} {kind}: {signature}", file=sys.stderr, flush=True)  # the last line of a crash names it
        try:
            outputs = session.run(signature, inputs)
        except RunError as error:
            refused.setdefault(kind, Counter())[f"{error.code} {str(error)[:200]}"] += 1
        else:
            answered[kind] += 1
            if fault := wrong_in(inputs, outputs):
                wrong.append(f"{kind}: {fault}")
        if (number + 1) % MEASURED_EVERY == 0:
            memory.append(round(memory_mb("VmRSS"), 1))
    report = {
        "sent": len(order[:count]),
        "answered": answered,
        "refused": refused,
        "wrong_answers": wrong,
        "memory_mb": memory,
        "peak_mb": round(memory_mb("VmHWM"), 1),
        "score_before": before,
        "score_after": session.run("serving_default", GOOD)["clip_score"].tolist(),
        "process": os.getpid(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
