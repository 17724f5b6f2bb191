"""The example notebooks run from top to bottom, and are kept without their outputs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient", reason="notebooks are run with the extra dev")
nbformat = pytest.importorskip("nbformat", reason="notebooks are run with the extra dev")
pytest.importorskip("ipykernel", reason="notebooks are run with the extra dev")
pytest.importorskip("datasets", reason="needs the extra 'train'")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
TIMEOUT_S = 300


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    """One kernel for all of them, which imports torch once; each notebook states all that it uses."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    source = str(ROOT / "src")
    manager.start_kernel(
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    )
    yield manager
    manager.shutdown_kernel(now=True)


def run(notebook: Any, folder: Path, manager: Any) -> Any:
    client = nbclient.NotebookClient(
        notebook, km=manager, timeout=TIMEOUT_S, resources={"metadata": {"path": str(folder)}}
    )
    client.create_kernel_manager = lambda: manager
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"%reset -f\n%cd -q {folder}"))
    with client.setup_kernel(cleanup_kc=False):
        for i, cell in enumerate(notebook.cells):
            client.execute_cell(cell, i)
    client.kc.stop_channels()
    return notebook


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path, kernel: Any) -> None:
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "astronaut.png", tmp_path / "examples")
    done = run(nbformat.read(path, as_version=4), tmp_path, kernel)
    said = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    assert said, "a notebook that shows nothing"
    assert [output for output in said if output.output_type == "error"] == []


def test_a_notebook_that_fails_is_seen(tmp_path: Path, kernel: Any) -> None:
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 == 2")])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="AssertionError"):
        run(broken, tmp_path, kernel)


def test_there_are_three_and_none_keeps_outputs() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["edit", "evaluate", "train"]
    for path in NOTEBOOKS:
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert all(cell.outputs == [] and cell.execution_count is None for cell in cells), path
