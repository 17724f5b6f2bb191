"""The kind of the rig: our folders, and DiffusionRig's official model*.pt."""

from __future__ import annotations

from emorph.models.kinds.kind import Facts, FileForm, Hints, ModelKind, Weights, folder_of, save_module
from emorph.models.recognise import RIG_UNET, rig_config_from_state
from emorph.models.rig import Rig, RigConfig
from emorph.models.sources import Source


def _sort(source: Source) -> Weights | None:
    return source.tensors if any(key.startswith(RIG_UNET) for key in source.tensors) else None


def _file_config(source: Source, weights: Weights, hints: Hints) -> RigConfig:
    return rig_config_from_state(weights, image_size=hints.image_size, num_heads=hints.num_heads, source=source.name)


def _load(source: Source, weights: Weights, hints: Hints) -> Rig:
    return Rig.from_tensors(_file_config(source, weights, hints), weights, source.name)


RIG = ModelKind(
    name="rig",
    what="a DiffusionRig model",
    use="load it with emorph.models.load_rig, or name it in emorph transfer --model",
    folder=folder_of(Rig),
    file=FileForm(_sort, _load, lambda source, weights, hints: Facts(_file_config(source, weights, hints))),
    save=save_module,
)
