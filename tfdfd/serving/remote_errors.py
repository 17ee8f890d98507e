"""What can go wrong between us and a TensorFlow Serving: each with what was asked of whom, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from tfdfd.clip import TfdfdError
from tfdfd.serving.remote_target import Target


class ServerError(TfdfdError):
    """The server cannot be used; no clip is at fault."""


class ServerUnreachableError(ServerError):
    """Nobody answers at the address, or the connection breaks, whenever it is tried."""


class ServerBusyError(ServerError):
    """The server answers that it cannot take requests now, whenever it is tried."""


class DeadlinePassedError(ServerError):
    """The answer did not come in time."""


class ModelMissingError(ServerError):
    """The server does not serve that model, version or label, or not yet."""


class WrongSignatureError(ServerError):
    """The model has no such signature, or another of that name."""


class TooLargeError(ServerError):
    """A request or an answer is larger than one side takes."""


class RefusedError(ServerError):
    """The server refuses the request."""


class BadAnswerError(ServerError):
    """What came back is no answer to the question."""


class OtherModelError(ServerError):
    """The model is not the one that was expected."""


_OTHER_INPUTS = ("input size does not match", "alias not found in signature", "does not have named input")


class Refusal(NamedTuple):
    """How a server refused a request."""

    code: str
    """gRPC's name of the status, e.g. `NOT_FOUND`; REST's numbers have such names too."""
    message: str
    """The server's own words."""


def error_of_refusal(refusal: Refusal, target: Target, signature: str) -> ServerError:
    """Return what to raise where a server refused a request.

    Args:
        refusal: what it said.
        target: the model that was asked.
        signature: of the request; empty for a question about the model's versions.

    Source: messages and codes of tensorflow_serving/servables/tensorflow/predict_util.cc, core/basic_manager.cc,
    model_servers/server_core.cc and http_rest_api_handler.cc.
    """
    code, words = (
        refusal.code,
        refusal.message.strip().splitlines()[0][:500] if refusal.message.strip() else "no reason",
    )
    said = f"The server says: {words}"
    if any(part in words for part in _OTHER_INPUTS):
        return WrongSignatureError(
            f"signature {signature!r} of {target} takes other inputs than this tfdfd sends: it was exported by another "
            f"version of tfdfd; export it again. {said}"
        )
    if "ignature" in words and "not found" in words:
        return WrongSignatureError(
            f"{target} has no signature {signature!r}: it was exported by an older tfdfd, or it does not know how "
            f"clips are cropped for it (then only faces found on this machine can be scored); export it again. {said}"
        )
    if code == "NOT_FOUND" or "servable version label" in words:
        return ModelMissingError(
            f"there is no {target}, or not any more: look at its model_config_list, base path and version policy. "
            f"{said}"
        )
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in words:
        return TooLargeError(
            f"a message to or from {target} is too large: send JPEG instead of raw pixels, or have what stands before "
            f"the server take larger messages. {said}"
        )
    if code == "DEADLINE_EXCEEDED":
        return DeadlinePassedError(f"{target} did not answer in time: allow more, or send fewer clips at once. {said}")
    if code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"):
        return ServerBusyError(
            f"{target} cannot take requests now, after several tries: send fewer clips at once, or let its batching "
            f"queue hold more. {said}"
        )
    if code == "UNIMPLEMENTED":
        return ServerError(f"{target.server} is no TensorFlow Serving, or does not know what it is asked. {said}")
    if "maximum input batch size" in words:
        return TooLargeError(
            f"the batches of {target} hold fewer people than a request of this client has at most, 8: raise "
            f"max_batch_size in its batching parameters. {said}"
        )
    return RefusedError(f"{target} refuses {signature or 'the question'} ({code}). {said}")
