"""Against the published code: the same weights in both, checked to be equal, timed in turns in one run.

python bench/official.py [--code DIFFAE] [--checkpoint last.ckpt] [--backend openvino] [--steps 7] [--whole]

--code is your own checkout of the published diffusion autoencoder; nothing of it is in this repository. Without it the
baseline is emorph's own exact path without any speed-up, whose numbers are the published code's. Weights are random
unless --checkpoint names the official file: times do not depend on them. A sheet is one face, inverted, and drawn with
eight codes: in the published way with 250 and 100 evaluations, one face at a time, here with --steps in both directions
and all codes together. --whole runs inversion and drawing to their ends and measures both reconstructions (of the eight
pictures that are drawn one by one, one); else a few evaluations of each loop are timed, and multiplied. --counted times
single evaluations alone, and multiplies them by their number: for models of which one takes seconds.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from emorph.core.errors import EmorphError
from emorph.core.images import to_pixels, to_tensor
from emorph.edit.codec import Codec
from emorph.edit.crops import DEFAULT_STEPS
from emorph.edit.pipeline import Editor
from emorph.evaluate import psnr, ssim
from emorph.models import DiffAE, DiffAEConfig, load
from emorph.models.backends.choose import load_for
from support.measure import alternating_s, clock_s, matrix_rate, table, write_section
from support.published import Plain, Published, random_weights

PHOTO = Path(__file__).parent.parent / "examples" / "astronaut.png"
N_CODES = 8  # of a sheet
BATCHES = (1, 2, 4, 8, 9)
INVERT_STEPS, RENDER_STEPS = 250, 100  # of the published notebooks
TIMED_STEPS = (2, 4)  # evaluations in each direction: what lies between them is the time of two


class Baseline(Protocol):
    """What is measured against; pictures (B, C, S, S) in [-1, 1]."""

    name: str

    def encode(self, x: Tensor) -> Tensor: ...
    def unet(self, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor: ...
    def invert(self, x: Tensor, z: Tensor, n_steps: int) -> Tensor: ...
    def render(self, x_T: Tensor, z: Tensor, n_steps: int) -> Tensor: ...


@dataclass(frozen=True)
class Pair:
    """The two that are compared, and a face for both. ours: with the backend and options that were asked for."""

    base: Baseline
    exact: DiffAE
    ours: DiffAE
    x: Tensor
    solver: str
    steps: int
    reuse: int

    def codec(self, steps: int) -> Codec:
        """Inversion and drawing as an Editor does them."""
        return Codec(self.ours, steps=steps, solver_name=self.solver, reuse=self.reuse)


def face(model: DiffAE) -> Tensor:
    """The example photo's face, (1, C, S, S) in [-1, 1]."""
    x = to_tensor(Editor(model, device="cpu").faces(PHOTO)[0].pixels[None])
    return x.mean(dim=1, keepdim=True) if model.config.image_channels == 1 else x


def equality(pair: Pair) -> str:
    """How far z_sem and one evaluation lie from the baseline's, over the largest value."""
    x, t = pair.x, torch.tensor([500])
    z = pair.base.encode(x)
    eps = pair.base.unet(x, t, z)

    def off(a: Tensor, b: Tensor) -> str:
        return f"{float((a - b).abs().max() / b.abs().max()):.0e}"

    rows = [
        [name, off(model.encode(x), z), off(model.denoiser(z)(x, t), eps)]
        for name, model in (("emorph, torch", pair.exact), ("emorph, as timed", pair.ours))
    ]
    return table(["difference to the baseline", "encoder", "U-Net"], rows)


def single(pair: Pair, repeats: int) -> str:
    """Encoder and U-Net, with the share of the machine's matrix rate."""
    rate = matrix_rate(torch.float32, repeats)
    rows = []
    works: dict[str, tuple[int, Callable[[], object], Callable[[], object]]] = {
        "encoder, 1": (1, lambda: pair.base.encode(pair.x), lambda: pair.ours.encode(pair.x))
    }
    for n in BATCHES:
        x, z = pair.x.repeat(n, 1, 1, 1), pair.exact.encode(pair.x).repeat(n, 1)
        t, denoise = torch.full((n,), 500), pair.ours.denoiser(z)
        works[f"U-Net, {n}"] = (
            n,
            lambda x=x, z=z, t=t: pair.base.unet(x, t, z),  # type: ignore[misc]
            lambda x=x, t=t, d=denoise: d(x, t),  # type: ignore[misc]
        )
    flops_of = flops(pair)
    for name, (n, base, ours) in works.items():
        s = alternating_s({"base": base, "ours": ours}, repeats=repeats, warm_up=1 if n == 1 else 0)
        shares = [f"{n * flops_of[name.partition(',')[0]] / s[way] / rate:.0%}" for way in ("base", "ours")]
        cells = [name, f"{1000 * s['base']:.0f}", f"{1000 * s['ours']:.0f}", f"{s['base'] / s['ours']:.2f}", *shares]
        print(*cells, flush=True)
        rows.append(cells)
    header = ["network, batch", f"{pair.base.name}, ms", "emorph, ms", "ratio", "share of the matrix rate", "emorph's"]
    return f"Matrix rate: {rate / 1e9:.0f} GFLOP/s.\n\n{table(header, rows)}"


