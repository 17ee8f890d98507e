"""What a server says of its model: which version answers, how it scores, how its crops were made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tfdfd.clip import TfdfdError
from tfdfd.data.fingerprint import Fingerprint, preprocessing_differences
from tfdfd.serving.remote_errors import BadAnswerError, ModelMissingError, OtherModelError
from tfdfd.serving.remote_target import Target
from tfdfd.serving.signatures import ABOUT, SIGNATURES

if TYPE_CHECKING:
    from tfdfd.models.scoring import ScoringRule

AVAILABLE = "AVAILABLE"


class Transport(Protocol):
    """Asks a server; `tfdfd.serving.grpc_transport` and `tfdfd.serving.rest_transport`."""

    def predict(
        self, target: Target, signature: str, inputs: dict[str, np.ndarray], *, deadline_seconds: float
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a signature."""
        ...

    def versions(self, target: Target, *, deadline_seconds: float) -> dict[int, str]:
        """Return the state of each version of the model."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


@dataclass(frozen=True)
class RemoteModel:
    """A model of a server."""

    target: Target
    """In the version that answered, but where a label was asked for."""
    rule_json: str
    """The scoring rule."""
    fingerprint: Fingerprint
    """How its crops were made."""
    network_digest: str
    """Tells the network from any other, whatever rule scores by it."""
    threshold: float
    """The rule's: scores at or above it are called fake."""

    @property
    def name(self) -> str:
        """Name and version, or label, such as `dfdc/3`."""
        return f"{self.target.model_name}/{self.target.label or self.target.version}"

    @cached_property
    def rule(self) -> ScoringRule:
        """The scoring rule; loads TensorFlow, which a client that leaves the faces to the server does without."""
        from tfdfd.models.scoring import ScoringRule

        try:
            return ScoringRule.from_json(self.rule_json)
        except (ValueError, TypeError) as error:
            raise BadAnswerError(f"{self.target} scores by a rule that this tfdfd does not know: {error}") from error

    def is_fake(self, scores: np.ndarray) -> np.ndarray:
        """Return which clip scores are called fake, bool, same shape, as `ScoringRule.is_fake` does."""
        return np.asarray(scores, np.float32) >= np.float32(self.threshold)


def ask_about(transport: Transport, target: Target, *, deadline_seconds: float) -> RemoteModel:
    """Ask which version is served and what it says of itself.

    Args:
        transport: asks.
        target: the model; without a version and label its newest that is available is taken, and kept to, so that all
            clips of a run are scored by the same model though a newer one appear.
        deadline_seconds: of each question.

    Raises:
        ServerError: if there is no such model, or it does not say what it is.
    """
    if target.label is None:
        target = _in_version(target, transport.versions(target, deadline_seconds=deadline_seconds))
    answer = transport.predict(target, ABOUT, {"ask": np.array([b""], object)}, deadline_seconds=deadline_seconds)
    told = {name: _text(value[0]) for name, value in check_outputs(answer, ABOUT, 1, target).items()}
    try:
        fingerprint = json.loads(told["fingerprint"])
        if "sound" in fingerprint["provenance"]:
            raise TfdfdError(
                f"{target} hears, and this client sends no sound: score with --model on this machine, or send crops, "
                "is_face, waveform and is_sound to it yourself"
            )
        return RemoteModel(
            target,
            told["scoring_rule"],
            Fingerprint(fingerprint["preprocessing"], fingerprint["provenance"]),
            told["network_digest"],
            float(json.loads(told["scoring_rule"])["threshold"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise BadAnswerError(
            f"{target} does not say how its crops were made and scored ({type(error).__name__}: {error}): export it "
            "again with tfdfd"
        ) from error


def _in_version(target: Target, states: dict[int, str]) -> Target:
    available = sorted(version for version, state in states.items() if state == AVAILABLE)
    if target.version in available:
        return target
    if available and target.version is None:
        return target.with_version(available[-1])
    listed = ", ".join(f"{version} ({states[version]})" for version in sorted(states)) or "none"
    raise ModelMissingError(
        f"{target} cannot answer, the server has version {listed}: wait until the one wanted is {AVAILABLE}, or look "
        "at the server's base path and version policy"
    )


def require_expected(model: RemoteModel, *, fingerprint: Fingerprint | None, digest: str | None) -> None:
    """Refuse a model that is not the one expected.

    Args:
        model: what the server has.
        fingerprint: how its crops should have been made; None for anything.
        digest: its network's; None for anything.

    Raises:
        OtherModelError: with both values of what differs.
    """
    if digest is not None and digest != model.network_digest:
        raise OtherModelError(
            f"{model.target} is not the one expected: its network digest is {model.network_digest}, expected was "
            f"{digest}"
        )
    if fingerprint is None:
        return
    if differences := preprocessing_differences(fingerprint.preprocessing, model.fingerprint.preprocessing):
        listed = "\n".join(f"  {name}: expected {a!r}, the server's {b!r}" for name, a, b in differences)
        raise OtherModelError(f"{model.target} was trained on crops made otherwise than expected:\n{listed}")


def check_outputs(answer: dict[str, np.ndarray], signature: str, batch: int, target: Target) -> dict[str, np.ndarray]:
    """Return the outputs that the contract names, each of its type and rank, one row a row of the request.

    Raises:
        BadAnswerError: if one is missing or other than agreed, or a score is no number.
    """
    outputs = SIGNATURES[signature].outputs
    if missing := sorted(set(outputs) - set(answer)):
        raise BadAnswerError(
            f"{target} answers {signature!r} without {', '.join(missing)} (it gives {sorted(answer)}): it was exported "
            "by another version of tfdfd; export it again"
        )
    for name, contract in outputs.items():
        value = answer[name]
        dtype = "string" if value.dtype == object else value.dtype.name
        if dtype != contract.dtype or value.ndim != len(contract.shape) or len(value) != batch:
            raise BadAnswerError(
                f"output {name} of {signature!r} must be {contract.dtype} of {len(contract.shape)} dimensions with "
                f"{batch} rows, {target} gives {dtype} {value.shape}"
            )
        if contract.dtype == "float32" and not np.isfinite(value).all():
            raise BadAnswerError(f"output {name} of {signature!r} of {target} is not a number: the model is broken")
    return {name: answer[name] for name in outputs}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
