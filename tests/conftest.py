"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
