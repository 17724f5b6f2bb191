"""Fixtures that several test files share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import forked
from emorph.core.images import read_photo
from emorph.core.types import AlignedFace, Landmarks, Photo
from emorph.faces.align import align
from emorph.faces.detect import find_faces

if TYPE_CHECKING:
    from emorph.face3d import ICT

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"  # beside the repository; a test asks for it by ``shared_file``
LONGEST = ("processes", "test_readme", "test_docs_thesis", "test_web_browser", "test_study_browser")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-shared", action="store_true", help=f"run only the tests that need the data in {SHARED_DATA}"
    )


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in this hook, too
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what was asked for, and say what pytest-xdist runs in one process.

    The tests of a file stay together, where they share its fixtures. Those that start, time or kill processes are one
    group of all files (``xdist_group("processes")``), so that no two of them run at once. The longest groups go first:
    one of them at the end would keep one process at work alone.
    """
    if config.getoption("--only-shared"):
        left_out = [item for item in items if "shared_file" not in getattr(item, "fixturenames", ())]
        items[:] = [item for item in items if item not in set(left_out)]
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: _place(*(mark.args[0] for mark in item.iter_markers("xdist_group"))))


def _place(group: str) -> int:
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)


@pytest.fixture(autouse=True)
def processes_are_forked(request: pytest.FixtureRequest) -> None:
    """Those that tests of the group "processes" start come from one server."""
    if (group := request.node.get_closest_marker("xdist_group")) is not None and group.args == ("processes",):
        forked.server()


@pytest.fixture(scope="session")
def shared_file() -> Callable[[str], Path]:
    """Finds a file or folder of the data that lies beside the repository; the test is skipped where it does not."""

    def find(name: str) -> Path:
        if not (SHARED_DATA / name).exists():
            pytest.skip(f"{SHARED_DATA / name} is not here")
        return SHARED_DATA / name

    return find


@pytest.fixture(scope="session")
def photos_dir(shared_file: Callable[[str], Path]) -> Path:
    """A folder of nine real photos."""
    return shared_file("photos")


@pytest.fixture(scope="session")
def face_pack(shared_file: Callable[[str], Path]) -> Path:
    """Labelled faces of Labeled Faces in the Wild, 128 px, a parquet file."""
    return shared_file("lfw_expressions/lfw_expressions.parquet")


@pytest.fixture(scope="session")
def ict_file(shared_file: Callable[[str], Path]) -> Path:
    """ICT-FaceKit's model."""
    return shared_file("ict_face.npz")


@pytest.fixture(scope="session")
def ict(ict_file: Path) -> ICT:
    """ICT-FaceKit's model, loaded; no test changes it."""
    from emorph.face3d import ICT

    return ICT.load(ict_file)


@pytest.fixture(scope="session")
def example_photo() -> Path:
    """One face, about 90 px, smiling."""
    return ROOT / "examples" / "astronaut.png"


@pytest.fixture(scope="session")
def photo(example_photo: Path) -> Photo:
    """The example photo, read."""
    return read_photo(example_photo)


@pytest.fixture(scope="session")
def landmarks(photo: Photo) -> Landmarks:
    """Of the example photo's face."""
    return find_faces(photo)[0]


@pytest.fixture(scope="session")
def face(photo: Photo, landmarks: Landmarks) -> AlignedFace:
    """The example photo's face in a crop of 64 px."""
    return align(photo, landmarks, 64)


@pytest.fixture
def emorph(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process: (exit status, stdout, stderr)."""
    from emorph.cli.main import main

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["emorph", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return run
