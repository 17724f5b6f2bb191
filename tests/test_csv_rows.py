"""CSV files as Excel and people write them give the same rows to every reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emorph.core.csv_rows import read_rows
from emorph.core.errors import DataError
from emorph.data.layouts import open_index
from emorph.evaluate.measure.inputs import read_pairs
from emorph.study.gather import _method_column
from made_data import affectnet, picture, row

Write = Callable[[str], bytes]

FORMS: dict[str, Write] = {
    "plain": str.encode,
    "with a mark": lambda text: text.encode("utf-8-sig"),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "semicolons, decimal commas": lambda text: text.replace(",", ";").replace("0.5", "0,5").encode("utf-8-sig"),
    "Excel's separator line": lambda text: ("sep=;\r\n" + text.replace(",", ";").replace("\n", "\r\n")).encode(),
    "Excel's Unicode text": lambda text: text.replace(",", "\t").replace("\n", "\r\n").encode("utf-16"),
    "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "old Mac": lambda text: text.replace("\n", "\r").encode(),
    "capitals, blanks": lambda text: text.replace("path", " Path ").replace("source", "Source ").encode(),
}


@pytest.mark.parametrize("write", FORMS.values(), ids=FORMS)
def test_forms_make_no_difference_to_a_data_set(tmp_path: Path, write: Write) -> None:
    text = "path,label,valence,arousal\nfotos\\Zoë.png,happy,0.5,-0.5\nb.png,sad,,\n"
    (tmp_path / "labels.csv").write_bytes(write(text))
    first, second = open_index(tmp_path).records
    assert (first.path, first.emotion, first.valence, first.arousal) == ("fotos/Zoë.png", 1, 0.5, -0.5)
    assert (second.path, second.valence) == ("b.png", None)


@pytest.mark.parametrize("write", FORMS.values(), ids=FORMS)
def test_forms_make_no_difference_to_an_evaluation(tmp_path: Path, write: Write) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in/a.png", "b ü.png"):
        (tmp_path / name).touch()
    text = "source,edited,target,strength,method\nin\\a.png,D:\\results\\b ü.png,happy,0.5,mine\n"
    (tmp_path / "pairs.csv").write_bytes(write(text))
    (pair,) = read_pairs(tmp_path / "pairs.csv")
    assert (pair.source, pair.edited) == (tmp_path / "in/a.png", tmp_path / "b ü.png")
    assert (pair.word, pair.strength) == ("happy", 0.5)
    assert _method_column(tmp_path / "pairs.csv") == ["mine"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_affectnets_list_as_excel_saves_it(tmp_path: Path, encoding: str) -> None:
    root = affectnet(tmp_path, [row("1/a.jpg", 1), row("1/b.jpg", 2)], [])
    before = open_index(root, landmarks=True)
    path = tmp_path / "training.csv"
    lines = [",".join(cells) for line in path.read_text().splitlines() if (cells := line.split(","))]
    quoted = ["\t".join(line.split(",")) for line in lines]
    path.write_bytes("\r\n".join(quoted).encode(encoding))
    after = open_index(root, landmarks=True)
    assert after.records == before.records
    assert after.problems.by_kind() == before.problems.by_kind()


def test_cells_keep_ends_of_lines_and_delimiters(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes('a,b\n"1\n2","x,y"\n\n"\u2028z"\n'.encode())
    rows = list(read_rows(tmp_path / "a.csv", ("a",)))
    assert [(r.line, r.cells) for r in rows] == [(3, {"a": "1\n2", "b": "x,y"}), (5, {"a": "z", "b": ""})]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"has no column 'a'; found an empty file"),
        (b"b,c\n", r"has no column 'a'; found b, c"),
        ("a\n\xe9".encode("latin-1"), r"neither UTF-8 nor UTF-16 text; save it as UTF-8 \(in Excel: CSV UTF-8"),
        (b"\xff\xfea", r"neither UTF-8 nor UTF-16"),
        (b"a\n" + b'"' + b"x" * 200_000, r"line 1 is not CSV: field larger"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=said):
        list(read_rows(tmp_path / "a.csv", ("a",)))


def test_affectnets_pictures_without_their_lists(tmp_path: Path) -> None:
    picture(tmp_path / "Manually_Annotated" / "Manually_Annotated_Images" / "1" / "a.jpg")
    with pytest.raises(DataError, match=r"not training\.csv: the list of its faces.*_filePath, face_x.*\.zip"):
        open_index(tmp_path)
    automatic = tmp_path / "other"
    picture(automatic / "Automatically_Annotated_Images" / "1" / "a.jpg")
    with pytest.raises(DataError, match=r"not automatically_annotated\.csv"):
        open_index(automatic)
    eight = tmp_path / "eight"
    picture(eight / "train_set" / "images" / "1.jpg")
    with pytest.raises(DataError, match=r"not train_set/annotations: .*NUMBER_exp\.npy .*NUMBER_lnd\.npy"):
        open_index(eight)
