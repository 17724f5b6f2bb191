"""Files for a machine without a network: packed, installed, and hostile zip files refused with nothing written."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emorph.core.assets import Asset
from emorph.core.bundle import MANIFEST, Installed, install, pack
from emorph.core.downloads import DOWNLOADS
from emorph.core.errors import DataError
from emorph.evaluate.report.needs import NEEDS, lacking
from emorph.models.obtain import bundled_assets

Command = Callable[..., tuple[int, str, str]]
CONTENTS = {"one": b"first" * 1000, "two": b"second"}
ASSETS = {name: Asset(name, "made", f"made/{name}.bin", "page", "terms") for name in CONTENTS}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Moves the folder of files, as to another machine."""

    def at(name: str) -> Path:
        monkeypatch.setenv("EMORPH_HOME", str(tmp_path / name))
        return tmp_path / name

    return at


@pytest.fixture
def bundle(homes: Callable[[str], Path], tmp_path: Path) -> Path:
    home = homes("here")
    (home / "made").mkdir(parents=True)
    for name, content in CONTENTS.items():
        (home / "made" / f"{name}.bin").write_bytes(content)
    rows = pack(ASSETS.values(), tmp_path / "files.zip")
    assert [(row.name, row.size, row.sha256) for row in rows] == [(n, len(c), sha(c)) for n, c in CONTENTS.items()]
    homes("there")
    return tmp_path / "files.zip"


def test_files_come_to_another_machine_whole(bundle: Path, tmp_path: Path) -> None:
    found = install(bundle, ASSETS)
    place = tmp_path / "there" / "made"
    assert found == [Installed(place / f"{name}.bin", was_here=False) for name in CONTENTS]
    assert {name: (place / f"{name}.bin").read_bytes() for name in CONTENTS} == CONTENTS
    assert (place / "one.bin.sha256").read_text() == f"{sha(CONTENTS['one'])}  one.bin\n"
    assert all(file.was_here for file in install(bundle, ASSETS))
    (place / "one.bin").write_bytes(b"old")
    assert [file.was_here for file in install(bundle, ASSETS)] == [False, True]
    assert (place / "one.bin").read_bytes() == CONTENTS["one"]


def write(path: Path, held: dict[str, bytes], rows: Any = None, **changes: Any) -> Path:
    """A zip file with a manifest of its own making."""
    if rows is None:
        rows = [{"name": name, "size": len(content), "sha256": sha(content)} for name, content in held.items()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in held.items():
            archive.writestr(name, content)
        archive.writestr(MANIFEST, json.dumps({"format": 1, "files": rows} | changes))
    return path


@pytest.mark.parametrize(
    ("files", "changes", "sentence"),
    [
        ({"../../evil": b"x"}, {}, "'../../evil', which is no file that emorph uses"),
        ({"/etc/evil": b"x"}, {}, "'/etc/evil', which is no file"),
        ({"one": b"x", "extra": b"x"}, {"files": [{"name": "one", "size": 1, "sha256": sha(b"x")}]}, "'extra', which"),
        ({"one": b"x"}, {"files": []}, "does not hold what its"),
        ({"one": b"x"}, {"files": [{"name": "one", "size": 1, "sha256": sha(b"x")}] * 2}, "does not hold what its"),
        ({"one": b"x"}, {"files": [{"name": "one", "size": 10**12, "sha256": "0"}]}, "has not the size"),
        ({"one": b"x"}, {"files": [{"name": "one", "size": 2, "sha256": "0"}]}, "has not the size"),
        ({"one": b"x"}, {"files": [{"name": "one", "size": 1, "sha256": sha(b"y")}]}, "was damaged on the way"),
        ({"one": b"x"}, {"files": [{"name": "one"}]}, "cannot be read"),
        ({"one": b"x"}, {"files": 7}, "cannot be read"),
        ({"one": b"x"}, {"format": 2}, "format 2"),
    ],
)
def test_a_hostile_zip_writes_nothing(
    homes: Callable[[str], Path], tmp_path: Path, files: dict[str, bytes], changes: dict[str, Any], sentence: str
) -> None:
    home = homes("there")
    path = write(tmp_path / "bad.zip", files, **changes)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=sentence):
        install(path, ASSETS)
    assert [p for p in sorted(tmp_path.rglob("*")) if p not in before and p.is_file()] == []
    assert not list(home.glob("**/*.bin"))


