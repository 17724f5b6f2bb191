"""What commands write beside pictures: it appears whole, or one sentence says why not."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

import emorph
from emorph.core.errors import DataError
from emorph.core.outputs import make_folder, rendered, write_text


def test_what_cannot_be_written_is_said_with_the_option_that_named_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"page\.html cannot be written \(No such.*\); choose another --html"):
        write_text(tmp_path / "absent" / "page.html", "text", option="--html")
    make_folder(tmp_path / "absent")
    write_text(tmp_path / "absent" / "page.html", "a name of another encoding: \udce4")
    assert (tmp_path / "absent" / "page.html").read_bytes() == b"a name of another encoding: ?"
    with pytest.raises(DataError, match=r"page\.html cannot be written \(.*\); choose another -o"):
        make_folder(tmp_path / "absent" / "page.html")


def test_a_page_escapes_what_it_is_given_and_lacks_no_name(tmp_path: Path) -> None:
    template = tmp_path / "page.html.j2"
    template.write_text("<p>{{ name }}</p>", encoding="utf-8")
    assert rendered(template, name="<顔>") == "<p>&lt;顔&gt;</p>"
    with pytest.raises(jinja2.UndefinedError):
        rendered(template)


def test_pages_are_rendered_in_one_place() -> None:
    modules = Path(emorph.__file__).parent.rglob("*.py")
    assert [path.name for path in modules if "from_string(" in path.read_text(encoding="utf-8")] == ["outputs.py"]
