"""Deep features used again: exact where nothing is reused, close where it is, and never shared between two runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from emorph.core.records import read
from emorph.core.types import Photo
from emorph.diffusion.samplers import solver
from emorph.edit.files import edit_files
from emorph.edit.pipeline import Editor
from emorph.models.diffae import DiffAE
from emorph.models.reuse import DeepReuse, FixedZ
from emorph.models.unet import N_OUTER
from tiny import tiny_config, tiny_directions, tiny_model


class Counted:
    """A network that notes what was asked of it; its deep features are the time step."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.deep: list[float] = []

    def whole(self, x_t: Tensor, t: Tensor) -> Tensor:
        raise AssertionError("features are kept, so they are asked for")

    def with_deep(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        self.asked.append("whole")
        return x_t, t.double()

    def outer(self, x_t: Tensor, t: Tensor, deep: Tensor) -> Tensor:
        self.asked.append("outer")
        self.deep.append(float(deep))
        return x_t


def run(steps: list[int], every: int, *, straight: bool = True) -> Counted:
    network = Counted()
    taken: FixedZ = network
    reuse = DeepReuse(taken, every, tiny_model().diffusion, straight=straight)
    for step in steps:
        reuse.evaluate(torch.zeros(1), torch.tensor([step]))
    return network


def test_every_so_many_evaluations_are_whole() -> None:
    assert run([900, 800, 700, 600, 500], 3).asked == ["whole", "outer", "outer", "whole", "outer"]


def test_the_size_of_deep_features_goes_on_by_its_logarithm_in_log_snr() -> None:
    half_log_snr = torch.from_numpy(tiny_model().diffusion.snr).log() / 2
    deep = run([900, 800, 600, 500], 2).deep
    share = float((half_log_snr[500] - half_log_snr[600]) / (half_log_snr[600] - half_log_snr[900]))
    assert 0 < share < 1
    assert deep == pytest.approx([900, 600 * (600 / 900) ** share])


def test_the_line_ends_after_a_whole_interval() -> None:
    assert run([300, 290, 280, 20], 2).deep[-1] == pytest.approx(280 * (280 / 300))


def test_without_the_line_the_last_features_are_taken_as_they_are() -> None:
    assert run([900, 800, 600, 500], 2, straight=False).deep == [900, 600]


@pytest.mark.parametrize("config", [{}, {"channel_mult": (1,), "encoder_channel_mult": (1,)}, {"num_res_blocks": 2}])
def test_outer_blocks_with_their_own_deep_features_are_the_whole_network(config: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = DiffAE(tiny_config().model_copy(update=config)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    x, z, t = torch.randn(2, 1, 32, 32), torch.randn(2, 32), torch.tensor([400])
    with torch.inference_mode():
        network = model.at(z)
        raw, deep = network.with_deep(x, t)
        assert (network.whole(x, t) == raw).all()
        assert torch.allclose(network.outer(x, t, deep), raw, atol=1e-6)
        assert not torch.allclose(network.outer(x, t, deep + 0.1), raw, atol=1e-6)


def test_the_outer_blocks_are_less_work() -> None:
    model, seen = tiny_model(), []
    for block in model.residual_blocks():
        block.register_forward_hook(lambda *_: seen.append(1))
    x, t = torch.randn(1, 1, 32, 32), torch.tensor([400])
    with torch.inference_mode():
        network = model.at(torch.randn(1, 32))
        _, deep = network.with_deep(x, t)
        n_whole = len(seen)
        network.outer(x, t, deep)
    assert len(seen) - n_whole < n_whole
    assert N_OUTER == 2


def test_reuse_of_1_is_exact_and_of_2_is_not() -> None:
    model = tiny_model()
    x, z = torch.rand(1, 1, 32, 32) * 2 - 1, torch.randn(1, 32)
    way = solver("dpm")
    schedule = way.schedule(model.diffusion, 6)
    with torch.inference_mode():
        plain, one, two = (
            way.invert(denoise, x, schedule)
            for denoise in (model.denoiser(z), model.denoiser(z, reuse=1), model.denoiser(z, reuse=2))
        )
    assert (plain == one).all()
    assert not torch.allclose(plain, two, atol=1e-6)
    assert torch.isfinite(two).all()


def test_an_editor_that_reuses_starts_each_run_anew(photo: Photo) -> None:
    editor = Editor(tiny_model(), tiny_directions(), model_id="tiny", device="cpu", steps=4, reuse=2)
    first, again = (editor.edit(photo, to="happy").photo.pixels for _ in range(2))
    assert (first == again).all()


def test_records_tell_reuse_and_an_exact_edit_is_not_taken_for_it(photo: Photo, tmp_path: Path) -> None:
    from emorph.core.encode import write_image

    write_image(tmp_path / "a.png", photo.pixels)
    exact = Editor(tiny_model(), tiny_directions(), model_id="tiny", device="cpu", steps=2)
    reusing = Editor(tiny_model(), tiny_directions(), model_id="tiny", device="cpu", steps=2, reuse=2)
    edit_files(exact, [tmp_path / "a.png"], tmp_path / "out", "happy")
    report = edit_files(reusing, [tmp_path / "a.png"], tmp_path / "out", "happy")
    assert report.n_before == 0
    last = list(read(tmp_path / "out" / "edits.jsonl"))[-1]
    assert last.solver == "dpm, reuse 2"
    assert replace(last, solver="dpm") != last


def test_a_row_of_deep_features_does_not_depend_on_the_others() -> None:
    class Rows(Counted):
        """Its deep features differ in size from row to row."""

        def with_deep(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            return x_t, x_t * (1 + t / 100)

        def outer(self, x_t: Tensor, t: Tensor, deep: Tensor) -> Tensor:
            return deep

    x = (
        torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1.0, 10, 100])[:, None, None, None]
    )
    process = tiny_model().diffusion
    together, alone = DeepReuse(Rows(), 2, process), DeepReuse(Rows(), 2, process)
    for step in (900, 800, 600, 500):
        t = torch.tensor([step])
        both, one = together.evaluate(x, t), alone.evaluate(x[1:2], t)
    torch.testing.assert_close(both[1:2], one)
