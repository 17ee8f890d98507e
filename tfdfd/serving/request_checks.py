"""What a request must be, checked inside the graph: a server's session takes tensors of any shape.

Assertions are made with the ops themselves: their Python wrappers would look at the declared shapes, find them right,
and leave the check out.
"""

from __future__ import annotations

import tensorflow as tf

MAX_CLIP_BYTES = 2**30
"""Most bytes of pixels that the JPEGs of one clip may unfold to: a header can claim gigabytes."""


def checked_crops(crops: tf.Tensor, is_face: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return crops and mask, or fail with INVALID_ARGUMENT.

    Args:
        crops: must be [batch, places, size, size, 3].
        is_face: must be [batch, places].
        size: side of a crop in pixels.
    """
    shape, mask_shape = _shape(crops), _shape(is_face)
    wrong_rank = _require(tf.equal(tf.size(shape), 5), "crops must be [batch, places, size, size, 3], got shape", shape)
    with tf.control_dependencies([wrong_rank]):
        checks = [
            _require(
                tf.reduce_all(tf.equal(shape[2:], [size, size, 3])),
                f"crops must be {size} x {size} pixels of 3 channels, as the model's, got shape",
                shape,
            ),
            _require(
                _is_same(shape[:2], mask_shape),
                "is_face must be [batch, places], as crops begin, got shapes",
                mask_shape,
                shape,
            ),
        ]
    with tf.control_dependencies(checks):
        return tf.identity(crops), tf.identity(is_face)


def checked_sound(waveform: tf.Tensor, is_sound: tf.Tensor, is_face: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return waveform and mask, or fail with INVALID_ARGUMENT.

    Args:
        waveform, is_sound: must be [batch, samples] both; samples may be 0.
        is_face: [batch, places], checked before.
    """
    shape, mask_shape = _shape(waveform), _shape(is_sound)
    wanted = "waveform must be [batch, samples], a row for each row of faces, got shapes"
    wrong_rank = _require(tf.equal(tf.size(shape), 2), wanted, shape)
    with tf.control_dependencies([wrong_rank]):
        checks = [
            _require(tf.equal(shape[0], tf.shape(is_face)[0]), wanted, shape, tf.shape(is_face)),
            _require(
                _is_same(shape, mask_shape), "is_sound must be as large as waveform, got shapes", mask_shape, shape
            ),
        ]
    with tf.control_dependencies(checks):
        return tf.identity(waveform), tf.identity(is_sound)


def checked_rows(texts: tf.Tensor, name: str, dimensions: str, *, rank: int = 2) -> tf.Tensor:
    """Return strings of so many dimensions, or fail with INVALID_ARGUMENT.

    Args:
        texts: must have `rank` dimensions.
        name: of the input, for the message.
        dimensions: what they are, for the message.
        rank: how many.
    """
    shape = _shape(texts)
    check = _require(tf.equal(tf.size(shape), rank), f"{name} must be {dimensions}, got shape", shape)
    with tf.control_dependencies([check]):
        return tf.identity(texts)


def checked_frames(frames: tf.Tensor) -> tf.Tensor:
    """Return frames [batch, frames, height, width, 3], or fail with INVALID_ARGUMENT."""
    shape = _shape(frames)
    wanted = "frames must be [batch, frames, height, width, 3], height and width at least 1, got shape"
    wrong_rank = _require(tf.equal(tf.size(shape), 5), wanted, shape)
    with tf.control_dependencies([wrong_rank]):
        has_pixels = tf.reduce_all(shape[2:4] > 0) | tf.equal(tf.reduce_prod(shape[:2]), 0)
        check = _require(tf.equal(shape[4], 3) & has_pixels, wanted, shape)
    with tf.control_dependencies([check]):
        return tf.identity(frames)


def decode_faces(faces: tf.Tensor, size: int) -> tf.Tensor:
    """Decode JPEGs of crops, uint8 RGB [n, size, size, 3], or fail with INVALID_ARGUMENT.

    Args:
        faces: string [n], none empty.
        size: side that each must have, in pixels.
    """

    def decode(face: tf.Tensor) -> tf.Tensor:
        shape = tf.image.extract_jpeg_shape(face)
        check = _require(
            _is_same(shape[:2], tf.constant([size, size])),
            f"face_bytes must be JPEGs of {size} x {size} pixels, as the model's crops, got height, width, channels",
            shape,
        )
        with tf.control_dependencies([check]):
            return tf.ensure_shape(_decode(tf.identity(face)), [size, size, 3])

    return tf.map_fn(decode, faces, fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8))


def decode_frames(frames: tf.Tensor) -> tf.Tensor:
    """Decode the JPEGs of one clip's frames, uint8 RGB [n, height, width, 3], or fail with INVALID_ARGUMENT.

    Args:
        frames: string [n], none empty, all of one size; n may be 0.
    """

    def decode_all() -> tf.Tensor:
        shapes = tf.map_fn(tf.image.extract_jpeg_shape, frames, fn_output_signature=tf.TensorSpec([3], tf.int32))
        num_bytes = 3 * tf.reduce_sum(tf.reduce_prod(tf.cast(shapes[:, :2], tf.int64), axis=1))
        checks = [
            _require(
                tf.reduce_all(tf.equal(shapes[:, :2], shapes[:1, :2])),
                "the frames of a clip must have one size, got height, width, channels",
                shapes,
            ),
            _require(
                num_bytes <= MAX_CLIP_BYTES,
                f"the frames of a clip may take {MAX_CLIP_BYTES} bytes as pixels, theirs take",
                num_bytes,
            ),
        ]
        with tf.control_dependencies(checks):
            return tf.map_fn(_decode, tf.identity(frames), fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8))

    return tf.cond(tf.size(frames) > 0, decode_all, lambda: tf.zeros([0, 1, 1, 3], tf.uint8))


def _decode(jpeg: tf.Tensor) -> tf.Tensor:
    # The accurate transform, as DALI and the stores' reader have it.
    return tf.io.decode_jpeg(jpeg, channels=3, dct_method="INTEGER_ACCURATE")


def _shape(tensor: tf.Tensor) -> tf.Tensor:
    # The graph optimiser believes the declared rank and would fold a check of it to true; a placeholder of unknown
    # shape hides it.
    hidden = tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=tf.TensorShape(None))  # pyright: ignore[reportArgumentType]
    return tf.raw_ops.Shape(input=hidden, out_type=tf.int32)


def _is_same(shape: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Return whether two shapes are equal, of other ranks too."""
    return tf.cond(
        tf.equal(tf.size(shape), tf.size(other)), lambda: tf.reduce_all(tf.equal(shape, other)), lambda: False
    )


def _require(condition: tf.Tensor, message: str, *values: tf.Tensor) -> tf.Operation:
    return tf.raw_ops.Assert(condition=condition, data=[tf.constant(message), *values], summarize=60)
