"""From the frames of one clip to its people and their crops, as TensorFlow ops."""

from __future__ import annotations

import tensorflow as tf

from tfdfd.faces.alignment import ALIGNMENTS
from tfdfd.faces.appearance import describe
from tfdfd.faces.crops import crop_faces
from tfdfd.faces.mtcnn import MTCNN
from tfdfd.faces.tracking_graph import FoundFaces, Tracks, link_tracks


class PeopleFinder:
    """Finds the people of a clip in whatever graph calls it, as `tfdfd.extraction.faces_of_frames` does.

    Every frame is searched; a model whose crops came from looks at every so many seconds gets the boxes of a search.
    Frames are taken as they lie: quarter turns are not tried.

    Args:
        detector: finds the faces.
        crop_size: side of a crop in pixels.
        margin: share of a box's longer side that is added to it, above -1.
        alignment: one of ALIGNMENTS.

    Raises:
        ValueError: for another alignment.
    """

    def __init__(self, detector: MTCNN, *, crop_size: int, margin: float, alignment: str) -> None:
        if alignment not in ALIGNMENTS:
            raise ValueError(f"alignment must be one of {list(ALIGNMENTS)}, got {alignment!r}")
        self._detector = detector
        self._crop_size = crop_size
        self._margin = margin
        self._is_aligned = alignment == "landmarks"

    def __call__(self, frames: tf.Tensor) -> tuple[Tracks, tf.Tensor]:
        """Find the people of one clip.

        Args:
            frames: uint8 RGB [n, height, width, 3], upright, in playing order; n may be 0.

        Returns:
            The tracks, each with n frames, and the crops of all their faces, uint8 RGB [k, crop_size, crop_size, 3],
            track by track, each in playing order.
        """
        faces = FoundFaces(*self._detector.detect(frames))
        looks, shots = describe(frames, faces.boxes, faces.rows)
        tracks = link_tracks(faces, looks, shots, tf.shape(frames)[1:3])
        where = tf.where(tracks.is_face)
        crops = crop_faces(
            frames,
            tf.gather_nd(tracks.boxes, where),
            tf.cast(where[:, 1], tf.int32),
            self._crop_size,
            self._margin,
            tf.gather_nd(tracks.landmarks, where) if self._is_aligned else None,
        )
        return tracks, crops