def test_a_size_that_lies_is_not_read_to_its_end(homes: Callable[[str], Path], tmp_path: Path) -> None:
    """The directory of the zip file says 1 byte, the stream holds ten million."""
    homes("there")
    path = write(tmp_path / "bad.zip", {"one": b"\0" * 10**7}, rows=[{"name": "one", "size": 1, "sha256": sha(b"\0")}])
    content = path.read_bytes()
    size = (10**7).to_bytes(4, "little")
    assert content.count(size) == 2  # of the file's own head, and of the directory
    path.write_bytes(content.replace(size, (1).to_bytes(4, "little")))
    with pytest.raises(DataError):
        install(path, ASSETS)
    assert not list((tmp_path / "there").glob("**/*.bin"))


def test_what_is_no_bundle_is_refused(homes: Callable[[str], Path], tmp_path: Path, bundle: Path) -> None:
    for content, sentence in ((b"no zip", "is no whole bundle"), (bundle.read_bytes()[:-30], "is no whole bundle")):
        (tmp_path / "bad.zip").write_bytes(content)
        with pytest.raises(DataError, match=sentence):
            install(tmp_path / "bad.zip", ASSETS)
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        archive.writestr("one", b"x")
    with pytest.raises(DataError, match="is no bundle of files"):
        install(tmp_path / "plain.zip", ASSETS)
    with pytest.raises(DataError, match="there is no such file"):
        install(tmp_path / "gone.zip", ASSETS)


def test_a_file_that_is_not_its_owners_is_refused(homes: Callable[[str], Path], tmp_path: Path, bundle: Path) -> None:
    assets = {**ASSETS, "one": replace(ASSETS["one"], sha256="0" * 8)}
    with pytest.raises(DataError, match="is not its owner's file"):
        install(bundle, assets)
    packed = replace(ASSETS["one"], sha256="0" * 8, member="one.bin")  # then the digest is the archive's
    assert len(install(bundle, {**ASSETS, "one": packed})) == 2


def test_the_commands_carry_what_is_here_and_name_the_rest(
    emorph: Command, homes: Callable[[str], Path], tmp_path: Path
) -> None:
    home = homes("here")
    (home / "lpips").mkdir(parents=True)
    (home / "lpips" / "alex.pth").write_bytes(b"heads")
    path = tmp_path / "files.zip"
    status, printed, err = emorph(
        "models", "bundle", "lpips-heads-alex", "adaface_ir50_ms1mv2", "-o", path, "--offline"
    )
    assert status == 0, err
    assert printed.startswith(f"{path}  (1 files")
    assert "not in it: adaface_ir50_ms1mv2, from https://github.com/mk-minchul/AdaFace" in err
    there = homes("there")
    status, printed, err = emorph("models", "install", path)
    assert (status, printed.strip()) == (0, str(there / "lpips" / "alex.pth"))
    assert (there / "lpips" / "alex.pth").read_bytes() == b"heads"
    status, _, err = emorph("models", "bundle", "lpips-heads-vgg", "lpips-heads-alex", "-o", path, "--offline")
    assert status == 1  # one of them could not be had, and the other is packed
    assert "vgg.pth is not here" in err
    assert emorph("models", "bundle", "lpips", "-o", path)[0] == 2


def test_doctor_says_what_a_thesis_table_lacks(
    emorph: Command, homes: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = homes("empty")
    rows = json.loads(emorph("doctor", "--json")[1])["thesis_table_lacks"]
    assert {row["what"] for row in rows} == {need.what for need in NEEDS}
    (lpips,) = [row["how"] for row in rows if row["what"] == "LPIPS"]
    assert "emorph models get lpips-alexnet" in lpips
    assert "emorph models get lpips-heads-alex" in lpips
    assert "emorph models install files.zip" in emorph("doctor")[1]
    for name in ("lpips-vgg16", "lpips-heads-vgg"):  # the other way to LPIPS
        place = bundled_assets()[name].path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    assert home in place.parents
    assert "LPIPS" not in {row.what for row in lacking()}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert any("[evaluate]" in row.how for row in lacking())


def test_every_need_names_known_files() -> None:
    known = {asset.name for asset in DOWNLOADS} | {"deca", "emoca"}
    assert {name for need in NEEDS for way in need.ways for name in way} <= known
