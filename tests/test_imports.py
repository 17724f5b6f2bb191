"""Every module imports with the core dependencies alone, and importing emorph costs and leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"

OPTIONAL = [
    "av",
    "lightning_fabric",
    "datasets",
    "pyarrow",
    "matplotlib",
    "tensorboard",
    "skimage",
    "onnx",
    "onnxruntime",
    "pandas",
    "scipy",
    "fastapi",
    "starlette",
    "uvicorn",
    "gradio",
    "gradio_client",
    "choix",
    "statsmodels",
    "krippendorff",
    "pytest",
]

IMPORT_WITHOUT = """
import importlib, json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r} (blocked)", name=name)

blocked, modules = map(set, json.loads(sys.argv[1]))
sys.meta_path.insert(0, Absent())
failures = {}
for module in sorted(modules):
    try:
        importlib.import_module(module)
    except BaseException as error:
        failures[module] = f"{type(error).__name__}: {error}"
json.dump(failures, sys.stdout)
"""


def run_python(code: str, *argv: str, folder: Path) -> str:
    """Standard output of a fresh interpreter whose working and home folder are ``folder``."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SRC), os.environ.get("PYTHONPATH")])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(folder),
    }
    command = [sys.executable, "-c", code, *argv]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def failures(blocked: list[str], modules: list[str], folder: Path) -> dict[str, str]:
    """Which of ``modules`` do not import when ``blocked`` are not there, and why."""
    out = run_python(IMPORT_WITHOUT, json.dumps([blocked, modules]), folder=folder)
    found: dict[str, str] = json.loads(out)
    return found


def all_modules() -> list[str]:
    """Names of all of emorph's modules but ``__main__``, which runs the command."""
    paths = (path.relative_to(SRC).with_suffix("") for path in (SRC / "emorph").rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "__main__")


def test_every_module_imports_with_minimal_dependencies(tmp_path: Path) -> None:
    modules = all_modules()
    assert "emorph" in modules
    assert "emorph.core.images" in modules
    assert failures(OPTIONAL, modules, tmp_path) == {}
    assert list(tmp_path.iterdir()) == [], "importing wrote files"


def test_a_missing_dependency_would_be_found(tmp_path: Path) -> None:
    found = failures(["numpy"], ["emorph", "emorph.core.types"], tmp_path)
    assert found == {"emorph.core.types": "ModuleNotFoundError: No module named 'numpy' (blocked)"}


def test_import_emorph_costs_nothing(tmp_path: Path) -> None:
    code = "import json, sys, emorph; json.dump(list(sys.modules), sys.stdout)"
    loaded = json.loads(run_python(code, folder=tmp_path))
    heavy = {"torch", "numpy", "cv2", "dlib", "pydantic", "PIL", "rich", "typer", "huggingface_hub"}
    assert heavy & set(loaded) == set()
    assert list(tmp_path.iterdir()) == [], "importing wrote files"


def test_the_command_loads_no_networks_before_it_needs_them(tmp_path: Path) -> None:
    """``emorph --help``, and what works without a model, answers at once."""
    code = "import json, sys, emorph.cli.main; json.dump(list(sys.modules), sys.stdout)"
    loaded = json.loads(run_python(code, folder=tmp_path))
    assert {"torch", "cv2", "dlib", "scipy", "av", "gradio", "huggingface_hub"} & set(loaded) == set()


def test_the_front_door_has_what_it_promises(tmp_path: Path) -> None:
    """Each name asked of a fresh import, in one interpreter."""
    names = ["__version__", "Emotion", "Target", "evaluate.psnr", "load", "Editor", "RigEditor"]
    code = (
        "import operator, sys\n"
        "for name in sys.argv[1:]:\n"
        "    sys.modules.pop('emorph', None)\n"
        "    import emorph\n"
        "    print(name, operator.attrgetter(name)(emorph) is not None)\n"
    )
    assert run_python(code, *names, folder=tmp_path) == "".join(f"{name} True\n" for name in names)


def test_the_front_door_says_what_it_lacks() -> None:
    import emorph

    with pytest.raises(AttributeError, match="no attribute 'Edtior'"):
        _ = emorph.Edtior
