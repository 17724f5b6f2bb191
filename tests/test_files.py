"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from emorph.core.files import replace_file


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
