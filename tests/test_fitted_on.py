"""Directions of another model are refused with both names; what does not tell its model is used with a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from emorph.core.errors import CheckpointError, ConfigError
from emorph.edit.latent import directions_digest
from emorph.edit.pipeline import Editor
from emorph.models.diffae import DiffAE
from emorph.models.fitted_on import FITTED_FILE, FittedOn, weights_digest
from tiny import tiny_directions, tiny_model

Emorph = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints of a model, and directions that were fitted on the first."""
    folder = tmp_path_factory.mktemp("runs")
    first, second = (folder / "ae3" / step / "ema" for step in ("step_00000010", "step_00000060"))
    model = tiny_model()
    model.save_pretrained(first)
    fitted = FittedOn.of(first, model.encoder).text()
    tiny_directions().save_pretrained(folder / "cls_of_step_10", notes={FITTED_FILE: fitted})
    tiny_directions().save_pretrained(folder / "cls_of_old")
    with torch.no_grad():
        next(model.encoder.parameters()).add_(1e-2)
    model.save_pretrained(second)
    return folder


def test_directions_of_another_checkpoint_are_refused_with_both_names(
    runs: Path, emorph: Emorph, example_photo: Path, tmp_path: Path
) -> None:
    other = runs / "ae3" / "step_00000060" / "ema"
    words = (example_photo, "--model", other, "--directions", runs / "cls_of_step_10", "--steps", 2)
    for verb in (("edit", "--to", "happy"), ("sheet",)):
        status, out, err = emorph(*verb, *words, "-o", tmp_path / "none")
        assert (status, out) == (2, "")
        assert f"{runs / 'cls_of_step_10'} was fitted on ae3/step_00000010 (weights " in err
        assert "but the model is ae3/step_00000060 (weights " in err
        assert "--anyway" in err
    assert not (tmp_path / "none").exists()
    status, out, err = emorph("edit", "--to", "happy", *words, "--anyway", "-o", tmp_path / "curious")
    assert status == 0
    assert "used all the same, as asked." in err


def test_directions_of_the_model_pass_without_a_word(
    runs: Path, emorph: Emorph, example_photo: Path, tmp_path: Path
) -> None:
    own = runs / "ae3" / "step_00000010" / "ema"
    words = (example_photo, "--to", "happy", "--model", own, "--directions", runs / "cls_of_step_10", "--steps", 2)
    status, _, err = emorph("edit", *words, "-o", tmp_path / "o")
    assert (status, err) == (0, "")
    made = json.loads(Image.open(tmp_path / "o" / "astronaut_happy.png").text["emorph"])  # type: ignore[attr-defined]
    record = json.loads((tmp_path / "o" / "edits.jsonl").read_text().splitlines()[0])
    assert made["directions"] == record["directions"] == directions_digest(tiny_directions())


def test_older_directions_load_with_a_plain_note(runs: Path) -> None:
    editor = Editor.from_pretrained(
        runs / "ae3" / "step_00000010" / "ema", directions=runs / "cls_of_old", device="cpu"
    )
    assert editor.note == (
        f"{runs / 'cls_of_old'} does not say which model it was fitted on, so whether it fits ae3/step_00000010 is not "
        "checked."
    )
    assert Editor.from_pretrained("emorph-base", device="cpu").note == ""


def test_directions_inside_a_models_folder_are_checked_too(runs: Path, tmp_path: Path) -> None:
    model, fitted = tiny_model(seed=3), FittedOn.of("another", tiny_model(seed=4).encoder).text()
    model.save_pretrained(tmp_path / "mine")
    tiny_directions().save_pretrained(tmp_path / "mine" / "directions", notes={FITTED_FILE: fitted})
    with pytest.raises(CheckpointError, match=r"fitted on another \(weights .*but the model is mine"):
        Editor.from_pretrained(tmp_path / "mine", device="cpu")


def test_a_fingerprint_is_of_the_encoder_alone_and_survives_16_bits(tmp_path: Path) -> None:
    model = tiny_model()
    before = weights_digest(model.encoder)
    model.save_pretrained(tmp_path / "half", dtype=torch.float16)
    assert weights_digest(DiffAE.from_pretrained(tmp_path / "half").encoder) == before
    weights = model.state_dict()
    other = next(key for key in weights if not key.startswith("encoder.") and weights[key].is_floating_point())
    with torch.no_grad():
        weights[other].add_(1)
    assert weights_digest(model.encoder) == before
    last = [parameter for parameter in model.encoder.parameters() if parameter.numel() > 64][-1]
    with torch.no_grad():
        last.flatten()[-1] += 1e-2  # beyond the first numbers of a tensor
    assert weights_digest(model.encoder) != before


@pytest.mark.parametrize("text", ["{", "[]", '{"model": "a"}', '{"model": "a", "weights": "b", "c": 1}'])
def test_a_damaged_fingerprint_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / FITTED_FILE).write_text(text)
    with pytest.raises((CheckpointError, ConfigError), match=FITTED_FILE):
        FittedOn.beside(tmp_path)


def test_a_run_of_expression_editing_refuses_them_too(tmp_path: Path) -> None:
    from made_expression import expression_config, labelled_faces, write_judge, write_start

    start = write_start(tmp_path / "start")
    write_judge(tmp_path / "judge")
    task = expression_config(tmp_path, "run").build(labelled_faces(), None)
    task.start(str(start))
    own = FittedOn.of("own", tiny_model().encoder)
    (start / "directions" / FITTED_FILE).write_text(own.text())
    task.start(str(start))
    (start / "directions" / FITTED_FILE).write_text(own.model_copy(update={"weights": "0" * 16}).text())
    with pytest.raises(CheckpointError, match=r"was fitted on own \(weights 00000000\), but the model is start"):
        task.start(str(start))
