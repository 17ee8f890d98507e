"""The rules to choose from: face probabilities to the score of a track, its tracks to the score of a clip."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

EPSILON = 2.0**-20
"""Probabilities are kept so far from 0 and 1 where logarithms are taken: one face must not decide alone. A power of
two, for float32 knows 1 less it."""
TRIMMED_SHARE = 0.2
"""Share of the faces that the trimmed mean leaves out at each end, rounded down."""
SURE_FAKE, SURE_REAL = 0.8, 0.2
"""Above and below these, the confident rule takes a face for surely fake or surely real."""
MIN_SURE_FAKES, MIN_SHARE_FAKE, MIN_SHARE_REAL = 11, 1 / 2.5, 0.9
"""More sure faces than these make the confident rule look at them alone."""

Aggregation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(probabilities float32 [n, places], is_face bool [n, places]) -> score float32 [n], in a graph or eagerly; what a row
without a face gives is not used."""


def _mean_where(values: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    weights = tf.cast(chosen, values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights, -1), tf.reduce_sum(weights, -1))


def _geometric(probabilities: tf.Tensor, is_face: tf.Tensor) -> tf.Tensor:
    return tf.exp(_mean_where(tf.math.log(tf.maximum(probabilities, EPSILON)), is_face))


def _logit_mean(probabilities: tf.Tensor, is_face: tf.Tensor) -> tf.Tensor:
    inside = tf.clip_by_value(probabilities, EPSILON, 1 - EPSILON)
    return tf.sigmoid(_mean_where(tf.math.log(inside) - tf.math.log1p(-inside), is_face))


def _ascending(probabilities: tf.Tensor, is_face: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the faces of each row in ascending order, what is no face behind them, and how many faces it has."""
    behind = tf.where(is_face, probabilities, tf.fill(tf.shape(probabilities), 2.0))
    return tf.sort(behind, axis=-1), tf.reduce_sum(tf.cast(is_face, tf.int32), -1, keepdims=True)


def _trimmed_mean(probabilities: tf.Tensor, is_face: tf.Tensor) -> tf.Tensor:
    ranked, counts = _ascending(probabilities, is_face)
    # One hundredth of a face more, as 0.2 of 5 faces must be 1 in float32 too.
    cut = tf.cast(tf.floor(TRIMMED_SHARE * tf.cast(counts, tf.float32) + 0.01), tf.int32)
    ranks = tf.range(tf.shape(ranked)[-1])[None]
    return _mean_where(ranked, (ranks >= cut) & (ranks < counts - cut))


def _median(probabilities: tf.Tensor, is_face: tf.Tensor) -> tf.Tensor:
    ranked, counts = _ascending(probabilities, is_face)
    ranks = tf.range(tf.shape(ranked)[-1])[None]
    return _mean_where(ranked, (ranks >= (counts - 1) // 2) & (ranks <= counts // 2))


def _confident(probabilities: tf.Tensor, is_face: tf.Tensor) -> tf.Tensor:
    fake, real = is_face & (probabilities > SURE_FAKE), is_face & (probabilities < SURE_REAL)
    counts, fakes, reals = (tf.reduce_sum(tf.cast(mask, tf.float32), -1) for mask in (is_face, fake, real))
    is_fake = (fakes > tf.floor(counts * MIN_SHARE_FAKE)) & (fakes > MIN_SURE_FAKES)
    is_real = reals > counts * MIN_SHARE_REAL
    otherwise = tf.where(is_real, _mean_where(probabilities, real), _mean_where(probabilities, is_face))
    return tf.where(is_fake, _mean_where(probabilities, fake), otherwise)


AGGREGATIONS: dict[str, Aggregation] = {
    "mean": _mean_where,
    "geometric": _geometric,
    "median": _median,
    "confident": _confident,
    "trimmed_mean": _trimmed_mean,
    "logit_mean": _logit_mean,
}
"""Over the places of a track.

`geometric` is the geometric mean of the probabilities; `median` the middle one, or the mean of the two in the middle;
`trimmed_mean` leaves out a fifth of the faces at each end; `logit_mean` is the sigmoid of the mean logit. `confident`
is the rule of the DFDC winner (Seferbekov, selimsef/dfdc_deepfake_challenge, kernel_utils.py), taken as published:
where more than 11 and more than 1 / 2.5 of the faces are above 0.8, their mean; else, where more than 0.9 of the faces
are below 0.2, their mean; else the mean of all. It was made for 32 frames: of 17, twelve must be above 0.8."""


def _main(scores: tf.Tensor, clip_rows: tf.Tensor, num_clips: tf.Tensor | int) -> tf.Tensor:
    num_tracks = tf.size(clip_rows)
    firsts = tf.math.unsorted_segment_min(tf.range(num_tracks), clip_rows, num_clips)
    # A clip without a track has no first one.
    return tf.gather(tf.pad(scores, [[0, 1]]), tf.minimum(firsts, num_tracks))


TRACK_RULES: dict[str, Callable[[tf.Tensor, tf.Tensor, tf.Tensor | int], tf.Tensor]] = {
    "mean": tf.math.unsorted_segment_mean,
    "max": tf.math.unsorted_segment_max,
    "main": _main,
}
"""Over the tracks of each clip, in a graph or eagerly: (scores float32 [n], clip of each int32 [n], a clip's main track
before its others, clips in all) -> score of each clip [clips]; what a clip without a track gives is not used. `mean`
weighs each person alike."""
