"""MTCNN on pictures with a known face, against the package whose weights it uses."""

import json

import numpy as np
import pytest
import tensorflow as tf
from skimage import data

from tfdfd.faces.boxes import iou
from tfdfd.faces.mtcnn import MTCNN
from tfdfd.faces.mtcnn_candidates import Candidates, survivors
from tfdfd.faces.mtcnn_networks import MtcnnNetworks
from tfdfd.faces.mtcnn_pyramid import halve_while_far, resize_area

PACKAGE_SETTINGS = {"min_face_size": 20, "thresholds": (0.6, 0.7, 0.8)}


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """A portrait, 512 x 512, with one face of about 85 x 110 pixels."""
    return data.astronaut()


@pytest.fixture(scope="module")
def detector() -> MTCNN:
    return MTCNN()


@pytest.fixture
def without_graphs():
    """Run graphs op by op: a test of several settings need not build a graph for each."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def on_grey(picture: np.ndarray, height: int, width: int, top: int, left: int) -> np.ndarray:
    frame = np.full((height, width, 3), 127, np.uint8)
    frame[top : top + len(picture), left : left + picture.shape[1]] = picture
    return frame


def test_the_portrait_has_one_face_where_the_package_finds_it(astronaut):
    from mtcnn import MTCNN as PackageMTCNN

    (expected,) = PackageMTCNN().detect_faces(astronaut)
    (found,) = MTCNN(**PACKAGE_SETTINGS)(astronaut[None])
    x, y, width, height = expected["box"]
    assert len(found) == 1
    assert iou(found.boxes_xyxy, np.array([[x, y, x + width, y + height]])).item() > 0.95
    assert found.confidences[0] == pytest.approx(expected["confidence"], abs=1e-3)
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    points = np.array([expected["keypoints"][name] for name in names])
    assert np.abs(found.landmarks_xy[0] - points).max() < 1


def test_a_look_near_a_face_finds_it_as_the_search_does_and_elsewhere_nothing(detector, astronaut):
    empty = np.full_like(astronaut, 127)
    frames = np.stack([astronaut, empty, astronaut, astronaut])
    (searched,) = detector(astronaut[None])
    shifted = searched.boxes_xyxy[0] + np.array([12, -8, 4, -14], np.float32)
    elsewhere = np.array([10, 380, 110, 480], np.float32)
    found = detector.look_near(frames, np.stack([shifted, shifted, elsewhere]), np.array([0, 1, 2], np.int32))
    assert [len(faces) for faces in found] == [1, 0, 0, 0]
    assert iou(found[0].boxes_xyxy, searched.boxes_xyxy).item() > 0.85
    assert np.abs(found[0].landmarks_xy - searched.landmarks_xy).max() < 5
    assert found[0].confidences[0] > 0.95
    nothing = detector.look_near(frames[1:3], elsewhere[None], np.array([1], np.int32))
    assert [len(faces) for faces in nothing] == [0, 0]


def test_a_batch_gives_what_its_frames_give_alone(detector, astronaut):
    face = astronaut[20:220, 120:320]
    empty = np.full((300, 420, 3), 127, np.uint8)
    frames = np.stack(
        [on_grey(face, 300, 420, 10, 20), empty, on_grey(face, 300, 420, 90, 200), on_grey(face, 300, 420, 50, 90)]
    )
    together = detector(frames)
    assert [len(found) for found in together] == [1, 0, 1, 1]
    for frame, found in zip(frames, together, strict=True):
        (alone,) = detector(frame[None])
        np.testing.assert_allclose(found.boxes_xyxy, alone.boxes_xyxy, atol=1e-3)
        np.testing.assert_allclose(found.landmarks_xy, alone.landmarks_xy, atol=1e-3)
        np.testing.assert_allclose(found.confidences, alone.confidences, atol=1e-3)


@pytest.mark.usefixtures("without_graphs")
def test_a_batch_larger_than_a_group_gives_every_frame_its_own_faces(astronaut):
    detector = MTCNN(min_face_size=12)  # at which three frames of this size fill a group
    face = astronaut[20:220, 120:320]
    frames = np.stack([on_grey(face, 600, 900, 20, 60 * i) for i in range(5)])
    lefts = [found.boxes_xyxy[0, 0] for found in detector(frames)]
    np.testing.assert_allclose(np.diff(lefts), 60, atol=4)


def test_one_graph_serves_every_batch_and_frame_size(detector, astronaut):
    detector(astronaut[None])
    detector(astronaut[None, :333, :401])
    detector(np.repeat(astronaut[None], 2, axis=0))
    assert detector.detect.experimental_get_tracing_count() == 1


@pytest.mark.usefixtures("without_graphs")
def test_matrix_products_find_the_same_faces(detector, astronaut):
    (by_matmul,) = MTCNN(by_matmul=True)(astronaut[None])
    (by_area,) = detector(astronaut[None])
    assert iou(by_matmul.boxes_xyxy, by_area.boxes_xyxy).diagonal().min() > 0.98


@pytest.mark.parametrize(
    "shape",
    [(0, 100, 100, 3), (2, 4, 4, 3), (1, 1, 300, 3), (2, 200, 300, 3), (1, 1, 4000, 3), (1, 12, 3000, 3)],
)
def test_no_frames_tiny_frames_and_plain_frames_have_no_faces(detector, shape):
    found = detector(np.full(shape, 90, np.uint8))
    assert [len(detections) for detections in found] == [0] * shape[0]


def test_noise_is_no_error(detector):
    noise = np.random.default_rng(4).integers(0, 256, (2, 240, 320, 3), np.uint8)
    assert len(detector(noise)) == 2


@pytest.mark.usefixtures("without_graphs")
def test_the_share_follows_the_frame_and_the_size_does_not(astronaut):
    small = tf.cast(tf.image.resize(astronaut, [128, 128], method="area"), tf.uint8).numpy()  # a face of 27
    assert len(MTCNN(min_face_share=1 / 18)(small[None])[0]) == 1
    assert len(MTCNN(min_face_share=0.5)(small[None])[0]) == 0
    assert len(MTCNN(min_face_size=20)(small[None])[0]) == 1
    assert len(MTCNN(min_face_size=60)(small[None])[0]) == 0


@pytest.mark.usefixtures("without_graphs")
def test_thresholds_and_scale_factor_change_what_is_found(detector, astronaut):
    (usual,) = detector(astronaut[None])
    for stage in range(3):
        thresholds = [0.6, 0.7, 0.7]
        thresholds[stage] = 0.999999
        assert len(MTCNN(thresholds=tuple(thresholds))(astronaut[None])[0]) < len(usual)
    (coarse,) = MTCNN(scale_factor=0.6)(astronaut[None])
    assert not np.array_equal(coarse.boxes_xyxy, usual.boxes_xyxy)


def test_settings_are_json_and_tell_settings_apart():
    settings = [MTCNN(**kwargs).settings for kwargs in ({}, {"min_face_size": 20}, {"scale_factor": 0.6})]
    assert len({json.dumps(each, sort_keys=True) for each in settings}) == 3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"min_face_share": 0}, "min_face_share must be in"),
        ({"min_face_size": -1}, "min_face_size must be above 0"),
        ({"scale_factor": 1.0}, "scale_factor must be in"),
        ({"thresholds": (0.6, 0.7)}, "thresholds must be three numbers"),
    ],
)
def test_settings_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MTCNN(**kwargs)


def test_frames_of_another_type_are_refused(detector):
    with pytest.raises(ValueError, match="frames must be uint8"):
        detector(np.zeros((1, 50, 50, 3), np.float32))


def test_it_works_inside_tf_data(detector, astronaut):
    dataset = tf.data.Dataset.from_tensors(astronaut[None]).map(detector.detect)
    boxes, landmarks, confidences, rows = next(iter(dataset))
    (expected,) = detector(astronaut[None])
    np.testing.assert_allclose(boxes, expected.boxes_xyxy, atol=1e-3)
    np.testing.assert_allclose(landmarks, expected.landmarks_xy, atol=1e-3)
    np.testing.assert_allclose(confidences, expected.confidences, atol=1e-3)
    assert rows.numpy().tolist() == [0] * len(expected)


def test_a_saved_model_finds_the_same_faces(detector, astronaut, tmp_path):
    tf.saved_model.save(detector, str(tmp_path / "detector"))
    boxes, *_ = tf.saved_model.load(str(tmp_path / "detector")).detect(astronaut[None])
    np.testing.assert_allclose(boxes, detector(astronaut[None])[0].boxes_xyxy, atol=1e-3)


def test_the_networks_are_those_of_the_package():
    from mtcnn.stages import StageONet, StagePNet, StageRNet

    networks = MtcnnNetworks()
    rng = np.random.default_rng(3)
    for stage, side, ours in (
        (StagePNet, 61, networks.propose),
        (StageRNet, 24, networks.refine),
        (StageONet, 48, networks.finish),
    ):
        pictures = rng.uniform(0, 255, (4, side, side, 3)).astype(np.float32)
        expected = [output.numpy() for output in stage().model((pictures - 127.5) / 128)]
        offsets, *landmarks, logits = (output.numpy() for output in ours(pictures))
        np.testing.assert_allclose(offsets, expected[0], atol=1e-5)
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected[-1][..., 1], atol=1e-5)
        if landmarks:
            np.testing.assert_allclose(landmarks[0].transpose(0, 2, 1).reshape(4, 10), expected[1], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(12, 12), (13, 12), (12, 13), (30, 41), (41, 30), (31, 33)])
def test_a_window_looked_at_alone_is_what_it_is_among_all(height, width):
    networks = MtcnnNetworks()
    pictures = np.random.default_rng(1).uniform(0, 255, (2, height, width, 3)).astype(np.float32)
    offsets, logits = networks.propose(pictures)
    everywhere = np.argwhere(np.ones(logits.shape)).astype(np.int32)
    offsets_at, logits_at = networks.propose_at(pictures, everywhere)
    np.testing.assert_allclose(offsets_at, np.reshape(offsets, (-1, 4)), atol=1e-5)
    np.testing.assert_allclose(logits_at, np.ravel(logits), atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (61, 47)])
def test_the_screen_is_near_what_it_stands_for(astronaut, height, width):
    networks = MtcnnNetworks()
    pictures = tf.image.resize(astronaut[None], (height, width), method="area")
    logits = networks.propose(pictures)[1].numpy()
    screened = networks.screen(pictures).numpy()
    assert screened.shape == logits.shape
    is_near_threshold = logits > -1
    assert is_near_threshold.any()
    assert np.abs(screened - logits)[is_near_threshold].max() < 0.5


@pytest.mark.parametrize(("height", "width"), [(1024, 1024), (903, 1101)])
def test_with_and_without_a_screen_the_faces_are_the_same(astronaut, height, width):
    frames = np.stack([on_grey(astronaut, height, width, 300, 400), np.full((height, width, 3), 127, np.uint8)])
    screened, plain = (MTCNN(min_face_size=20, screen=screen)(frames) for screen in (True, False))
    assert [len(found) for found in screened] == [len(found) for found in plain] == [1, 0]
    np.testing.assert_allclose(screened[0].boxes_xyxy, plain[0].boxes_xyxy, atol=1e-3)
    np.testing.assert_allclose(screened[0].landmarks_xy, plain[0].landmarks_xy, atol=1e-3)


def test_several_frames_are_screened_together_each_for_its_own_faces(astronaut):
    face = astronaut[20:220, 120:320]
    empty = np.full((400, 500, 3), 127, np.uint8)
    frames = np.stack([on_grey(face, 400, 500, 10, 20), empty, on_grey(face, 400, 500, 190, 290), empty])
    screened, plain = (MTCNN(min_face_size=20, screen=screen)(frames) for screen in (True, False))
    assert [len(found) for found in screened] == [1, 0, 1, 0]
    for one, other in zip(screened, plain, strict=True):
        np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, atol=1e-3)


def test_a_picture_full_of_doubt_is_looked_at_everywhere(astronaut, monkeypatch):
    (expected,) = MTCNN(min_face_size=20, screen=False)(astronaut[None])
    num_windows = []

    def at(networks, pictures, windows):
        tf.py_function(lambda rows: num_windows.append(len(rows)), [windows], [])
        return tf.zeros([tf.shape(windows)[0], 4]), tf.zeros([tf.shape(windows)[0]])

    monkeypatch.setattr(MtcnnNetworks, "propose_at", at)
    monkeypatch.setattr(MtcnnNetworks, "screen", lambda networks, pictures: networks.propose(pictures)[1] + 1e3)
    monkeypatch.setattr("tfdfd.faces.mtcnn._SCREEN_FROM_PIXELS", 1)
    (found,) = MTCNN(min_face_size=20, screen=True)(astronaut[None])
    assert not num_windows
    np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(40, 60), (37, 91), (80, 120), (13, 15), (100, 130)])
def test_resizing_by_matrix_products_is_area_resizing(height, width):
    pictures = tf.constant(np.random.default_rng(1).uniform(0, 255, (2, 80, 120, 3)), tf.float32)
    by_matmul = resize_area(pictures, tf.constant(height), tf.constant(width), by_matmul=True)
    by_area = resize_area(pictures, tf.constant(height), tf.constant(width), by_matmul=False)
    np.testing.assert_allclose(by_matmul, by_area, atol=0.01)


def test_halving_stops_below_eight_times_the_wanted_size():
    pictures = tf.zeros([1, 512, 384, 3])
    assert halve_while_far(pictures, tf.constant(16), tf.constant(12)).shape == (1, 64, 48, 3)
    assert halve_while_far(pictures, tf.constant(65), tf.constant(48)).shape == (1, 512, 384, 3)


def test_a_suppressed_candidate_still_suppresses_but_not_in_another_frame():
    boxes = tf.constant([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10], [8, 0, 18, 10]], tf.float32)
    chain = Candidates(boxes, tf.constant([3.0, 2.0, 1.0, 0.0]), tf.constant([0, 0, 0, 1]))
    assert survivors(chain, 0.3).numpy().tolist() == [0, 3]
    assert survivors(chain, 0.5).numpy().tolist() == [0, 1, 2, 3]
    assert survivors(chain, 0.5, of_smaller=True).numpy().tolist() == [0, 3]


def test_thousands_of_candidates_are_compared_in_blocks_without_a_difference():
    corners = np.random.default_rng(2).uniform(0, 400, (2500, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + 20], axis=1)
    logits = np.arange(2500, 0, -1, dtype=np.float32)
    beaten = np.triu(iou(boxes, boxes) > 0.5, k=1).any(axis=0)
    kept = survivors(Candidates(tf.constant(boxes), tf.constant(logits), tf.zeros([2500], tf.int32)), 0.5)
    np.testing.assert_array_equal(kept, np.flatnonzero(~beaten))


@pytest.mark.clips
def test_a_real_clip_gives_one_track_of_its_person(detector, test_data):
    import av

    from tfdfd.faces.tracking import link_tracks

    path = next((test_data / "clips" / "ffpp" / "original_sequences").rglob("*.mp4"))
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    frames = np.stack(decoded[10 :: len(decoded) // 5][:5])
    tracks = link_tracks(detector(frames), np.arange(5), 5, frames.shape[1:3])
    assert tracks[0].num_faces == 5
    assert tracks[0].confidences.min() > 0.9
