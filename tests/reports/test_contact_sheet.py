"""The contact sheet: what it shows, how much of it, and that it needs nothing from outside."""

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from tests.pages import Page
from tests.stores import CROP_SIZE, frames_of, new_store, ok_clip, painted, track_of, write_clips
from tfdfd.clip import FAILED, NO_FACE, OK, PARTIAL, ClipFaces, TfdfdError
from tfdfd.commands.console import run_command
from tfdfd.commands.prepare import main as prepare
from tfdfd.data.ready_crops import READY_MADE
from tfdfd.faces.alignment import UPRIGHT_XY
from tfdfd.reports.contact_sheet import ROWS_A_TABLE, write_contact_sheet


def page_of(store, tmp_path, **options):
    path = tmp_path / "sheet.html"
    size = write_contact_sheet(store, path, **options)
    assert size == path.stat().st_size
    return Page(path.read_text())


def test_every_clip_stands_in_the_section_of_its_status_and_label(tmp_path):
    store = new_store(tmp_path / "store")
    clips = [
        ok_clip("r"),
        ok_clip("f"),
        ok_clip("u"),
        ClipFaces("n", NO_FACE, "nobody there", frames=frames_of(warnings=("damaged",))),
        ClipFaces("x", FAILED, "cut off"),
    ]
    write_clips(store, clips, [("r", 0, ""), ("f", 1, "gone"), ("n", 0, ""), ("x", 1, "")])
    page = page_of(store, tmp_path)
    assert [page.clips(f"ok-{label}") for label in ("real", "fake", "unlabelled")] == [["r"], ["f"], ["u"]]
    cells = [cell["text"] for cell in page.within(page.section("no_face"), "td")]
    assert cells == ["n", "real", "nobody there; warning: damaged", "pyav", "640 x 480"]
    cells = [cell["text"] for cell in page.within(page.section("failed"), "td")]
    assert cells == ["x", "fake", "cut off", "", ""]
    assert "its original is not in the store" in page.section("pairs")["text"]


def test_the_figures_at_the_top_count_what_is_there(tmp_path):
    store = new_store(tmp_path / "store")
    half = track_of((True, False, False))
    clips = [
        ok_clip("r1", track_of(), half),
        ok_clip("r2", half, frames=frames_of(warnings=("HDR",))),
        ok_clip("f", track_of()),
        ClipFaces("x", FAILED, "cut off"),
        dataclasses.replace(ok_clip("p", half), status=PARTIAL, reason="2 of 3 chosen frames could not be read"),
    ]
    write_clips(store, clips, [("r1", 0, ""), ("r2", 0, ""), ("f", 1, ""), ("x", 1, ""), ("p", 1, "")])
    page = page_of(store, tmp_path)
    (table,) = page.find("table", id="counts")
    rows = [[c["text"] for c in page.elements if c["tag"] in ("th", "td") and row in c["in"]] for row in page.find("tr")
            if table in row["in"]]  # fmt: skip
    assert [row[0] for row in rows] == ["label", "real", "fake", "all"]
    # clips, ok, partial, no face, failed, tracks, faces, faces a clip, empty places, with warnings
    assert rows[1][1:] == ["2", "2", "0", "0", "0", "3", "5", "2.5", "44.4 %", "1"]
    assert rows[2][1:] == ["3", "1", "1", "0", "1", "2", "4", "2.0", "33.3 %", "0"]
    assert rows[3][1:] == ["5", "3", "1", "0", "1", "5", "9", "2.2", "40.0 %", "1"]
    assert "2 of 3 chosen frames could not be read" in page.section(PARTIAL)["text"]
    assert "warning: HDR" in page.section("ok-real")["text"]


def test_warnings_are_counted_whatever_numbers_are_in_them(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip(str(n), frames=frames_of(warnings=(f"it ends at {n}.5 s",))) for n in range(3)])
    page = page_of(store, tmp_path)
    cells = [cell["text"] for cell in page.find("td") if not any(e["tag"] == "section" for e in cell["in"])]
    assert cells[-2:] == ["3", "it ends at … s"]


