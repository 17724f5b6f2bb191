"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emorph.core.files import file_digest, names_apart, photo_names, replace_file, written_beside
from emorph.core.types import Photo


@pytest.mark.parametrize("name", ["a.txt", "x" * 251 + ".txt", "顔" * 84])
def test_a_name_may_be_as_long_as_the_disk_takes_it(name: str, tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        replace_file(tmp_path / name, content)
        assert (tmp_path / name).read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        replace_file(tmp_path / "folder", b"new")
    with pytest.raises(OSError, match="absent"):
        replace_file(tmp_path / "absent" / "a.txt", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_takes_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with written_beside(path) as draft:
            draft.write_text("half")
            assert (draft.parent, draft.name.startswith(".a.txt."), path.read_text()) == (tmp_path, True, "old")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [(left.name, left.read_text()) for left in tmp_path.iterdir()] == [("a.txt", "old")]
    with written_beside(path, draft=tmp_path / "mine") as draft:
        draft.write_text("new")
        assert draft.name == "mine"
    assert [(left.name, left.read_text()) for left in tmp_path.iterdir()] == [("a.txt", "new")]


def test_a_digest_is_the_published_one_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/1/me.jpg", "b/1/me.jpg"], ["a/1/me.jpg", "b/1/me.jpg"]),
        (["x/a/me.jpg", "x/b/me.jpg", "x/b/you.jpg"], ["a/me.jpg", "b/me.jpg", "you.jpg"]),
        (["me.jpg", "a/me.jpg", "/a/me.jpg"], ["me.jpg", "a/me.jpg", "/a/me.jpg"]),
        (["a/me.jpg", "a/me.jpg"], ["me.jpg"]),
    ],
)
def test_names_are_as_long_as_it_takes_to_tell_files_apart(paths: list[str], names: list[str]) -> None:
    assert list(names_apart(map(Path, paths)).values()) == names


def test_photos_without_a_file_have_a_name_too() -> None:
    photos = [Photo(np.zeros((1, 1, 3), np.uint8), path) for path in (Path("a/me.jpg"), None, Path("b/me.jpg"), None)]
    assert photo_names(photos) == ["a/me.jpg", "the photo", "b/me.jpg", "the photo"]