def flops(pair: Pair) -> dict[str, int]:
    """Floating-point operations of one picture in each network."""
    z = pair.exact.encode(pair.x)
    with FlopCounterMode(display=False) as encoder:
        pair.exact.encode(pair.x)
    with FlopCounterMode(display=False) as unet:
        pair.exact(pair.x, torch.tensor([500]), z)
    return {"encoder": int(encoder.get_total_flops()), "U-Net": int(unet.get_total_flops())}


def sheet(pair: Pair, repeats: int) -> str:
    """Inversion and the whole sheet, from the time of two evaluations of each loop."""
    z = pair.exact.encode(pair.x)
    z_to = z.repeat(N_CODES + 1, 1)
    x_T = torch.randn(pair.x.shape, generator=torch.Generator().manual_seed(0))
    many = x_T.repeat(N_CODES + 1, 1, 1, 1)
    few, more = TIMED_STEPS
    works: dict[str, Callable[[], object]] = {}
    for n in (few, more):
        works |= {
            f"base invert {n}": lambda n=n: pair.base.invert(pair.x, z, n),  # type: ignore[misc]
            f"base render {n}": lambda n=n: pair.base.render(x_T, z, n),  # type: ignore[misc]
            f"ours invert {n}": lambda n=n: pair.codec(n).invert(pair.x, z),  # type: ignore[misc]
            f"ours render {n}": lambda n=n: pair.codec(n).decode(many, z_to),  # type: ignore[misc]
        }
    s = alternating_s(works, repeats=repeats, warm_up=0)
    one = {
        way: (s[f"{way} {more}"] - s[f"{way} {few}"]) / (more - few)
        for way in ("base invert", "base render", "ours invert", "ours render")
    }
    base = [INVERT_STEPS * one["base invert"], N_CODES * RENDER_STEPS * one["base render"]]
    ours = [pair.steps * one["ours invert"], pair.steps * one["ours render"]]
    return sheet_table(pair, base, ours)


def counted(pair: Pair, repeats: int) -> str:
    """The sheet by the times of single evaluations: of one picture, and of all that are drawn together."""
    z, n = pair.exact.encode(pair.x), N_CODES + 1
    one, many = pair.ours.denoiser(z), pair.ours.denoiser(z.repeat(n, 1))
    t, x = torch.tensor([500]), pair.x.repeat(n, 1, 1, 1)
    s = alternating_s(
        {
            "base": lambda: pair.base.unet(pair.x, t, z),
            "one": lambda: one(pair.x, t),
            "many": lambda: many(x, t.repeat(n)),
        },
        repeats=repeats,
    )
    base = [INVERT_STEPS * s["base"], N_CODES * RENDER_STEPS * s["base"]]
    ours = [pair.steps * s["one"], pair.steps * s["many"]]
    times = f"One evaluation: {pair.base.name} {s['base']:.2f} s; emorph {s['one']:.2f} s, of {n} {s['many']:.2f} s."
    return f"{times}\n\n{sheet_table(pair, base, ours)}"


def sheet_table(pair: Pair, base: list[float], ours: list[float]) -> str:
    """Seconds of inversion and drawing, and of both together."""
    rows = [
        [name, f"{a:.1f}", f"{b:.1f}", f"{a / b:.1f}"]
        for name, a, b in (
            ("inversion", base[0], ours[0]),
            ("eight pictures", base[1], ours[1]),
            ("sheet", sum(base), sum(ours)),
        )
    ]
    return table(["part", f"{pair.base.name}, s", "emorph, s", "ratio"], rows)


