"""The kind of directions in z_sem: our folders, and the official classifiers of emotions or attributes."""

from __future__ import annotations

from pathlib import Path

import torch

from emorph.core.errors import CheckpointError
from emorph.core.pretrained import read_config
from emorph.models import directions
from emorph.models.diffae import latent_stats_from
from emorph.models.directions import Directions, DirectionsConfig
from emorph.models.kinds.kind import Facts, FileForm, FolderForm, Hints, ModelKind, Weights
from emorph.models.sources import STATISTICS, Source

_WEIGHT, _BIAS = "classifier.weight", "classifier.bias"
# fmt: off
CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)
# fmt: on


def _sort(source: Source) -> Weights | None:
    """The raw classifier, not its average: manipulation uses it officially, too."""
    tensors = source.tensors
    if _WEIGHT not in tensors:
        return None
    weight, bias = tensors[_WEIGHT], tensors.get(_BIAS)
    if weight.ndim != 2:
        raise CheckpointError(f"{source.name} does not fit: {_WEIGHT} has {weight.ndim} dimensions, not 2.")
    if bias is None or bias.shape != weight.shape[:1]:
        raise CheckpointError(f"{source.name} does not fit: {_BIAS} is missing or has another length than the weight.")
    return {"weight": weight, "bias": bias} | {key: tensors[key] for key in STATISTICS if key in tensors}


def _labels(weights: Weights) -> tuple[str, ...]:
    """Names of a classifier's classes: CelebA's attributes, or numbers."""
    n_classes = len(weights["weight"])
    if n_classes == len(CELEBA_ATTRIBUTES):
        return CELEBA_ATTRIBUTES
    return tuple(f"class_{i}" for i in range(n_classes))


def _load(source: Source, weights: Weights, hints: Hints) -> Directions:
    weight, bias = (weights[key].float().clone() for key in ("weight", "bias"))
    return Directions(weight, bias, _labels(weights), latent_stats_from(weights, weight.shape[1], source.name))


def _folder_facts(folder: Path) -> Facts:
    config = DirectionsConfig.parse(read_config(folder, directions.KIND), str(folder))
    return Facts(labels=config.labels)


def _save(model: Directions, folder: Path, dtype: torch.dtype) -> None:
    model.save_pretrained(folder)  # in float32, whatever is asked: they are small


DIRECTIONS = ModelKind(
    name="directions",
    what="an official emotion/attribute classifier",
    use="pass it as directions=",
    folder=FolderForm(directions.KIND, Directions.from_pretrained, _folder_facts),
    file=FileForm(
        _sort,
        _load,
        facts=lambda source, weights, hints: Facts(labels=_labels(weights)),
        detail=lambda weights: f" ({len(weights['weight'])} classes)",
    ),
    save=_save,
)