def test_a_track_shows_all_its_places_in_order_and_marks_the_empty_ones(tmp_path):
    store = new_store(tmp_path / "store")
    track = track_of((True, False, False), confidence=0.8765)
    write_clips(store, [ok_clip("a", track, frames=frames_of(indices=(0, 15, -1)))])
    page = page_of(store, tmp_path)
    places = page.find("figure", class_="place")
    assert [place["title"] for place in places] == [
        "place 1, frame 0, 0.00 s, confidence 0.8765, face 40 x 60 px",
        "place 2, frame 15, 1.50 s: no face",
        "place 3: no frame was read for it",
    ]
    assert [len(page.within(place, "img")) for place in places] == [1, 0, 0]
    assert [len(page.within(place, "div", class_="empty")) for place in places] == [0, 1, 0]
    assert [len(page.within(place, "div", class_="empty past-end")) for place in places] == [0, 0, 1]
    (caption,) = page.within(places[0], "figcaption")
    assert (caption["text"], caption["class"]) == ("0.876", "low")


def test_box_and_landmarks_are_drawn_in_pixels_of_the_crop(tmp_path):
    store = new_store(tmp_path / "store", margin=0.6)
    # 40 x 60 pixels in a square of 60 * 1.6 = 96, so 6 pixels of the frame in one of the crop's 16.
    write_clips(store, [ok_clip("a", track_of((True, False, False)))])
    page = page_of(store, tmp_path)
    (drawing,) = page.find("svg")
    assert drawing["viewbox"] == f"0 0 {CROP_SIZE} {CROP_SIZE}"
    (box,) = page.within(drawing, "polygon", class_="box")
    assert box["points"] == "4.7,3.0 11.3,3.0 11.3,13.0 4.7,13.0"
    points = [(float(dot["cx"]), float(dot["cy"])) for dot in page.within(drawing, "circle")]
    assert points == [(4.7, 3.0), (11.3, 3.0), (8.0, 8.0), (4.7, 13.0), (11.3, 13.0)]


def test_boxes_between_detections_are_drawn_dashed(tmp_path):
    store = new_store(tmp_path / "store", detect_every_seconds=1)
    searched = frames_of(indices=(5, 15, 25), detection_indices=np.array([5, 20, 25]))
    looks = (track_of((True, False, True, True)),)  # frames 5, 15, 20 and 25
    write_clips(store, [dataclasses.replace(ok_clip("a", frames=searched), looks=looks)])
    page = page_of(store, tmp_path)
    boxes = [box["class"] for box in page.find("polygon") if box["class"].startswith("box")]
    assert boxes == ["box", "box between", "box"]
    titles = [place["title"] for place in page.find("figure", class_="place")]
    assert [title.endswith("between detections") for title in titles] == [False, True, False]
    assert "box between detections" in page.find("div", class_="legend")[0]["text"]


def test_uneven_times_are_those_of_the_frames(tmp_path):
    store = new_store(tmp_path / "store")
    frames = frames_of(indices=(0, 1, 2), num_frames=3)
    uneven = dataclasses.replace(frames, info=dataclasses.replace(frames.info, pts=np.array([0, 2, 70])))
    write_clips(store, [ok_clip("a", frames=uneven)])
    titles = [place["title"].split(", ")[2] for place in page_of(store, tmp_path).find("figure", class_="place")]
    assert titles == ["0.00 s", "0.20 s", "7.00 s"]


def test_ready_made_crops_have_no_boxes_and_no_confidence(tmp_path):
    store = new_store(tmp_path / "store", num_places=1, detector=READY_MADE, margin="not declared")
    track = track_of((True,), box=(0, 0, 16, 16), confidence=0)
    faces = ClipFaces("a", OK, tracks=(track,), crops=(painted(track),))
    write_clips(store, [faces, ClipFaces("f", OK, tracks=(track,), crops=(painted(track),))], [("f", 1, "a")])
    page = page_of(store, tmp_path)
    assert not page.find("svg")
    assert "boxes and confidences are not known" in page.find("body")[0]["text"]
    assert "ready-made crops do not say which frames they show" in page.section("pairs")["text"]
    assert len(page.find("img")) == 2


def test_boxes_lean_in_crops_that_were_turned_upright(tmp_path):
    store = new_store(tmp_path / "store", alignment="landmarks", margin=0)
    track = track_of((True, False, False), box=(100, 100, 160, 160))
    leaning = UPRIGHT_XY @ [[0, 1], [-1, 0]] + [200, 100]  # a quarter turn clockwise
    track.landmarks_xy[0] = leaning
    write_clips(store, [ok_clip("a", track)])
    page = page_of(store, tmp_path)
    (box,) = page.find("polygon", class_="box")
    # The box's upper left corner comes to lie at the lower left.
    assert box["points"] == "0.0,16.0 0.0,0.0 16.0,0.0 16.0,16.0"
    eyes = [float(dot["cy"]) for dot in page.find("circle")[:2]]
    assert abs(eyes[0] - eyes[1]) < 0.2


