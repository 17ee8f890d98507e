"""Self-blended fakes: a face differs from itself inside a mask about its landmarks, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from tests.strip_files import smooth_picture
from tfdfd.data.alterations import BLEND, column_slice, used_columns
from tfdfd.data.altering import Altering
from tfdfd.data.self_blend import MASK_SIDE, NUM_MASKS, blend_masks, draw_blends, landmark_views
from tfdfd.faces.alignment import UPRIGHT_XY

SIZE = 112


def test_a_face_that_is_turned_and_larger_is_laid_onto_the_template():
    angle, scale, shift = 0.4, 1.7, np.array([30.0, -12.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    faces = np.stack([UPRIGHT_XY, scale * UPRIGHT_XY @ turn.T + shift])
    for view, face in zip(landmark_views(faces), faces, strict=True):
        np.testing.assert_allclose(face @ view[:, :2].T + view[:, 2], UPRIGHT_XY, atol=1e-3)


def test_masks_are_soft_regions_of_several_kinds_and_always_the_same():
    masks = blend_masks()
    assert masks.shape == (NUM_MASKS, MASK_SIDE, MASK_SIDE, 1)
    assert (masks.max(axis=(1, 2, 3)) > 200).all()
    assert not masks[:, [0, -1]].any(), "no mask reaches the border"
    shares = (masks > 127).mean(axis=(1, 2, 3))
    assert shares.min() < 0.08
    assert shares.max() > 0.25
    assert ((masks > 20) & (masks < 235)).any(axis=(1, 2, 3)).all(), "no edge is hard"
    blend_masks.cache_clear()
    np.testing.assert_array_equal(blend_masks(), masks)


@pytest.fixture(scope="module")
def blended() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces, their blends and the numbers drawn for them; their landmarks are the template's."""
    rng = np.random.default_rng(0)
    faces = np.stack([smooth_picture(rng, SIZE, SIZE) for _ in range(40)])
    table = draw_blends(np.tile(UPRIGHT_XY, (40, 1, 1)), np.ones(40, bool), np.random.default_rng(1), crop_size=SIZE)
    alter = Altering(frozenset(BLEND), SIZE)
    return faces, np.stack([alter(face, row).numpy() for face, row in zip(faces, table, strict=True)]), table


def test_a_blend_differs_from_its_face_on_one_side_of_the_mask_alone(blended):
    faces, blends, table = blended
    corners = np.s_[:, :4, :4]
    changed = abs(blends.astype(int) - faces).mean(axis=(1, 2, 3))
    assert (changed > 0.1).all()
    altered_inside = table[:, column_slice("is_inside")][:, 0] > 0
    assert 5 < altered_inside.sum() < 35
    np.testing.assert_array_equal(blends[corners][altered_inside], faces[corners][altered_inside])


def test_only_what_is_to_be_blended_gets_numbers():
    is_blended = np.arange(10) % 2 == 0
    table = draw_blends(np.tile(UPRIGHT_XY, (10, 1, 1)), is_blended, np.random.default_rng(1), crop_size=SIZE)
    assert used_columns(table) <= set(BLEND)
    assert table[is_blended].any(axis=1).all()
    assert not table[~is_blended].any()
