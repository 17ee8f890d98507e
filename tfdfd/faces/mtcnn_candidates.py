"""Candidates: boxes that may be faces, on their way through the stages of MTCNN, as TensorFlow ops.

The rules are those of the `mtcnn` package, one frame at a time, so that the same faces come out; frames of a
batch never touch each other, because every comparison is within one frame.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import tensorflow as tf

WINDOW = 12
"""Side in pixels of what PNet looks at."""
STRIDE = 2
"""Pixels between two neighbouring windows of PNet."""
_COLUMNS_AT_ONCE = 512


class Candidates(NamedTuple):
    """Boxes of several frames, in any order."""

    boxes: tf.Tensor
    """float32 [k, 4]: x1, y1, x2, y2 in pixels of the frame."""
    logits: tf.Tensor
    """float32 [k]: log odds of a face. Unlike probabilities they do not saturate, so there are no ties."""
    rows: tf.Tensor
    """int32 [k]: the frame, as its row in the batch."""

    @staticmethod
    def none() -> Candidates:
        """Return no candidates."""
        return Candidates(tf.zeros([0, 4]), tf.zeros([0]), tf.zeros([0], tf.int32))

    @staticmethod
    def any_number() -> Any:
        """Return the shapes that hold for every number of candidates, for a loop that gathers them."""
        return Candidates(*(cast(Any, tf.TensorShape(shape)) for shape in ([None, 4], [None], [None])))

    def take(self, chosen: tf.Tensor) -> Candidates:
        """Return those candidates at the int indices [m]."""
        return Candidates(*(tf.gather(values, chosen) for values in self))

    def join(self, others: Candidates) -> Candidates:
        """Return these candidates followed by others."""
        return Candidates(*(tf.concat(pair, axis=0) for pair in zip(self, others, strict=True)))

    def above(self, logit: float) -> tf.Tensor:
        """Return the int32 indices [m] of the candidates above a face logit."""
        return tf.cast(tf.where(self.logits > logit)[:, 0], tf.int32)

    def moved(self, offsets: tf.Tensor) -> Candidates:
        """Return the candidates with corners moved by offsets [k, 4] in shares of their sides."""
        sizes = self.boxes[:, 2:] - self.boxes[:, :2] + 1.0
        return self._replace(boxes=self.boxes + offsets * tf.tile(sizes, [1, 2]))

    def squared(self) -> Candidates:
        """Return the candidates grown to squares around their centres."""
        centres = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        half = tf.reduce_max(self.boxes[:, 2:] - self.boxes[:, :2], axis=1, keepdims=True) / 2
        return self._replace(boxes=tf.concat([centres - half, centres + half], axis=1))


def from_windows(windows: tf.Tensor, offsets: tf.Tensor, logits: tf.Tensor, scale: tf.Tensor) -> Candidates:
    """Turn what PNet says of windows of one level of the pyramid into candidates.

    Args:
        windows: int32 [k, 3]: frame, row and column of the window.
        offsets: float32 [k, 4], corner offsets in shares of the window.
        logits: float32 [k], face logits.
        scale: float32 scalar, pixels of this level for one pixel of the frame.

    Returns:
        The candidates, in pixels of the frame.
    """
    # The package counts the pixels of a window from 1 to 12, so its sides are 11.
    corners = tf.cast(tf.reverse(windows[:, 1:], axis=[1]), tf.float32) * float(STRIDE) + 1.0
    boxes = tf.concat([corners, corners + float(WINDOW - 1)], axis=1)
    return Candidates((boxes + offsets * float(WINDOW - 1)) / scale, logits, windows[:, 0])


def survivors(candidates: Candidates, threshold: float, *, of_smaller: bool = False) -> tf.Tensor:
    """Choose the candidates that no more confident candidate of the same frame overlaps.

    Unlike the usual non-maximum suppression, one that is itself suppressed still suppresses others; this is
    the package's rule, and it needs no loop over candidates.

    Args:
        candidates: k candidates.
        threshold: overlap that suppresses, in [0, 1].
        of_smaller: measure the overlap as a share of the smaller box instead of the union.

    Returns:
        int32 [m], the indices of those left, most confident first.
    """
    order = tf.argsort(candidates.logits, direction="DESCENDING", stable=True)
    boxes, rows = tf.gather(candidates.boxes, order), tf.gather(candidates.rows, order)
    x1, y1, x2, y2 = tf.unstack(boxes, axis=1)
    areas = (x2 - x1) * (y2 - y1)
    total = tf.size(order)

    def judge(start: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Columns in blocks, each against the stronger rows only: thousands of candidates need megabytes.
        end = tf.minimum(start + _COLUMNS_AT_ONCE, total)

        def paired(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return values[:end, None], values[None, start:end]

        width = tf.minimum(*paired(x2)) - tf.maximum(*paired(x1))
        height = tf.minimum(*paired(y2)) - tf.maximum(*paired(y1))
        inter = tf.maximum(width, 0.0) * tf.maximum(height, 0.0)
        whole = tf.minimum(*paired(areas)) if of_smaller else tf.add(*paired(areas)) - inter
        counts = tf.less(*paired(tf.range(total))) & tf.equal(*paired(rows))
        beaten = tf.reduce_any((inter > threshold * whole) & counts, axis=0)
        return end, tf.concat([kept, tf.logical_not(beaten)], axis=0)

    _, kept = tf.while_loop(
        lambda start, _: start < total,
        judge,
        [tf.constant(0), tf.zeros([0], tf.bool)],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])],
    )
    return tf.boolean_mask(order, kept)
