"""Which packets of a file must be decoded for some of its frames: from a key frame up to each of them, no others."""

from __future__ import annotations

import numpy as np

Run = tuple[int, int]
"""First packet and end, in the order in which the file holds them; decoding can begin at the first."""
MIN_SAVED = 12
"""Packets: to leave out fewer costs more than to decode them, for the decoder's threads must be emptied and filled."""


def runs_to_decode(packet_pts: np.ndarray, is_start: np.ndarray, wanted_pts: np.ndarray) -> list[Run] | None:
    """Return the packets to decode.

    Args:
        packet_pts: int64, shape (n,): when the frame of each packet is shown, in the order of the file.
        is_start: bool, shape (n,): whether a decoder can begin with a packet.
        wanted_pts: int64, shape (m,), m >= 1: when the wanted frames are shown.

    Returns:
        Ascending runs at least MIN_SAVED packets apart; None where a frame is in no packet, or in several that do not
        follow each other, as the two fields of a frame do.
    """
    order = np.argsort(packet_pts, kind="stable")
    ordered = packet_pts[order]
    first = np.searchsorted(ordered, wanted_pts, side="left")
    last = np.searchsorted(ordered, wanted_pts, side="right") - 1
    if (last < first).any() or (order[last] - order[first] != last - first).any():
        return None
    starts = np.flatnonzero(is_start)
    # The file may begin with packets that lean on what was cut away: a decoder passes over them.
    starts = np.union1d(starts, [0])
    runs: list[Run] = []
    by_packet = np.argsort(order[first])
    for packet, last_packet in zip(order[first][by_packet].tolist(), order[last][by_packet].tolist(), strict=True):
        start = int(np.searchsorted(starts, packet, side="right")) - 1
        # Frames shown before the key frame that they follow in the file lean on frames before it as well.
        if start and packet_pts[packet] < packet_pts[starts[start]]:
            start -= 1
        begin, end = int(starts[start]), last_packet + 1
        if runs and begin - runs[-1][1] < MIN_SAVED:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((begin, end))
    return runs
