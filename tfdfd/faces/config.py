"""How crops are made: the one place that names the defaults. Imports nothing heavy, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfdfd.clip import FramePlan
from tfdfd.faces.alignment import ALIGNMENTS

SPREAD_BY_COUNT = "nearest the centres of equal segments; of H.264 its reference frames"
SPREAD_BY_TIME = "nearest the centres of segments of equal time; of H.264 its reference frames"
ALL_SPREADS = (SPREAD_BY_COUNT, SPREAD_BY_TIME)
"""How places are spread over a clip, as fingerprints have it. Both take the same frames of clips of constant rate."""
SPREAD = ALL_SPREADS[-1]
"""That of new stores and of scoring. A model sees the same crops by either."""
ALL_TRACK_RULES = (1, 2)
"""What the same detections became: 1 keeps a clip's main track however poor it is, and links through cuts; 2 asks for
evidence, tries quarter turns where there is none, ends tracks at cuts and joins only faces that look alike."""
TRACK_RULES = ALL_TRACK_RULES[-1]
"""Those of new stores and of scoring. A model sees the same crops by either."""


@dataclass(frozen=True)
class ExtractionConfig:
    """How crops are made; flags are made from these fields."""

    places: int = field(default=17, metadata={"help": "frames chosen of each clip, and places of a track"})
    crop_size: int = field(
        default=200, metadata={"help": "side of a stored crop in pixels, divisible by 8", "metavar": "PIXELS"}
    )
    margin: float = field(
        default=0.3,
        metadata={
            "help": "share of the face box's longer side that the square crop adds to it; negative cuts into the face"
        },
    )
    min_face_share: float = field(
        default=1 / 18,
        metadata={"help": "smallest face that is looked for, as a share of the frame's shorter side"},
    )
    alignment: str = field(
        default="none",
        metadata={
            "help": "how a crop lies: as the frame does, or turned so that the face's landmarks stand upright",
            "choices": ALIGNMENTS,
        },
    )
    detect_every: float | None = field(
        default=None,
        metadata={
            "help": "look for faces so often and interpolate between; not set: in the frames of the places",
            "metavar": "SECONDS",
        },
    )

    every_frames: int | None = field(
        default=None,
        metadata={
            "help": "take every so many-th frame, one a place, from the middle of the clip: for sequences, "
            "e.g. 6 with --places 50; not set: places are spread over the clip",
            "metavar": "N",
        },
    )

    spread: str = field(default=SPREAD, metadata={"flag": False})
    """How places are spread, one of ALL_SPREADS: stores go on with the rule that they were made by."""
    track_rules: int = field(default=TRACK_RULES, metadata={"flag": False})
    """How faces become tracks, one of ALL_TRACK_RULES: stores go on with the rules that they were made by."""

    def __post_init__(self) -> None:
        if self.spread not in ALL_SPREADS:
            raise ValueError(f"spread must be one of {list(ALL_SPREADS)}, got {self.spread!r}")
        if self.track_rules not in ALL_TRACK_RULES:
            raise ValueError(f"track_rules must be one of {list(ALL_TRACK_RULES)}, got {self.track_rules}")
        if self.places < 1:
            raise ValueError(f"--places must be at least 1, got {self.places}")
        if self.crop_size < 16 or self.crop_size % 8:
            raise ValueError(f"--crop-size must be divisible by 8 and at least 16, got {self.crop_size}")
        if not -0.9 <= self.margin <= 10:
            raise ValueError(f"--margin must be in [-0.9, 10], got {self.margin}")
        if not 0 < self.min_face_share <= 1:
            raise ValueError(f"--min-face-share must be in (0, 1], got {self.min_face_share}")
        if self.alignment not in ALIGNMENTS:
            raise ValueError(f"--alignment must be one of {list(ALIGNMENTS)}, got {self.alignment!r}")
        if self.detect_every is not None and not 0.01 <= self.detect_every <= 3600:
            raise ValueError(f"--detect-every must be in [0.01, 3600] seconds, got {self.detect_every}")

        if self.every_frames is not None and self.every_frames < 1:
            raise ValueError(f"--every-frames must be at least 1, got {self.every_frames}")

    @property
    def frame_plan(self) -> FramePlan:
        """Which frames of a clip are read."""
        return FramePlan(self.places, self.detect_every, self.every_frames, by_time=self.spread == SPREAD_BY_TIME)
