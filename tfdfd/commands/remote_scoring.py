"""What a command needs to score clips by a server: its flags, and the client that they describe."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import import_tensorflow
from tfdfd.commands.flags import add_config_flags, config_from_flags
from tfdfd.data.frame_source import AUTO
from tfdfd.serving.remote_target import DEADLINE_SECONDS, FACES, GRPC, IN_FLIGHT, LOCAL, PIXELS, TRANSPORTS

if TYPE_CHECKING:
    from tfdfd.extraction import Detector
    from tfdfd.faces.config import ExtractionConfig
    from tfdfd.serving.client import ScoringClient
    from tfdfd.serving.clip_parts import OnWindow


@dataclass(frozen=True)
class ServerConfig:
    """Which server scores, and how it is asked; flags are made from these fields."""

    server: str | None = field(
        default=None,
        metadata={
            "help": "score by the TensorFlow Serving there instead of a model on this machine; its ports are usually "
            "8500 for gRPC and 8501 for REST",
            "metavar": "HOST:PORT",
        },
    )
    server_model: str | None = field(default=None, metadata={"help": "what the server calls the model"})
    server_version: int | None = field(
        default=None, metadata={"help": "version of the model; not set: the newest that the server has loaded"}
    )
    server_label: str | None = field(
        default=None, metadata={"help": "label of a version instead of its number, such as stable or canary"}
    )
    transport: str = field(default=GRPC, metadata={"help": "how to speak to the server", "choices": TRANSPORTS})
    faces: str = field(
        default=LOCAL,
        metadata={
            "help": "where faces are found: on this machine, and crops are sent, or by the server, and frames are sent",
            "choices": FACES,
        },
    )
    pixels: str | None = field(
        default=None,
        metadata={
            "help": "how pixels are sent; raw crops score as tfdfd score does without a server, jpeg ones as a stored "
            "strip does and are ten times smaller; not set: raw for crops over gRPC, else jpeg",
            "choices": PIXELS,
        },
    )
    deadline: float = field(
        default=DEADLINE_SECONDS,
        metadata={"help": "longest that one request may take, all tries together", "metavar": "SECONDS"},
    )
    in_flight: int = field(default=IN_FLIGHT, metadata={"help": "clips whose requests are under way at once, at most"})
    expect_digest: str | None = field(
        default=None,
        metadata={"help": "refuse a model whose network has another digest", "metavar": "HEX"},
    )
    expect_fingerprint: str | None = field(
        default=None,
        metadata={
            "help": "refuse a model that was trained on crops made otherwise than this fingerprint.json says, e.g. "
            "saved_models/NAME/1/assets.extra/fingerprint.json",
            "metavar": "FILE",
        },
    )

    def __post_init__(self) -> None:
        if self.server is not None:
            if self.server_model is None:
                raise ValueError(f"--server {self.server} may serve many models: name one with --server-model")
            return
        given = [
            f"--{one.name.replace('_', '-')}"
            for one in dataclasses.fields(self)
            if getattr(self, one.name) != one.default
        ]
        if given:
            raise ValueError(f"{', '.join(given)}: these are for a server, give --server HOST:PORT or leave them out")


def add_server_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a server to a command."""
    add_config_flags(parser, ServerConfig, title="by a server")


def server_config(arguments: argparse.Namespace) -> ServerConfig | None:
    """Return which server the flags name; None where clips are scored on this machine.

    Raises:
        TfdfdError: if flags of a server are given without one, or it is not said which model.
    """
    config = config_from_flags(ServerConfig, arguments)
    return None if config.server is None else config


def make_client(
    arguments: argparse.Namespace, console: Console, on_window: OnWindow = lambda number, count: None
) -> ScoringClient:
    """Return a client of the server that the flags name; enter it to ask what the server has.

    TensorFlow is imported for gRPC and for finding faces here; with REST and faces found by the server it is not.

    Args:
        arguments: with the flags of `add_server_flags`, and `accept_mismatch`, `decoder` and `plot` where the command
            has them.
        console: where a missing DALI is announced.
        on_window: called after each window of a clip.

    Raises:
        TfdfdError: if the flags name no server, or what they say cannot be.
    """
    config = server_config(arguments)
    if config is None or config.server is None or config.server_model is None:
        raise TfdfdError("no server is named: give --server HOST:PORT and --server-model NAME")
    if config.faces == LOCAL or config.transport == GRPC:
        import_tensorflow(gpus=None if config.faces == LOCAL else 0)
    from tfdfd.commands.local_scoring import scoring_frame_source
    from tfdfd.data.fingerprint import Fingerprint
    from tfdfd.serving.client import ScoringClient

    expected = None if config.expect_fingerprint is None else Fingerprint.from_file(Path(config.expect_fingerprint))
    return ScoringClient(
        config.server,
        config.server_model,
        frame_source=scoring_frame_source(console, getattr(arguments, "decoder", AUTO)),
        make_detector=_make_detector if config.faces == LOCAL else None,
        transport=config.transport,
        version=config.server_version,
        label=config.server_label,
        faces=config.faces,
        pixels=config.pixels,
        deadline_seconds=config.deadline,
        max_in_flight=config.in_flight,
        expected_fingerprint=expected,
        expected_digest=config.expect_digest,
        accept_mismatch=getattr(arguments, "accept_mismatch", False),
        keep_crops=config.faces == LOCAL and bool(getattr(arguments, "plot", None)),
        on_window=on_window,
    )


def _make_detector(config: ExtractionConfig) -> Detector:
    from tfdfd.faces.mtcnn import MTCNN

    return MTCNN(min_face_share=config.min_face_share)