def test_crops_of_an_unknown_cut_get_no_boxes_that_would_be_wrong(tmp_path):
    store = new_store(tmp_path / "store", alignment="some later way")
    write_clips(store, [ok_clip("f"), ok_clip("o")], [("f", 1, "o"), ("o", 0, "")])
    page = page_of(store, tmp_path)
    assert not page.find("svg")
    assert "does not say how its crops were cut" in page.section("pairs")["text"]
    assert page.find("figcaption")


def test_a_fake_stands_beside_its_original(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("f"), ok_clip("o")], [("f", 1, "o"), ("o", 0, "")])
    page = page_of(store, tmp_path)
    (pair,) = page.within(page.section("pairs"), "article")
    assert pair["data-clip"] == "f o"
    assert [picture["alt"].split(",")[0] for picture in page.within(pair, "img")] == [
        "original",
        "fake",
        "difference",
    ] * 3


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=y>' & {{ 7*7 }} é \u202e"


def test_names_and_reasons_are_text_whatever_they_hold(tmp_path):
    store = new_store(tmp_path / "store")
    clips = [
        ok_clip(HOSTILE + "r", frames=frames_of(warnings=(HOSTILE,))),
        ok_clip(HOSTILE + "f"),
        ClipFaces(HOSTILE + "x", FAILED, HOSTILE),
    ]
    write_clips(store, clips, [(HOSTILE + "r", 0, ""), (HOSTILE + "f", 1, HOSTILE + "r")])
    page = page_of(store, tmp_path)
    assert page.clips("ok-real") == [HOSTILE + "r"]
    assert page.within(page.section("failed"), "td")[0]["text"] == HOSTILE + "x"
    assert len(page.find("script")) == 1
    assert not page.find("img", src="x")
    assert not any("onerror" in element for element in page.elements)


def test_the_page_asks_for_nothing_from_outside(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("f"), ok_clip("o")], [("f", 1, "o"), ("o", 0, "")])
    page = page_of(store, tmp_path)
    source = (tmp_path / "sheet.html").read_text()
    assert all(picture["src"].startswith("data:image/jpeg;base64,") for picture in page.find("img"))
    assert all(link["href"].startswith("#") for link in page.find("a"))
    anchors = {element["id"] for element in page.elements if "id" in element}
    assert all(link["href"][1:] in anchors for link in page.find("a"))
    assert not page.find("link")
    assert not any(word in source for word in ("http:", "https:", "//cdn", "url(", "@import"))
    assert not any("src" in script for script in page.find("script"))


def test_all_is_there_without_a_script(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("a")])
    page = page_of(store, tmp_path)
    hidden = [element for element in page.elements if "hidden" in element]
    assert [element["id"] for element in hidden] == ["filter"]


def test_of_many_clips_the_worst_are_shown_first_and_the_rest_is_counted(tmp_path):
    store = new_store(tmp_path / "store")
    clips = [ok_clip(f"{n:02d}", track_of(confidence=0.9 + 0.005 * n)) for n in range(12)]
    clips.append(ok_clip("gaps", track_of((True, False, False), confidence=1)))
    short = frames_of(indices=(0, -1, -1), num_frames=1)
    clips.append(ok_clip("short", track_of((True, False, False), confidence=1), frames=short))
    write_clips(store, clips, [(clip.clip_id, 0, "") for clip in clips])
    page = page_of(store, tmp_path, clips_a_section=4)
    assert page.clips("ok-real")[:3] == ["gaps", "00", "01"]
    assert len(page.clips("ok-real")) == 4
    assert "10 clips of them are not shown" in page.section("ok-real")["text"]
    page = page_of(store, tmp_path, clips_a_section=14)
    assert page.clips("ok-real")[-1] == "short"  # it has all the faces that it can have
    assert "not shown" not in page.section("ok-real")["text"]
    with pytest.raises(TfdfdError, match="at least 1, got 0"):
        write_contact_sheet(store, tmp_path / "sheet.html", clips_a_section=0)


