"""`--contact-sheet` of `tfdfd prepare`: where the page goes, and what is refused before any work."""

import pytest
from PIL import Image

from tfdfd.commands.console import run_command
from tfdfd.commands.prepare import main as prepare


@pytest.fixture
def crops(tmp_path):
    folder = tmp_path / "crops"
    folder.mkdir()
    rows = []
    for number in range(3):
        Image.new("RGB", (64, 64), (60 * number, 90, 90)).save(folder / f"{number}.jpg")
        rows.append(f"{number}.jpg,{number},REAL\n")
    (folder / "faces.csv").write_text("path,clip_id,label\n" + "".join(rows))
    return ["--data", str(folder), "--store", str(tmp_path / "store")]


def test_the_page_lies_in_the_store_unless_a_file_is_given(crops, tmp_path, capfd):
    assert run_command(prepare, crops) == 0
    assert not (tmp_path / "store" / "contact_sheet.html").exists()
    assert run_command(prepare, [*crops, "--contact-sheet"]) == 0  # the store is finished already
    page = (tmp_path / "store" / "contact_sheet.html").read_bytes()
    assert run_command(prepare, [*crops, "--contact-sheet", str(tmp_path / "new" / "page.html")]) == 0
    assert (tmp_path / "new" / "page.html").read_bytes() == page
    assert f"contact sheet {tmp_path / 'new' / 'page.html'}" in capfd.readouterr().out


def test_fewer_clips_make_a_smaller_page(crops, tmp_path):
    for number in (1, 3):
        path = tmp_path / f"{number}.html"
        assert run_command(prepare, [*crops, "--contact-sheet", str(path), "--contact-sheet-clips", str(number)]) == 0
        assert path.read_text().count("<article") == number


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--contact-sheet-clips", "3"], "add --contact-sheet"),
        (["--contact-sheet", "--contact-sheet-clips", "0"], "at least 1, got 0"),
        (["--contact-sheet", "."], "is a folder"),
    ],
)
def test_what_cannot_be_honoured_is_refused_before_any_work(crops, tmp_path, capfd, flags, message):
    assert run_command(prepare, [*crops, *flags]) == 1
    assert message in capfd.readouterr().err
    assert not (tmp_path / "store").exists()
