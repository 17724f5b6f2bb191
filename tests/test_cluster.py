"""A Dask cluster: the same results as one process gives, also when a worker is killed in the middle."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emorph import Editor
from emorph.cli.main import app
from emorph.core import workers
from emorph.core.cluster import Cluster, connected
from emorph.core.errors import ConfigError, DataError, EmorphError, MissingAssetError, UnknownNameError
from emorph.core.records import FaceRecord
from emorph.core.workers import must_see, spread
from emorph.data.index import FaceIndex
from emorph.data.prepare import Settings, prepare
from emorph.edit.elsewhere import Helpers
from emorph.edit.files import edit_files
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.inputs import read_pairs
from emorph.evaluate.measure.records import identify
from emorph.evaluate.measure.run import evaluate
from evaluate_sets import made_set, save_judge
from tiny import tiny_editor

pytest.importorskip("distributed", reason="needs the extra 'cluster'")
pytestmark = pytest.mark.xdist_group("processes")

N_WORKERS = 2
ODD = 3  # a task that takes longer than the others


@dataclass(frozen=True)
class Numbered:
    """Tells which process did a task; the first that meets ``deadly`` is killed while it does it."""

    folder: Path
    deadly: int = -1
    again: bool = False

    def do(self, number: int) -> tuple[int, int]:
        mark = self.folder / "killed"
        if number == self.deadly and (self.again or not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.5 if number == ODD else 0)
        return number, os.getpid()


def refuse(number: int) -> int:
    raise UnknownNameError("emotion", "hapy", ["happy", "sad"])


@dataclass(frozen=True)
class LoadTiny:
    """Gives a worker an editor of made weights."""

    def __call__(self) -> Editor:
        return tiny_editor(steps=2)


@dataclass(frozen=True)
class LoadOnce(LoadTiny):
    """Kills the first process that loads it."""

    mark: Path

    def __call__(self) -> Editor:
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with connected(f"local:{N_WORKERS}") as crew:
        yield crew


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_results_come_in_order_from_other_processes(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.address.startswith("tls://127.0.0.1:")
    assert cluster.dashboard.startswith("http://127.0.0.1:")
    with spread(Numbered(tmp_path).do, range(20), cluster) as results:
        found = list(results)
    assert [number for number, _ in found] == list(range(20))
    assert os.getpid() not in {pid for _, pid in found}


def test_an_error_comes_as_it_is(cluster: Cluster) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'happy'"), spread(refuse, range(9), cluster) as results:
        list(results)


def test_the_tasks_of_a_killed_worker_go_to_others(cluster: Cluster, tmp_path: Path) -> None:
    with spread(Numbered(tmp_path, deadly=5).do, range(20), cluster) as results:
        assert [number for number, _ in results] == list(range(20))
    assert (tmp_path / "killed").exists()


def test_a_task_that_kills_every_worker_ends_the_work(cluster: Cluster, tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="a task ended 4 workers one after the other, perhaps because memory ran out"),
        spread(Numbered(tmp_path, deadly=5, again=True).do, range(20), cluster) as results,
    ):
        list(results)


def test_a_prepared_set_is_the_same_to_the_bit_with_a_killed_worker(
    cluster: Cluster, example_photo: Path, tmp_path: Path
) -> None:
    root = tmp_path / "in"
    root.mkdir()
    records = []
    for number in range(12):
        (root / f"{number:02d}.png").write_bytes(example_photo.read_bytes() if number % 3 else b"no picture")
        records.append(FaceRecord(f"{number:02d}", f"{number:02d}.png", number % 2))
    index, settings = FaceIndex(root, "folders", records), Settings(side_px=32, holdout=2)
    alone = prepare(index, tmp_path / "alone", settings)

    def kill_one(done: int, total: int, before: int) -> None:
        if done == 3:
            victim = min(cluster.executor.map(Numbered(tmp_path).do, range(4)), key=lambda found: found[1])
            os.kill(victim[1], signal.SIGKILL)

    assert prepare(index, tmp_path / "many", settings, workers=cluster, on_step=kill_one) == alone
    assert content(tmp_path / "many") == content(tmp_path / "alone")


def test_edits_are_measured_the_same(cluster: Cluster, tmp_path: Path) -> None:
    panel = Panel.load([str(save_judge(tmp_path / "judge"))])
    judged = identify(read_pairs(made_set(tmp_path / "set")))
    evaluate(judged, tmp_path / "alone", panel)
    evaluate(judged, tmp_path / "many", panel, workers=cluster)
    assert content(tmp_path / "many") == content(tmp_path / "alone")
    assert content(tmp_path / "many")["faces.jsonl"]


def test_a_folder_is_edited_the_same_with_a_killed_worker(
    cluster: Cluster, example_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # workers run elsewhere, and are given paths that begin here
    Path("in").mkdir()
    for name in ("a.png", "c.png", "d.png"):
        (Path("in") / name).write_bytes(example_photo.read_bytes())
    (Path("in") / "b.png").write_bytes(b"no picture")
    alone = edit_files(tiny_editor(steps=2), ["in"], "alone", "happy", [0.5, 1.0])
    helpers = Helpers(cluster, LoadOnce(tmp_path / "killed"))
    many = edit_files(tiny_editor(steps=2), ["in"], "many", "happy", [0.5, 1.0], helpers=helpers)
    assert (tmp_path / "killed").exists()
    assert [str(failure) for failure in many.failures] == [str(failure) for failure in alone.failures]
    assert [edit.source for edit in many.edits] == [edit.source for edit in alone.edits]
    found, expected = content(Path("many")), content(Path("alone"))
    records = [[json.loads(line) for line in files.pop("edits.jsonl").splitlines()] for files in (found, expected)]
    assert found == expected
    for row in records[0] + records[1]:
        row["edited"] = Path(row["edited"]).name
        del row["seconds"]
    assert records[0] == records[1]
    again = edit_files(tiny_editor(steps=2), ["in"], "many", "happy", [0.5, 1.0], helpers=helpers)
    assert again.n_before == 3


def test_a_machine_without_the_files_is_named(cluster: Cluster, tmp_path: Path) -> None:
    must_see(tmp_path)
    with (
        pytest.raises(
            DataError, match=r"is not to be seen on .*, where a worker runs; all workers need the same files"
        ),
        spread(must_see, [tmp_path, tmp_path / "elsewhere"], cluster) as results,
    ):
        list(results)


def test_a_worker_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> None:
    monkeypatch.setattr(workers, "__version__", "9.9.9")
    with (
        pytest.raises(ConfigError, match=r"and the command runs emorph 9\.9\.9; install the same version"),
        spread(abs, [1, 2], cluster) as results,
    ):
        list(results)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("local:0", "expected from 1 to 256 processes"),
        ("local:-1", "expected local:N for N processes"),
        ("10.0.0.5", "expected local:N for N processes"),
        ("file:///etc/passwd:1", "expected local:N for N processes"),
        ("tcp://127.0.0.1:1", "no Dask scheduler can be reached at tcp://127.0.0.1:1"),
        ("tls://127.0.0.1:1", "check the address and, for tls://, the certificates"),
    ],
)
def test_what_is_no_cluster_is_refused_in_one_sentence(
    where: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emorph.core.cluster.CONNECT_S", 1)
    with pytest.raises(ConfigError) as refused, connected(where):
        pass
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_program_at_the_address_is_said_before_a_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask takes the first bytes of an answer for a length; a client that was begun waits 30 s for its own end."""
    monkeypatch.setattr("distributed.Client", None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"tcp://127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            with server.accept()[0] as caller:
                caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(99))
                caller.recv(1)

        threading.Thread(target=answer, daemon=True).start()
        with (
            pytest.raises(ConfigError, match=r"no Dask scheduler can be reached at .*what answers there is no Dask"),
            connected(where),
        ):
            pass


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(MissingAssetError, match=r"--cluster needs Dask: `pip install .*\[cluster\]"),
        connected("local:2"),
    ):
        pass


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "prepare", "IN", "OUT", "--workers", "2"], "--workers does not apply to a cluster"),
        (["evaluate", "--model", "emorph-base", "--data", "IN"], "--cluster does not apply to reconstructions"),
        (["edit", "clip.mp4", "--to", "happy", "-o", "OUT"], "--cluster does not apply to films"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "happy").mkdir(parents=True)
    (tmp_path / "in" / "happy" / "a.png").touch()
    places = {"IN": str(tmp_path / "in"), "OUT": str(tmp_path / "out"), "clip.mp4": str(tmp_path / "clip.mp4")}
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))
    result = CliRunner().invoke(app, [*(places.get(word, word) for word in words), "--cluster", "local:2"])
    assert isinstance(result.exception, EmorphError)
    assert message in str(result.exception)


def test_every_error_can_come_from_a_worker() -> None:
    error = UnknownNameError("emotion", "hapy", ["happy", "sad"])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