def test_the_page_does_not_grow_with_the_store(tmp_path):
    sizes = []
    for count in (40, 160):
        store = new_store(tmp_path / str(count))
        fakes = [(f"f{n:03d}", 1, "o") for n in range(count)]
        failed = [ClipFaces(f"x{n:03d}", FAILED, "cut off") for n in range(2 * ROWS_A_TABLE if count > 40 else 0)]
        write_clips(store, [ok_clip("o"), *(ok_clip(fake[0]) for fake in fakes), *failed], [("o", 0, ""), *fakes])
        sizes.append(write_contact_sheet(store, tmp_path / f"{count}.html", clips_a_section=6))
    assert sizes[1] < sizes[0] + 150 * ROWS_A_TABLE
    page = Page((tmp_path / "160.html").read_text())
    assert len(page.within(page.section("pairs"), "article")) == 6
    assert "160 fakes can be laid beside it, 6 pairs shown" in " ".join(page.section("pairs")["text"].split())
    assert f"{ROWS_A_TABLE} clips more, in clips.parquet" in page.section("failed")["text"]


def test_a_crowd_does_not_fill_the_page(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("a", *(track_of(box=(n * 50, 0, n * 50 + 40, 60)) for n in range(8)))])
    page = page_of(store, tmp_path)
    assert len(page.find("div", class_="track")) == 6
    assert "and 2 tracks more, not shown" in page.section("ok-unlabelled")["text"]


def test_the_same_store_gives_the_same_page(tmp_path):
    pages = []
    for name, order in (("one", 1), ("two", -1)):
        store = new_store(tmp_path / name)
        write_clips(store, [ok_clip("f"), ok_clip("o")][::order], [("f", 1, "o"), ("o", 0, "")][::order])
        write_contact_sheet(store, store.folder / "sheet.html")
        pages.append((store.folder / "sheet.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_damaged_strip_is_named_and_the_rest_is_shown(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("a"), ok_clip("b")])
    (store.folder / store.tracks()["strip"][0]).write_bytes(b"no picture")
    page = page_of(store, tmp_path)
    assert "a strip of 10 bytes cannot be decoded" in page.section("ok-unlabelled")["text"]
    assert len(page.find("img")) == 3


def test_stores_without_labels_or_without_clips_have_a_page_too(tmp_path):
    store = new_store(tmp_path / "empty")
    with store.writing():
        pass
    assert "0 clips" in page_of(store, tmp_path).find("body")[0]["text"]
    with store.writing():
        store.write(ok_clip("a"), source_bytes=1)
    assert page_of(store, tmp_path).clips("ok-unlabelled") == ["a"]


def test_a_record_that_is_gone_says_what_to_do(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("a")])
    next((store.folder / "records").rglob("*.json")).unlink()
    with pytest.raises(TfdfdError, match="lost the record of a: prepare it again"):
        write_contact_sheet(store, tmp_path / "sheet.html")


def test_a_page_that_cannot_be_written_says_so_and_leaves_the_old_one(tmp_path, monkeypatch):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("a")])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TfdfdError, match="cannot write to"):
        write_contact_sheet(store, tmp_path / "file" / "sheet.html")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TfdfdError, match="no space left"):
        write_contact_sheet(store, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.clips
@pytest.mark.slow
def test_the_difference_of_a_real_pair_lights_up_in_the_face(test_data, tmp_path):
    videos = test_data / "clips" / "ffpp"
    fake = videos / "manipulated_sequences" / "Deepfakes" / "c23" / "videos" / "183_253.mp4"
    original = videos / "original_sequences" / "youtube" / "c23" / "videos" / "183.mp4"
    (tmp_path / "pair.csv").write_text(
        f"clip_id,path,label,original\nfake,{fake},FAKE,original\noriginal,{original},REAL,\n"
    )
    arguments = ["--data", tmp_path / "pair.csv", "--store", tmp_path / "store", "--places", "3", "--contact-sheet"]
    assert run_command(prepare, [str(argument) for argument in arguments]) == 0
    page = Page((tmp_path / "store" / "contact_sheet.html").read_text())
    assert page.find("polygon")
    pictures = page.within(page.section("pairs"), "img")
    differences = [picture for picture in pictures if picture["alt"].startswith("difference")]
    assert len(differences) == 3
    for picture in differences:
        encoded = base64.b64decode(picture["src"].partition(",")[2])
        pixels = np.asarray(Image.open(io.BytesIO(encoded)).convert("L"), np.float64)
        corners = np.concatenate([pixels[5:20, 5:20], pixels[5:20, -20:-5]])  # the grey rim left out
        assert pixels[36:60, 36:60].mean() > 3 * corners.mean()
