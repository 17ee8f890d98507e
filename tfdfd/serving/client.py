"""A client of TensorFlow Serving: a video path in, a scored clip out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Lock

import numpy as np

from tfdfd.clip import ClipFrames, TfdfdError
from tfdfd.data.fingerprint import Fingerprint, of_single_crops, require_same_preprocessing
from tfdfd.data.frame_source import OneAhead
from tfdfd.extraction import Detector, extraction_config_of, extraction_fingerprint
from tfdfd.faces.config import TRACK_RULES, ExtractionConfig
from tfdfd.guard import Failed, attempt
from tfdfd.scored_clip import ScoredClip
from tfdfd.serving.clip_parts import ClipPart, ClipReader, OnWindow, PlannedFrameSource
from tfdfd.serving.remote_errors import BadAnswerError
from tfdfd.serving.remote_faces import Faces, FacesHere, FacesThere, Looked, WindowRequest
from tfdfd.serving.remote_model import RemoteModel, Transport, ask_about, check_outputs, require_expected
from tfdfd.serving.remote_target import (
    DEADLINE_SECONDS,
    FACES,
    GRPC,
    IN_FLIGHT,
    JPEG,
    LOCAL,
    MOST_IN_FLIGHT,
    PIXELS,
    RAW,
    SERVER,
    Target,
)
from tfdfd.serving.signatures import SIGNATURE_RULES
from tfdfd.serving.time_limit import Pace
from tfdfd.serving.under_way import ClipsUnderWay

_MOST_ROWS = 8
"""People a request: eight raw rows of 17 crops of 200 px are 16 MB, and few servers batch fewer."""


class ScoringClient:
    """Scores clips by a model that TensorFlow Serving serves.

    Clips are decoded here, in order, one ahead; many of their requests are under way at once, over one gRPC channel or
    one pool of HTTP connections, which are kept. Use it as a context manager: entering asks the server what it serves.

    A clip that cannot be read has the status failed; a server that cannot be used raises, whatever clip it was about.
    Long clips are cut into windows as `tfdfd.serving.local_scorer` cuts them, and each window is a request.

    Args:
        address: HOST:PORT; TensorFlow Serving's ports are 8500 for gRPC and 8501 for REST.
        model_name: as in the server's configuration.
        frame_source: reads clips.
        make_detector: makes what finds faces, as the model's crops need it; only for faces="local".
        transport: `grpc` or `rest`.
        version: of the model; None for the newest that is available when the client is entered.
        label: of a version, such as `stable`; only where version is None.
        faces: `local`: they are found here and crops are sent, one row a person, scored by the rule that the server
            gives; `server`: frames are sent.
        pixels: how they travel. `raw` crops give exactly the scores of `tfdfd score` on this machine, and are the
            default over gRPC, where 17 crops of 200 px are 2 MB; as REST's JSON they are 9 MB and take a second to
            write. `jpeg` crops, 0.2 MB, give the scores of the stored strips, on which the model was
            trained and evaluated; they are the default over REST. Frames go as `jpeg` unless told otherwise: raw ones
            are 100 MB a clip of 1080p.
        deadline_seconds: for one request, all tries together.
        tries: times that a request is tried in all where the server is busy or the connection breaks.
        max_in_flight: clips, or windows of long ones, whose requests are under way at once, at most; the crops or JPEGs
            of so many are in memory, and the frames of two.
        expected_fingerprint: how the crops must have been made that the model was trained on.
        expected_digest: the network's digest that the model must have.
        accept_mismatch: with faces="local", go on although clips are cropped otherwise here than for the model.
        keep_crops: whether the scored tracks hold their crops; only for faces="local".
        on_window: called after each window of a clip.

    Raises:
        TfdfdError: if an option is not allowed, or does not go with another.
    """

    def __init__(
        self,
        address: str,
        model_name: str,
        *,
        frame_source: PlannedFrameSource,
        make_detector: Callable[[ExtractionConfig], Detector] | None = None,
        transport: str = GRPC,
        version: int | None = None,
        label: str | None = None,
        faces: str = LOCAL,
        pixels: str | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        tries: int = 4,
        max_in_flight: int = IN_FLIGHT,
        expected_fingerprint: Fingerprint | None = None,
        expected_digest: str | None = None,
        accept_mismatch: bool = False,
        keep_crops: bool = False,
        on_window: OnWindow = lambda number, count: None,
    ) -> None:
        self.target = Target(address, model_name, transport, version, label)
        if faces not in FACES:
            raise TfdfdError(f"faces must be one of {list(FACES)}, got {faces!r}")
        if pixels not in (None, *PIXELS):
            raise TfdfdError(f"pixels must be one of {list(PIXELS)}, got {pixels!r}")
        if not 0 < deadline_seconds <= 3600:
            raise TfdfdError(f"the deadline must be above 0 and at most 3600 seconds, got {deadline_seconds}")
        if not 1 <= max_in_flight <= MOST_IN_FLIGHT:
            raise TfdfdError(f"clips in flight must be 1 to {MOST_IN_FLIGHT}, got {max_in_flight}")
        if (make_detector is not None) != (faces == LOCAL):
            raise TfdfdError("a detector finds faces on this machine, so it goes with faces='local' and with no other")
        if faces == SERVER and (accept_mismatch or keep_crops):
            raise TfdfdError(
                "crops are made by the server: none can be kept here, or be accepted though made otherwise"
            )
        self._frame_source, self._make_detector, self._faces = frame_source, make_detector, faces
        self._pixels = pixels or (RAW if (faces, transport) == (LOCAL, GRPC) else JPEG)
        self._deadline_seconds, self._max_in_flight = deadline_seconds, max_in_flight
        self._expected_fingerprint, self._expected_digest = expected_fingerprint, expected_digest
        self._accept_mismatch, self._keep_crops, self._on_window = accept_mismatch, keep_crops, on_window
        self.warning = ""
        """What was accepted all the same, known once the server was asked; mostly empty."""
        self._transport = _open(self.target, tries)
        self._connected: tuple[RemoteModel, Faces] | None = None
        self._connecting = Lock()

    def __enter__(self) -> ScoringClient:
        try:
            self._connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    @property
    def model(self) -> RemoteModel:
        """What the server says of its model."""
        return self._connect()[0]

    def score(self, path: Path) -> ScoredClip:
        """Score one clip.

        Raises:
            ServerError: if the server cannot be used.
        """
        (scored,) = self.score_all([path])
        return scored

    def score_all(self, paths: Iterable[Path]) -> Iterator[ScoredClip]:
        """Score clips in order, each as soon as it and those before it are done.

        Args:
            paths: of the clips; taken from another thread, one ahead of those under way.

        Raises:
            ServerError: if the server cannot be used, at the first clip that shows it.
        """
        model, faces = self._connect()
        reader = ClipReader(self._frame_source, faces.plan, pace=Pace())
        under_way = ClipsUnderWay(model, most=self._max_in_flight, on_window=self._on_window)
        pool = ThreadPoolExecutor(self._max_in_flight, thread_name_prefix="in-flight")
        try:
            with closing(OneAhead(reader.parts(paths))) as parts:
                for part in parts:
                    part.watch.go_on()
                    under_way.add(part, self._begin(part, faces, pool))
                    del part  # its frames are large
                    yield from under_way.done()
            yield from under_way.rest()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, part: ClipPart, faces: Faces, pool: ThreadPoolExecutor) -> Future[Looked] | Looked | Failed | None:
        """Look for faces where they are looked for here, and have the server asked from another thread."""
        frames, window = part.frames, part.window
        if window is None or not isinstance(frames, ClipFrames):
            return None
        request = attempt(lambda: faces.request(str(part.path), frames, window, part.first_seconds))
        return pool.submit(self._ask, request) if isinstance(request, WindowRequest) else request

    def _ask(self, request: WindowRequest) -> Looked:
        target = self.model.target
        num_rows = len(next(iter(request.inputs.values())))
        parts = []
        for first in range(0, num_rows, _MOST_ROWS):
            rows = {name: value[first : first + _MOST_ROWS] for name, value in request.inputs.items()}
            answer = self._transport.predict(target, request.signature, rows, deadline_seconds=self._deadline_seconds)
            parts.append(check_outputs(answer, request.signature, min(_MOST_ROWS, num_rows - first), target))
        return request.scored({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def _connect(self) -> tuple[RemoteModel, Faces]:
        with self._connecting:
            if self._connected is None:
                model = ask_about(self._transport, self.target, deadline_seconds=self._deadline_seconds)
                require_expected(model, fingerprint=self._expected_fingerprint, digest=self._expected_digest)
                self._connected = model, self._make_faces(model)
            return self._connected

    def _make_faces(self, model: RemoteModel) -> Faces:
        try:
            config = extraction_config_of(model.fingerprint)
        except (KeyError, TypeError) as error:
            raise BadAnswerError(
                f"the fingerprint of {model.target} does not say how clips are cropped for it "
                f"({type(error).__name__}: {error}): export it again"
            ) from error
        if self._make_detector is None:
            self.warning = "; ".join(_unlike_here(model, config))
            return FacesThere(config, pixels=self._pixels)
        detector = self._make_detector(config)
        self.warning = require_same_preprocessing(
            of_single_crops(model.fingerprint),
            of_single_crops(extraction_fingerprint(config, detector.settings, {})),
            expected_name=f"the {model.target}",
            found_name="this machine",
            accept=self._accept_mismatch,
        )
        return FacesHere(model, detector, config, pixels=self._pixels, keep_crops=self._keep_crops)


def _unlike_here(model: RemoteModel, config: ExtractionConfig) -> Iterator[str]:
    """Yield what the signatures that take frames do otherwise than this machine would."""
    if model.fingerprint.provenance.get(SIGNATURE_RULES, 1) < TRACK_RULES:
        yield (
            f"{model.target} was exported by an older tfdfd: it takes a single doubtful face for evidence, and joins "
            "people across cuts; export it again, or have faces found on this machine"
        )
    if config.detect_every is not None:
        yield (
            f"faces were looked for every {config.detect_every:g} seconds of the clips that the model was trained on; "
            "the server looks in the frames that it is sent, those of the places"
        )


def _open(target: Target, tries: int) -> Transport:
    """Return what speaks to the server; gRPC loads TensorFlow, REST does not."""
    if target.transport == GRPC:
        from tfdfd.serving.grpc_transport import GrpcTransport

        return GrpcTransport(target, tries=tries)
    from tfdfd.serving.rest_transport import RestTransport

    return RestTransport(target, tries=tries)
