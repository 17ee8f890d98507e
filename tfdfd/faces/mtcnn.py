"""MTCNN: faces and five landmarks in frames, as one TensorFlow graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfdfd.clip import Detections
from tfdfd.faces.cpu_features import has_bfloat16
from tfdfd.faces.frame_memory import as_tensor, where_computed
from tfdfd.faces.mtcnn_candidates import WINDOW, Candidates, from_windows, survivors
from tfdfd.faces.mtcnn_networks import MtcnnNetworks
from tfdfd.faces.mtcnn_pyramid import halve_while_far, resize_area
from tfdfd.faces.mtcnn_weights import DEFAULT_FACE_SHARE, DEFAULT_SCALE_FACTOR, DEFAULT_THRESHOLDS, mtcnn_settings

# Overlaps that suppress, as in the mtcnn package.
_SAME_LEVEL_IOU, _ALL_LEVELS_IOU, _REFINED_IOU, _FINAL_OVERLAP = 0.5, 0.7, 0.7, 0.7
# Frames go through in groups whose largest pyramid level has about so many pixels together, and they themselves so
# many: small frames share the cost of starting an op, large ones do not fill the memory.
_PIXELS_AT_ONCE = 1 << 21
_FRAME_PIXELS_AT_ONCE = 6 * 1920 * 1080
# Groups, and levels of a group, that are worked on beside each other: area resizing and the choice of candidates use
# one core, the convolutions of a neighbour the others. More gained nothing and took more memory.
_SIDE_BY_SIDE = 2
# How far below its threshold bfloat16 may put a window that is looked at again. In 117 real frames of 39 clips it put
# 26,254 windows that PNet takes for faces at most 0.39 lower than float32.
_SCREEN_MARGIN = 1.0
# Of so many windows one may be in doubt; in real frames it is one of hundreds.
_WINDOWS_PER_DOUBT = 16
# No face of under 3 pixels is looked for: a frame of few rows is not enlarged until they are many, which for a ribbon
# of 12 x 3000 took gigabytes.
_MAX_SCALE = 4.0
# Smaller levels stay in the cache, where float32 is as fast.
_SCREEN_FROM_PIXELS = 1 << 17

_EXPECTED_THRESHOLD = 0.5
"""Probability that ONet must exceed where a face is expected: over 9 DFDC clips 0.7 lost 11 of 159 faces that a search
finds there, 0.5 one."""


class MTCNN(tf.Module):
    """Face detector: PNet proposes over a pyramid, RNet refines, ONet decides and places five landmarks.

    It is one polymorphic graph: any number of frames of any size, without a retrace. It can be called from
    Python, inside `tf.data` and inside a SavedModel, has only stock ops and no variables, and a batch gives
    what its frames give one by one.

    Example:
        detector = MTCNN()
        for detections in detector(frames):  # uint8 (n, height, width, 3)
            print(detections.boxes_xyxy, detections.confidences)

    Source: arXiv:1604.02878; the weights and the rules of the `mtcnn` package, version 1.0.0.
    """

    def __init__(
        self,
        *,
        min_face_share: float = DEFAULT_FACE_SHARE,
        min_face_size: float | None = None,
        scale_factor: float = DEFAULT_SCALE_FACTOR,
        thresholds: tuple[float, float, float] = DEFAULT_THRESHOLDS,
        by_matmul: bool | None = None,
        screen: bool | None = None,
    ) -> None:
        """Build the detector.

        Args:
            min_face_share: side of the smallest face to look for, as a share of the frame's shorter side,
                in (0, 1].
            min_face_size: the same in pixels, in place of the share; None to use the share.
            scale_factor: size of a pyramid level relative to the one before, in (0, 1).
            thresholds: probability that a candidate must exceed in PNet, RNet and ONet, each in (0, 1).
            by_matmul: resize with matrix products, which run on a GPU, instead of area resizing, which runs on
                the CPU wherever the graph is; None takes matrix products where TensorFlow sees a GPU. The
                faces are the same.
            screen: look through large pyramid levels with PNet in bfloat16 first, and in float32 only where that is
                in doubt; None does so where the CPU computes in bfloat16 and there is no GPU. The faces are the same.

        Raises:
            ValueError: if an argument is out of range.
            TfdfdError: if the `mtcnn` package, whose weights are used, is missing or another.
        """
        super().__init__(name="mtcnn")
        if min_face_size is None and not 0 < min_face_share <= 1:
            raise ValueError(f"min_face_share must be in (0, 1], got {min_face_share}")
        if min_face_size is not None and not min_face_size > 0:
            raise ValueError(f"min_face_size must be above 0 pixels or None, got {min_face_size}")
        if not 0 < scale_factor < 1:
            raise ValueError(f"scale_factor must be in (0, 1), got {scale_factor}")
        if len(thresholds) != 3 or not all(0 < threshold < 1 for threshold in thresholds):
            raise ValueError(f"thresholds must be three numbers in (0, 1), got {thresholds}")
        self._min_face_share = float(min_face_share)
        self._min_face_size = None if min_face_size is None else float(min_face_size)
        self._scale_factor = float(scale_factor)
        self._thresholds = thresholds
        self._by_matmul = bool(tf.config.list_physical_devices("GPU")) if by_matmul is None else by_matmul
        self._screen = (has_bfloat16() and not self._by_matmul) if screen is None else screen
        self._networks = MtcnnNetworks()

    @property
    def settings(self) -> dict[str, Any]:
        """What decides which faces are found, as JSON values: a part of the fingerprint."""
        return mtcnn_settings(
            min_face_share=self._min_face_share,
            min_face_size=self._min_face_size,
            scale_factor=self._scale_factor,
            thresholds=self._thresholds,
        )

    def __call__(self, frames: np.ndarray | tf.Tensor) -> list[Detections]:
        """Find the faces of each frame.

        Args:
            frames: uint8 RGB, shape (n, height, width, 3).

        Returns:
            One Detections a frame, most confident face first.

        Raises:
            ValueError: if frames has another shape or type.
        """
        shape = tuple(frames.shape)
        if len(shape) != 4 or shape[-1] != 3 or frames.dtype != np.uint8:
            raise ValueError(f"frames must be uint8 (n, height, width, 3), got {frames.dtype} {shape}")
        found = self.detect(where_computed(frames) if isinstance(frames, np.ndarray) else frames)
        boxes, landmarks, confidences, rows = (values.numpy() for values in found)
        of_frame = [np.flatnonzero(rows == row) for row in range(len(frames))]
        return [Detections(boxes[faces], landmarks[faces], confidences[faces]) for faces in of_frame]

    def look_near(self, frames: np.ndarray, boxes_xyxy: np.ndarray, rows: np.ndarray) -> list[Detections]:
        """Find faces where they are expected, without searching the frames: RNet and ONet without PNet.

        Args:
            frames: uint8 RGB, shape (n, height, width, 3).
            boxes_xyxy: float32, shape (k, 4), k >= 1: where faces are expected, in pixels.
            rows: int32, shape (k,): the frame of each, in [0, n).

        Returns:
            One Detections a frame, most confident face first: at most one face for each expected box.
        """
        # Faces are cut out of uint8 frames on the host: TensorFlow has no such op on a GPU.
        found = self.refine(as_tensor(frames), tf.constant(boxes_xyxy, tf.float32), tf.constant(rows, tf.int32))
        boxes, landmarks, confidences, found_rows = (values.numpy() for values in found)
        of_frame = [np.flatnonzero(found_rows == row) for row in range(len(frames))]
        return [Detections(boxes[faces], landmarks[faces], confidences[faces]) for faces in of_frame]

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3], tf.uint8),
            tf.TensorSpec([None, 4], tf.float32),
            tf.TensorSpec([None], tf.int32),
        ],
        autograph=False,
    )
    def refine(
        self, frames: tf.Tensor, boxes: tf.Tensor, rows: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Find faces near boxes, in the graph: as `look_near`, with the results of `detect` in any order of frames.

        Where a face is expected less evidence will do: RNet only moves the box, and ONet has a threshold of its own.
        """
        expected = Candidates(boxes, tf.zeros_like(boxes[:, 0]), rows).squared()
        offsets, logits = self._networks.refine(_cut_out(frames, expected, 24))
        candidates = expected.moved(offsets)._replace(logits=logits).squared()
        faces, landmarks = self._finish(frames, candidates, _EXPECTED_THRESHOLD)
        return faces.boxes, landmarks, tf.sigmoid(faces.logits), faces.rows

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)], autograph=False)
    def detect(self, frames: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Find the faces of all frames, in the graph.

        Args:
            frames: uint8 RGB [n, height, width, 3], n 0 or more.

        Returns:
            Boxes float32 [k, 4] as x1, y1, x2, y2 in pixels, which may reach outside the frame; landmarks
            float32 [k, 5, 2] in pixels (left eye, right eye, nose, left and right mouth corner); confidences
            float32 [k]; and the row of each face's frame int32 [k]. By frame, most confident first.
        """
        num_frames, height, width = tf.unstack(tf.shape(frames)[:3])
        first_scale = tf.cast(self._first_scale(tf.minimum(height, width)), tf.float32)
        frame_pixels = tf.maximum(tf.cast(height, tf.float32) * tf.cast(width, tf.float32), 1.0)
        level_pixels = tf.square(first_scale) * frame_pixels
        group_size = tf.minimum(_PIXELS_AT_ONCE / level_pixels, _FRAME_PIXELS_AT_ONCE / frame_pixels)
        group_size = tf.maximum(1, tf.cast(group_size, tf.int32))

        def add_group(
            start: tf.Tensor, faces: Candidates, landmarks: tf.Tensor
        ) -> tuple[tf.Tensor, Candidates, tf.Tensor]:
            group = tf.cast(frames[start : start + group_size], tf.float32)
            # Not every convolution takes an empty batch.
            proposed = self._propose(group)
            candidates = tf.cond(tf.size(proposed.rows) > 0, lambda: self._refine(group, proposed), Candidates.none)
            found, found_landmarks = tf.cond(
                tf.size(candidates.rows) > 0,
                lambda: self._finish(group, candidates, self._thresholds[2]),
                lambda: (Candidates.none(), tf.zeros([0, 5, 2])),
            )
            found = found._replace(rows=found.rows + start)
            return start + group_size, faces.join(found), tf.concat([landmarks, found_landmarks], axis=0)

        _, faces, landmarks = tf.while_loop(
            lambda start, *_: start < num_frames,
            add_group,
            (tf.constant(0), Candidates.none(), tf.zeros([0, 5, 2])),
            shape_invariants=(
                tf.TensorShape([]),
                Candidates.any_number(),
                tf.TensorShape([None, 5, 2]),
            ),
            parallel_iterations=_SIDE_BY_SIDE,
        )
        order = tf.argsort(faces.rows, stable=True)
        faces = faces.take(order)
        return faces.boxes, tf.gather(landmarks, order), tf.sigmoid(faces.logits), faces.rows

    def _first_scale(self, shorter_side: tf.Tensor) -> tf.Tensor:
        """Return the float64 scale at which the smallest face fills one window, at most _MAX_SCALE."""
        if self._min_face_size is not None:
            return tf.constant(min(WINDOW / self._min_face_size, _MAX_SCALE), tf.float64)
        scale = WINDOW / (self._min_face_share * tf.cast(tf.maximum(shorter_side, 1), tf.float64))
        return tf.minimum(scale, _MAX_SCALE)

    def _propose(self, frames: tf.Tensor) -> Candidates:
        """Run PNet over the pyramid of frames, float32 [n, h, w, 3] in 0 to 255."""
        height, width = tf.shape(frames)[1], tf.shape(frames)[2]

        def level_sides(scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            sides = tf.cast(tf.cast(tf.stack([height, width]), tf.float64) * scale, tf.int32)
            return sides[0], sides[1]

        def fills_a_window(scale: tf.Tensor, *_: Any) -> tf.Tensor:
            return tf.minimum(*level_sides(scale)) >= WINDOW

        def add_level(
            scale: tf.Tensor, source: tf.Tensor, candidates: Candidates
        ) -> tuple[tf.Tensor, tf.Tensor, Candidates]:
            level_height, level_width = level_sides(scale)
            source = halve_while_far(source, level_height, level_width)
            level = resize_area(source, level_height, level_width, by_matmul=self._by_matmul)
            found = from_windows(*self._windows_of(level), tf.cast(scale, tf.float32))
            found = found.take(survivors(found, _SAME_LEVEL_IOU))
            return scale * self._scale_factor, source, candidates.join(found)

        *_, candidates = tf.while_loop(
            fills_a_window,
            add_level,
            (self._first_scale(tf.minimum(height, width)), frames, Candidates.none()),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, None, None, 3]),
                Candidates.any_number(),
            ),
            parallel_iterations=_SIDE_BY_SIDE,
        )
        return candidates.take(survivors(candidates, _ALL_LEVELS_IOU)).squared()

    def _windows_of(self, level: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the windows of one level that PNet takes for faces: int32 [k, 3], their offsets and logits."""
        threshold = _logit(self._thresholds[0])

        def look_everywhere() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            offsets, logits = self._networks.propose(level)
            found = tf.where(logits > threshold)
            return tf.cast(found, tf.int32), tf.gather_nd(offsets, found), tf.gather_nd(logits, found)

        def look_again() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            screened = self._networks.screen(level)
            doubtful = tf.cast(tf.where(screened > threshold - _SCREEN_MARGIN), tf.int32)
            # Where most of a picture looks like faces, window by window is slow and takes gigabytes.
            is_few = tf.shape(doubtful)[0] <= tf.size(screened) // _WINDOWS_PER_DOUBT
            return tf.cond(is_few, lambda: look_at(doubtful), look_everywhere)

        def look_at(doubtful: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            # Not every convolution takes an empty batch.
            offsets, logits = tf.cond(
                tf.shape(doubtful)[0] > 0,
                lambda: self._networks.propose_at(level, doubtful),
                lambda: (tf.zeros([0, 4]), tf.zeros([0])),
            )
            found = tf.where(logits > threshold)[:, 0]
            return tf.gather(doubtful, found), tf.gather(offsets, found), tf.gather(logits, found)

        if not self._screen:
            return look_everywhere()
        num_pixels = tf.reduce_prod(tf.shape(level)[:3])
        return tf.cond(num_pixels >= _SCREEN_FROM_PIXELS, look_again, look_everywhere)

    def _refine(self, frames: tf.Tensor, candidates: Candidates) -> Candidates:
        """Run RNet on candidates cut from frames."""
        offsets, logits = self._networks.refine(_cut_out(frames, candidates, 24))
        candidates = candidates.moved(offsets)._replace(logits=logits)
        candidates = candidates.take(candidates.above(_logit(self._thresholds[1])))
        return candidates.take(survivors(candidates, _REFINED_IOU)).squared()

    def _finish(self, frames: tf.Tensor, candidates: Candidates, threshold: float) -> tuple[Candidates, tf.Tensor]:
        """Run ONet on candidates cut from frames: faces and their landmarks [k, 5, 2] in pixels."""
        offsets, landmarks, logits = self._networks.finish(_cut_out(frames, candidates, 48))
        sizes = candidates.boxes[:, 2:] - candidates.boxes[:, :2] + 1.0
        landmarks = candidates.boxes[:, None, :2] + landmarks * sizes[:, None, :] - 1.0
        faces = candidates.moved(offsets)._replace(logits=logits)
        confident = faces.above(_logit(threshold))
        faces, landmarks = faces.take(confident), tf.gather(landmarks, confident)
        left = survivors(faces, _FINAL_OVERLAP, of_smaller=True)
        return faces.take(left), tf.gather(landmarks, left)


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _cut_out(frames: tf.Tensor, candidates: Candidates, side: int) -> tf.Tensor:
    """Return candidates as pictures [k, side, side, 3]; outside the frame they are mid grey."""
    shape = tf.cast(tf.shape(frames)[1:3], tf.float32)
    boxes = tf.reverse(tf.reshape(candidates.boxes, [-1, 2, 2]), axis=[2])
    boxes = tf.reshape(boxes / shape, [-1, 4])
    return tf.image.crop_and_resize(frames, boxes, candidates.rows, [side, side], extrapolation_value=127.5)
