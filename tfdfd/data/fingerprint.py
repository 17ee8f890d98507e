"""What a set of crops was made with, carried from the store through the checkpoint into the SavedModel."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tfdfd.clip import TfdfdError
from tfdfd.faces.config import ALL_SPREADS, SPREAD


@dataclass(frozen=True)
class Fingerprint:
    """How crops were made, in two parts, both JSON-able."""

    preprocessing: dict[str, Any]
    """Detector and settings, margin, alignment, crop size, strip codec, frame rule: a mismatch is refused."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Versions, places, sources: recorded, never compared."""

    def __post_init__(self) -> None:
        json.dumps(asdict(self))

    def to_json(self) -> str:
        """Return both parts as indented JSON with sorted keys."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @staticmethod
    def from_file(path: Path, *, advice: str = "") -> Fingerprint:
        """Read a fingerprint.

        Args:
            path: its file.
            advice: what to do where it is damaged, for the message.

        Raises:
            TfdfdError: if the file is missing or is not a fingerprint.
        """
        try:
            values = json.loads(path.read_text())
            return Fingerprint(values["preprocessing"], values["provenance"])
        except FileNotFoundError as error:
            raise TfdfdError(f"{path}: no such file; it says how crops were made, and is copied with them") from error
        except OSError as error:
            raise TfdfdError(f"the fingerprint {path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise TfdfdError(f"{path} is not a fingerprint: {error}{f'. {advice}' if advice else ''}") from error


WHICH_FACES = ("rules",)
"""Parts of the preprocessing that say which faces are taken of a clip, and nothing of how a crop of one looks."""


def of_single_crops(fingerprint: Fingerprint) -> Fingerprint:
    """Return how single crops look: what a model depends on, whichever frames and faces of a clip it is shown."""
    made = {name: value for name, value in fingerprint.preprocessing.items() if name not in WHICH_FACES}
    if made.get("frame_rule") in ALL_SPREADS:
        made["frame_rule"] = SPREAD
    return Fingerprint(made, fingerprint.provenance)


def preprocessing_differences(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (name, value in one, value in other) wherever they differ; nested dicts give dotted names."""
    differences: list[tuple[str, Any, Any]] = []
    for name in sorted(one.keys() | other.keys()):
        a, b = one.get(name, "(not set)"), other.get(name, "(not set)")
        if isinstance(a, dict) and isinstance(b, dict):
            differences += [(f"{name}.{inner}", x, y) for inner, x, y in preprocessing_differences(a, b)]
        elif a != b:
            differences.append((name, a, b))
    return differences


def require_same_preprocessing(
    expected: Fingerprint,
    found: Fingerprint,
    *,
    expected_name: str,
    found_name: str,
    accept: bool,
    advice: str = "Use a store prepared with the same settings (another --store), or --accept-mismatch",
) -> str:
    """Refuse crops that were made otherwise than expected.

    Args:
        expected: what is asked for.
        found: what is there.
        expected_name: whose the first is, for the message, e.g. `the model saved_models/demo/1`.
        found_name: whose the second is.
        accept: go on all the same (`--accept-mismatch`).
        advice: what to do, for the message.

    Returns:
        A warning that lists both values of everything that differs, or an empty string.

    Raises:
        TfdfdError: if they differ and accept is false.
    """
    differences = preprocessing_differences(expected.preprocessing, found.preprocessing)
    if not differences:
        return ""
    listed = "\n".join(f"  {name}: {a!r} in {expected_name}, {b!r} in {found_name}" for name, a, b in differences)
    message = f"the preprocessing of {found_name} differs from that of {expected_name}:\n{listed}"
    if not accept:
        raise TfdfdError(f"{message}\n{advice}")
    return message
