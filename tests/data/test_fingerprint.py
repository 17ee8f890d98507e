"""Fingerprints: what differs is refused with both values, or printed."""

import pytest

from tfdfd.clip import TfdfdError
from tfdfd.data.fingerprint import Fingerprint, of_single_crops, require_same_preprocessing

MODEL = Fingerprint({"detector": {"name": "mtcnn", "min_face_share": 0.05}, "margin": 0.3}, {"source": "a"})
STORE = Fingerprint({"detector": {"name": "mtcnn", "min_face_share": 0.1}, "margin": 0.3}, {"source": "b"})


def compare(found, *, accept):
    return require_same_preprocessing(MODEL, found, expected_name="the model", found_name="the store", accept=accept)


def test_provenance_may_differ():
    assert compare(Fingerprint(MODEL.preprocessing, {"source": "elsewhere"}), accept=False) == ""


def test_a_mismatch_is_refused_with_both_values():
    with pytest.raises(TfdfdError, match=r"detector.min_face_share: 0.05 in the model, 0.1 in the store") as error:
        compare(STORE, accept=False)
    assert "margin" not in str(error.value)
    assert "--accept-mismatch" in str(error.value)


def test_accepted_it_is_still_printed():
    assert "0.05 in the model, 0.1 in the store" in compare(STORE, accept=True)


def test_crops_of_other_track_rules_are_crops_alike():
    older, newer = (Fingerprint({**MODEL.preprocessing, "rules": rules}) for rules in (1, 2))
    assert compare_all(of_single_crops(older), of_single_crops(newer)) == ""
    with pytest.raises(TfdfdError, match="rules: 1 in a, 2 in b"):
        compare_all(older, newer)
    with pytest.raises(TfdfdError, match="margin"):
        compare_all(of_single_crops(older), of_single_crops(Fingerprint({**newer.preprocessing, "margin": 0.5})))


def compare_all(one, other):
    return require_same_preprocessing(one, other, expected_name="a", found_name="b", accept=False)


def test_a_fingerprint_survives_its_file(tmp_path):
    path = tmp_path / "fingerprint.json"
    path.write_text(MODEL.to_json())
    assert Fingerprint.from_file(path) == MODEL


def test_a_file_that_is_not_there_is_only_said_not_to_be(tmp_path):
    with pytest.raises(TfdfdError, match=r"gone\.json: no such file") as raised:
        Fingerprint.from_file(tmp_path / "gone.json")
    assert "not made by" not in str(raised.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"preprocessing": {}}'])
def test_a_file_that_is_no_fingerprint_is_named(tmp_path, content):
    path = tmp_path / "fingerprint.json"
    path.write_text(content)
    with pytest.raises(TfdfdError, match=r"fingerprint\.json"):
        Fingerprint.from_file(path)