def whole(pair: Pair) -> str:
    """Inversion and drawing to their ends, and what both make of the face."""
    z = pair.base.encode(pair.x)
    before = clock_s()
    theirs_T = pair.base.invert(pair.x, z, INVERT_STEPS)
    inverted = clock_s()
    theirs = pair.base.render(theirs_T, z, RENDER_STEPS)
    drawn = clock_s()
    base = [inverted - before, N_CODES * (drawn - inverted)]
    codec = pair.codec(pair.steps)
    before = clock_s()
    ours_T = codec.invert(pair.x, pair.ours.encode(pair.x))
    inverted = clock_s()
    ours = codec.decode(ours_T.repeat(N_CODES + 1, 1, 1, 1), z.repeat(N_CODES + 1, 1))[:1]
    times = [inverted - before, clock_s() - inverted]
    a = torch.from_numpy(to_pixels(pair.x)).permute(0, 3, 1, 2).float()
    rows = []
    for name, picture in ((pair.base.name, theirs.clamp(-1, 1)), ("emorph", ours)):
        b = torch.from_numpy(to_pixels(picture)).permute(0, 3, 1, 2).float()
        rows.append([name, f"{float(psnr(a, b, data_range=255)):.2f}", f"{float(ssim(a, b, data_range=255)):.4f}"])
    return f"{sheet_table(pair, base, times)}\n\n{table(['reconstruction by', 'PSNR', 'SSIM'], rows)}"


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--code", type=Path)
    parser.add_argument("--checkpoint", help="an official checkpoint, or any autoencoder that emorph can load")
    parser.add_argument("--preset", default="ffhq128", choices=("ffhq128", "ffhq256"), help="sizes of random weights")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--solver", default="dpm")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--reuse", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--counted", action="store_true", help="time single evaluations alone")
    parser.add_argument("--show", action="store_true", help="print the section, and leave RESULTS.md as it is")
    return parser.parse_args()


def models(asked: argparse.Namespace, work: Path) -> tuple[DiffAE, DiffAE, str]:
    """In torch, with the backend, and how their weights are called."""
    if asked.checkpoint:
        try:
            exact = load(asked.checkpoint)
        except EmorphError as error:
            raise SystemExit(str(error)) from None
        name, source = asked.checkpoint, Path(asked.checkpoint).name
    else:
        exact = DiffAE(DiffAEConfig.preset(asked.preset)).eval().requires_grad_(False)
        random_weights(exact)
        name, source = str(work / asked.preset), f"{asked.preset}, random weights"
        if asked.backend != "torch":
            exact.save_pretrained(name)
    ours = exact if asked.backend == "torch" else load_for(name, asked.backend)
    return exact, ours, source


def baseline(code: Path | None, exact: DiffAE) -> Baseline:
    """The published code, or emorph's own exact path on weights of its own: an Editor lays its model's out anew."""
    return Published(code, exact.config, exact.state_dict()) if code else Plain(copy.deepcopy(exact))


@torch.inference_mode()
def main() -> None:
    """Measure and write the section "Against the published code" of these weights."""
    asked = arguments()
    with tempfile.TemporaryDirectory() as folder:
        with torch.inference_mode(False):
            exact, ours, source = models(asked, Path(folder))
            base = baseline(asked.code, exact)
        steps = asked.steps or exact.config.edit_steps or DEFAULT_STEPS
        pair = Pair(base, exact, ours, face(exact), asked.solver, steps, asked.reuse)
        how = f"{asked.backend}, solver {asked.solver}, {steps} evaluations in each direction" + (
            f", reuse {asked.reuse}" if asked.reuse > 1 else ""
        )
        told = "measured whole" if asked.whole else "timed by a few evaluations of each loop, and multiplied"
        told = "the time of one evaluation by their number" if asked.counted else told
        parts = [equality(pair)]
        if asked.counted:
            parts.append(counted(pair, asked.repeats))
        else:
            parts += [single(pair, asked.repeats), whole(pair) if asked.whole else sheet(pair, asked.repeats)]
    runs = "one run" if asked.repeats == 1 else f"medians of {asked.repeats} runs"
    said = "" if asked.code else " No checkout of the published code was given (--code): the baseline is emorph's own."
    body = f"""{source}; emorph with {how}; {runs}, in turns.
The sheet is {told}.{said}

{(chr(10) * 2).join(parts)}
"""
    words = [f"--checkpoint {source}" if asked.checkpoint else f"--preset {asked.preset}"]
    words += ["--code DIFFAE"] if asked.code else []
    words += [f"--backend {asked.backend} --solver {asked.solver} --steps {steps} --reuse {asked.reuse}"]
    words += [f"--repeats {asked.repeats}"]
    words += ["--whole"] if asked.whole else ["--counted"] if asked.counted else []
    if asked.show:
        print(body)
    else:
        write_section(
            f"Against the published code: {source.partition(',')[0]}",
            " ".join(["python bench/official.py", *words]),
            body,
        )


if __name__ == "__main__":
    main()
