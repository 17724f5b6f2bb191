"""Fixtures that several test files share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emorph.core.images import read_photo
from emorph.core.types import Landmarks, Photo
from emorph.faces.detect import find_faces

ROOT = Path(__file__).resolve().parent.parent

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored


@pytest.fixture(scope="session")
def photos_dir() -> Path:
    """The folder of nine real photos that lies beside the repository."""
    folder = ROOT.parent / "shared" / "data" / "photos"
    if not folder.is_dir():
        pytest.skip(f"the photo pack {folder} is not here")
    return folder


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
