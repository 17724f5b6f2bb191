"""Downloads from a server on this machine: resumed, checked, refused, mirrored, and never half a file in place."""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import json
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emorph.core import fetch as fetching
from emorph.core.assets import Asset
from emorph.core.downloads import DOWNLOADS
from emorph.core.errors import CheckpointError, DataError, MissingAssetError
from emorph.core.fetch import fetch
from emorph.evaluate.judges.cards import CARDS
from emorph.face3d import ict_fetch, ict_source
from emorph.face3d.ict_fetch import obtain_ict

Command = Callable[..., tuple[int, str, str]]
CONTENT = bytes(range(256)) * 4000  # four blocks


@dataclass
class Server:
    """files: by path. cuts: after how many bytes the next answers end. asked: (path, Range) of each request.

    troubles: status of the next answers. pauses: seconds that were waited.
    """

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    troubles: list[int] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    tag: str = '"one"'
    ranges: bool = True


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            if state.troubles or self.path not in state.files:
                self.send_error(state.troubles.pop(0) if state.troubles else 404)
                return
            content, first = state.files[self.path], 0
            if wanted and state.ranges and self.headers.get("If-Range") == state.tag:
                first = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if first >= len(content):
                    self.send_error(416)
                    return
            self.send_response(206 if first else 200)
            self.send_header("ETag", state.tag)
            self.send_header("Content-Length", str(len(content) - first))
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            rest = content[first:]
            self.wfile.write(rest[: state.cuts.pop(0)] if state.cuts else rest)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        state = Server(f"http://127.0.0.1:{running.server_port}")
        monkeypatch.setenv("EMORPH_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("EMORPH_MIRROR", raising=False)
        monkeypatch.delenv("EMORPH_OFFLINE", raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(fetching, "sleep", state.pauses.append)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield state
        running.shutdown()
        thread.join()


@pytest.fixture
def asset(server: Server) -> Asset:
    server.files["/a/file.onnx"] = CONTENT
    digest = hashlib.sha256(CONTENT).hexdigest()
    url = f"{server.address}/a/file.onnx"
    return Asset("file", "a file", "judges/file.onnx", "https://page", "terms", url, size=len(CONTENT), sha256=digest)


def left(asset: Asset) -> set[str]:
    return {path.name for path in asset.path.parent.iterdir()} if asset.path.parent.is_dir() else set()


def test_a_file_comes_once_with_its_hash_beside_it(server: Server, asset: Asset) -> None:
    steps: list[tuple[int, int | None]] = []
    found = fetch(replace(asset, size=0, sha256=""), on_bytes=lambda done, total: steps.append((done, total)))
    assert found.path.read_bytes() == CONTENT
    assert not found.was_known
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (asset.path.parent / "file.onnx.sha256").read_text() == f"{digest}  file.onnx\n"
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert len(steps) > 1
    assert fetch(asset).path == found.path
    assert len(server.asked) == 1
    assert left(asset) == {"file.onnx", "file.onnx.sha256"}


def test_a_cut_download_goes_on_where_it_was(server: Server, asset: Asset) -> None:
    server.cuts = [300_000, 100_000]
    assert fetch(asset).path.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=300000-", "bytes=400000-"]
    assert server.pauses == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_given_time(server: Server, asset: Asset, status: int) -> None:
    server.troubles = [status] * 3
    assert fetch(asset).path.read_bytes() == CONTENT
    assert server.pauses == [1, 2, 4]
    asset.path.unlink()
    server.troubles, server.pauses[:] = [status] * 4, []
    with pytest.raises(MissingAssetError, match=f"the server answers {status}; 0 bytes are here"):
        fetch(asset)
    assert server.pauses == [1, 2, 4]


def test_new_bytes_start_the_patience_anew(server: Server, asset: Asset) -> None:
    server.cuts = [0, 0, 10, 0, 0, 0]
    assert fetch(asset).path.read_bytes() == CONTENT
    assert server.pauses == [1, 2, 1, 2, 4]


@pytest.mark.parametrize(
    "fault", [ssl.SSLError(1, "bad record mac"), OSError(errno.EHOSTUNREACH, "No route to host"), TimeoutError("slow")]
)
def test_a_network_that_fails_is_not_a_disk_that_does(
    server: Server, asset: Asset, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    read, faults = http.client.HTTPResponse.read, [fault]

    def failing(self: http.client.HTTPResponse, amount: int | None = None) -> bytes:
        if faults and asset.path.with_name(".file.onnx.part").stat().st_size:
            raise faults.pop()
        return read(self, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", failing)
    assert fetch(asset).path.read_bytes() == CONTENT
    assert not faults


def test_a_full_disk_is_one_sentence_at_every_step(
    server: Server, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("file.onnx", CONTENT)
    server.files["/b.zip"] = packed.getvalue()
    zipped = replace(asset, url=f"{server.address}/b.zip", member="file.onnx", size=0, sha256="")
    opened = Path.open
    for full, wanted in ((".b.zip.part", zipped), (".file.onnx.part", zipped), ("file.onnx.sha256", asset)):

        def refusing(self: Path, mode: str = "r", *more: Any, full: str = full, **how: Any) -> Any:
            if self.name == full and "w" in mode:
                raise OSError(errno.ENOSPC, "No space left on device")
            return opened(self, mode, *more, **how)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refusing)
            with pytest.raises(DataError, match=r"cannot be written \(No space left on device\); make room"):
                fetch(wanted)
    assert not left(asset) & {"b.zip", ".file.onnx.part"}


def test_a_stopped_download_goes_on_in_the_next_run(server: Server, asset: Asset) -> None:
    def stop(done: int, total: int | None) -> None:
        if done > 600_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(asset, on_bytes=stop)
    assert not asset.path.exists()
    assert fetch(asset).path.read_bytes() == CONTENT
    (_, wanted) = server.asked[1]
    assert wanted is not None
    assert int(wanted.removeprefix("bytes=").removesuffix("-")) > 600_000


@pytest.mark.parametrize("changes", ["tag", "ranges"])
def test_parts_of_two_versions_are_never_joined(server: Server, asset: Asset, changes: str) -> None:
    server.cuts = [10, 0, 0, 0, 0]
    with pytest.raises(MissingAssetError, match="the connection was cut; 10 bytes are here and are kept"):
        fetch(asset)
    server.tag, server.ranges = ('"two"', True) if changes == "tag" else (server.tag, False)
    assert fetch(asset).path.read_bytes() == CONTENT


def test_a_part_that_is_whole_already_does_no_harm(server: Server, asset: Asset) -> None:
    with pytest.raises(DataError):
        fetch(replace(asset, sha256="00"))
    part = asset.path.with_name(".file.onnx.part")
    part.write_bytes(CONTENT)  # as if it had been stopped before it was renamed
    part.with_name(".file.onnx.part.json").write_text(json.dumps({"url": asset.url, "tag": server.tag}))
    assert fetch(asset).path.read_bytes() == CONTENT
    assert server.asked[-2][1] == f"bytes={len(CONTENT)}-"


@pytest.mark.parametrize(
    ("change", "message"),
    [({"size": 5}, r"gave another file \(1024000 bytes, not 5\)"), ({"sha256": "12345678"}, "SHA-256 .*not 12345678")],
)
def test_another_file_is_removed(asset: Asset, change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fetch(replace(asset, **change))  # type: ignore[arg-type]
    assert "file.onnx" not in left(asset)
    assert ".file.onnx.part" not in left(asset)


def test_the_first_digits_of_a_hash_are_enough_to_check(asset: Asset) -> None:
    assert fetch(replace(asset, sha256=asset.sha256[:8])).was_known


def test_what_is_not_there_and_what_may_not_be_asked(
    server: Server, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingAssetError, match=r"answers 404 .*download it from https://page elsewhere and put it at"):
        fetch(replace(asset, url=f"{server.address}/none"))
    with pytest.raises(MissingAssetError, match="available only from its owners: get it from https://page"):
        fetch(replace(asset, url=""))
    server.asked.clear()
    with pytest.raises(MissingAssetError, match="nothing is downloaded while offline"):
        fetch(asset, offline=True)
    monkeypatch.setenv("EMORPH_OFFLINE", "1")
    with pytest.raises(MissingAssetError, match="nothing is downloaded while offline"):
        fetch(asset)
    assert server.asked == []
    monkeypatch.delenv("EMORPH_OFFLINE")
    with pytest.raises(MissingAssetError, match="cannot be downloaded"):
        fetch(replace(asset, url="http://127.0.0.1:9/a"))
    (asset.path.parent.parent / "other").write_text("no folder")
    with pytest.raises(DataError, match="cannot be written"):
        fetch(replace(asset, file="other/file.onnx"))


def test_a_mirror_is_asked_by_host_and_path(server: Server, asset: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_MIRROR", f"{server.address}/mirror/")
    server.files["/mirror/github.com/x/file.onnx"] = CONTENT
    assert fetch(replace(asset, url="https://github.com/x/file.onnx")).path.read_bytes() == CONTENT
    monkeypatch.setenv("EMORPH_MIRROR", "file:///tmp")
    with pytest.raises(DataError, match="is not an http address"):
        fetching.mirrored("https://github.com/x")


def test_one_file_of_an_archive(server: Server, asset: Asset) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("buffalo_l/det.onnx", b"other")
        archive.writestr("buffalo_l/file.onnx", CONTENT)
    server.files["/b.zip"] = packed.getvalue()
    zipped = replace(asset, url=f"{server.address}/b.zip", member="file.onnx", size=0, sha256="")
    found = fetch(zipped)
    assert found.path.read_bytes() == CONTENT
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert left(asset) == {"file.onnx", "file.onnx.sha256"}
    found.path.unlink()
    with pytest.raises(DataError, match=r"b\.zip does not hold gone\.onnx"):
        fetch(replace(zipped, member="gone.onnx"))
    torn = io.BytesIO()
    with zipfile.ZipFile(torn, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("file.onnx", CONTENT)
    stream = bytearray(torn.getvalue())
    stream[60:1000] = b"\xff" * 940
    for damaged in (b"no archive", bytes(stream)):
        server.files["/b.zip"] = damaged
        with pytest.raises(DataError, match=r"b\.zip is damaged"):
            fetch(zipped)


def test_the_table_and_the_cards_agree() -> None:
    by_name = {entry.name: entry for entry in DOWNLOADS}
    assert len(by_name) == len(DOWNLOADS)
    for card in CARDS.values():
        assert by_name[card.name].file == f"judges/{card.file}"
        assert card.page == by_name[card.name].page
    for entry in DOWNLOADS:
        assert entry.page.startswith("https://")
        assert entry.terms
        assert not entry.url or entry.url.startswith("https://")


def test_the_command_says_terms_and_hash(
    emorph: Command, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMORPH_MIRROR", server.address)
    server.files["/github.com/dingkeyan93/DISTS/raw/master/DISTS_pytorch/weights.pt"] = CONTENT
    status, printed, err = emorph("models", "get", "dists")
    path = tmp_path / "home" / "dists" / "weights.pt"
    assert (status, printed) == (0, f"{path}\n")
    assert path.read_bytes() == CONTENT
    assert "terms: MIT licence" in err
    assert f"was not known beforehand; found {hashlib.sha256(CONTENT).hexdigest()}" in err
    status, printed, err = emorph("models", "get", "lpips-vgg16", "--offline")
    assert (status, printed) == (2, "")
    assert "nothing is downloaded while offline" in err
    status, _, err = emorph("models", "get", "adaface_ir50_ms1mv2")
    assert status == 2
    assert "get it from https://github.com/mk-minchul/AdaFace and put it at" in err


@pytest.fixture
def small_face(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The official repository's layout with a face of nine points, four quads, one unit and two identities."""
    for name, value in {"N_VERTICES": 9, "N_QUADS": 4, "UNIT_NAMES": ("jawOpen",)}.items():
        monkeypatch.setattr(ict_source, name, value)
    monkeypatch.setattr(ict_fetch, "UNIT_NAMES", ("jawOpen",))
    monkeypatch.setenv("EMORPH_MIRROR", server.address)
    points = [(float(x), float(y), 0.0) for y in range(3) for x in range(3)]
    quads = [(1, 2, 5, 4), (2, 3, 6, 5), (4, 5, 8, 7), (5, 6, 9, 8)]

    def lines(kind: str, rows: list[tuple[float, ...]]) -> list[str]:
        return [f"{kind} " + " ".join(map(str, row)) for row in rows]

    moved = [(x, y, z + 0.5) for x, y, z in points]
    mesh = lines("v", list(points)) + lines("vt", [(x / 2, y / 2) for x, y, _ in points])
    mesh += ["f " + " ".join(f"{i}/{i}" for i in quad) for quad in quads]
    files = {name: "\n".join(lines("v", list(moved))) for name in ("identity000", "identity001", "jawOpen")}
    named = {"generic_neutral_mesh.obj": "\n".join(mesh), **{f"{name}.obj": text for name, text in files.items()}}
    named["vertex_indices.json"] = json.dumps({"idx_to_landmark_verts": [i % 9 for i in range(68)]})
    base = ict_fetch.BASE.removeprefix("https:/")
    server.files |= {f"{base}/FaceXModel/{name}": text.encode() for name, text in named.items()}
    return server.files


def test_ict_facekit_is_built_from_its_repository(
    server: Server, small_face: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "home" / "ict-facekit" / "ict_face.npz"
    absent = next(name for name in small_face if name.endswith("jawOpen.obj"))
    content = small_face.pop(absent)
    with pytest.raises(MissingAssetError, match=r"answers 404.*ict_face\.npz from a machine that has it, or the repo"):
        obtain_ict(path, n_identities=2)
    server.asked.clear()
    small_face[absent] = content
    steps: list[tuple[int, int]] = []
    assert obtain_ict(path, n_identities=2, on_file=lambda *step: steps.append(step)) == path
    assert [asked for asked, _ in server.asked] == [absent]
    assert (steps[0], steps[-1]) == ((0, 5), (5, 5))
    made = np.load(path)
    assert made["exp_names"].tolist() == ["jawOpen"]
    assert (made["id_basis"].shape, made["exp_basis"].max()) == ((2, 9, 3), 0.5)
    assert [entry.name for entry in path.parent.iterdir()] == ["ict_face.npz"]
    server.asked.clear()
    obtain_ict(path, n_identities=2)
    assert server.asked == []
    path.unlink()
    small_face[absent] = b"v 1 2 nonsense\n"
    with pytest.raises(CheckpointError, match=r"jawOpen\.obj is damaged"):
        obtain_ict(path, n_identities=2)
    assert not path.exists()


def test_what_the_command_asks_of_the_official_repository() -> None:
    names = ict_fetch.source_files()
    assert len(names) == len(set(names)) == 2 + 100 + 53
    assert {"generic_neutral_mesh.obj", "vertex_indices.json", "identity099.obj", "mouthSmile_L.obj"} <= set(names)
