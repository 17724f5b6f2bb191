"""Train emorph-loss-emotion: a network that names emotions for losses, and is not the judge.

python emotion.py faces.npz runs/emorph-loss-emotion --start runs/emorph-shape --edits edits.npz

It starts from the trunk that shape.py trained. It learns what teacher.py's network sees in every face of both files
(Hinton et al. 2015), and of faces with a label that label, too. What is rarely seen is drawn more often. GENKI's "not
happy" only says what a face is not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from drawn import Columns, changed, plain, read, train
from faces import WINDOW
from numpy.typing import NDArray
from torch import Tensor

from emorph.models.emotion_net import EmotionNet, EmotionNetConfig
from emorph.models.shape_net import ShapeNet

LABELS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
NOT_HAPPY = "not happy"
N_FACES = 64  # of a step
NAMES = {"fer2013": "fer2013/val"}  # the part of FER-2013 that the judge did not learn from
BALANCE = 0.6  # an emotion is drawn as often as its number of pictures to the power of 1 - BALANCE
SIDE_PX = 64
LR = 2e-3
LABEL_WEIGHT = 0.3  # of a face's own label beside what the teacher sees
TEACHER = "face-api.js"


def main() -> None:
    """Train, save, and say how well people's emotions are named that were not trained on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", type=Path, help="folder of shape.py")
    parser.add_argument("--edits", type=Path, help="faces of edits.py, named by teacher.py as FACES are")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--only-measure", action="store_true", help="of the network in OUT")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    columns = read(arguments.faces)
    if not arguments.only_measure:
        rows = training_rows(arguments.faces, columns, arguments.edits)
        sets = {NAMES.get(name, f"{name}/train") for name in rows["source_set"].tolist() if name}
        start = ShapeNet.from_pretrained(arguments.start) if arguments.start else None
        config = EmotionNetConfig(
            labels=LABELS,
            crop=WINDOW,
            image_size=SIDE_PX,
            trained_on=tuple(sorted({TEACHER, *sets, *(start.config.trained_on if start else ())})),
        )
        model = EmotionNet(config)
        if start is not None:
            model.trunk.load_state_dict(start.trunk.state_dict())
        mean = train(model, _loss(model, rows), arguments.steps, arguments.out, lr=LR)
        mean.save_pretrained(arguments.out, dtype=torch.float16)
    held = np.isin(columns["label"], (*LABELS, NOT_HAPPY)) & (columns["split"] == "val")
    rows = {name: values[held] for name, values in columns.items() if name != "units"}
    for line in measured(EmotionNet.from_pretrained(arguments.out), rows):
        print(line)


def training_rows(path: Path, columns: Columns, edits: Path | None) -> Columns:
    """Pixels, labels ("" for none), sets and the teacher's logits "seen" of all training faces, edited ones behind."""
    used = columns["split"] == "train"
    rows = {name: columns[name][used] for name in ("pixels", "label", "source_set")}
    rows["seen"] = seen_by_teacher(path)[used]
    if edits is None:
        return rows
    pixels = read(edits)["pixels"]
    none = np.full(len(pixels), "")
    more = {"pixels": pixels, "label": none, "source_set": none, "seen": seen_by_teacher(edits)}
    return {name: np.concatenate([rows[name], more[name]]) for name in rows}


def seen_by_teacher(path: Path) -> NDArray[np.float32]:
    """Logits (N, 7) that teacher.py wrote beside a file."""
    return read(path.with_suffix(".named.npz"))["logits"]


def _loss(model: EmotionNet, rows: Columns) -> Callable[[int], Tensor]:
    """The loss of a step on faces drawn anew."""
    seen = torch.from_numpy(rows["seen"]).log_softmax(dim=1)
    word = seen.argmax(dim=1).numpy()
    weight = np.bincount(word, minlength=len(LABELS)).clip(1)[word] ** -BALANCE
    target = torch.tensor([LABELS.index(name) if name in LABELS else -1 for name in rows["label"].tolist()])
    told = torch.from_numpy(np.isin(rows["label"], (*LABELS, NOT_HAPPY)))
    rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    model.to(memory_format=torch.channels_last)

    def loss(step: int) -> Tensor:
        drawn = rng.choice(len(word), N_FACES, p=weight / weight.sum())
        x = changed(rows["pixels"][drawn], model.config.image_size, generator, mirror=True)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x.contiguous(memory_format=torch.channels_last), model.config.crop).float()
        taught = F.kl_div(logits.log_softmax(dim=1), seen[drawn], reduction="none", log_target=True).sum(dim=1)
        own = torch.where(told[drawn], LABEL_WEIGHT, 0.0)
        return ((1 - own) * taught + own * missed(logits, target[drawn])).mean()

    return loss


def missed(logits: Tensor, target: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy of the labels, (B,); of a face that is only known not to be happy (-1), that of not happy."""
    log_p = logits.log_softmax(dim=1)
    right = log_p.gather(1, target.clamp_min(0)[:, None])[:, 0]
    named = -(1 - smoothing) * right - smoothing * log_p.mean(dim=1)
    happy = log_p[:, LABELS.index("happy")].clamp(max=-1e-3)
    return torch.where(target < 0, -torch.log1p(-happy.exp()), named)


@torch.inference_mode()
def measured(model: EmotionNet, rows: Columns) -> list[str]:
    """Recall of each emotion on held-out people, and how often a smile is told in GENKI, with 95 % intervals."""
    logits = torch.cat([model(x, model.config.crop) for x in plain(rows["pixels"], model.config.image_size)])
    named = np.array(LABELS)[logits.argmax(dim=1).numpy()]
    genki = rows["source_set"] == "genki"
    lines = []
    for word in LABELS:
        of_word = (rows["label"] == word) & ~genki
        names, counts = np.unique(rows["source_set"][of_word], return_counts=True)
        sets = ", ".join(f"{name} {n}" for name, n in zip(names, counts, strict=True))
        lines.append(f"| {word} | {share(named[of_word] == word)} | {int(of_word.sum())} ({sets}) |")
    right = (named == rows["label"])[~genki]
    lines.append(f"| all | {share(right)} | {len(right)} |")
    smiles = (named == "happy") == (rows["label"] == "happy")
    lines.append(f"| smile or not, GENKI | {share(smiles[genki])} | {int(genki.sum())} |")
    return lines


def share(right: NDArray[np.bool_], z: float = 1.96) -> str:
    """A share with its interval (Wilson 1927)."""
    n, p = len(right), float(right.mean()) if len(right) else 0.0
    if not n:
        return "none"
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return f"{p:.2f} ({middle - half:.2f} to {middle + half:.2f})"


if __name__ == "__main__":
    main()
