"""Where z_sem goes for an emotion, or valence and arousal: along what the linear models know."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from emorph.core.action_units import EMOTION_UNITS
from emorph.core.errors import MissingAssetError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.landmarks import MIRRORED
from emorph.core.types import Target
from emorph.diffusion.noise import seeded_noise
from emorph.face3d.action_units import BLINKS, units_among, unknown_among
from emorph.faces.creases import Crease
from emorph.faces.gape import AskedGape, Openings
from emorph.models.diffae import DiffAE
from emorph.models.directions import AffectAxes, Directions, move
from emorph.models.latent import sample_latents
from emorph.models.shift import asked_for
from emorph.models.unit_axes import UnitAxes

# The amplitude of the official notebook for its "Smiling", in units of sqrt(z_dim); strength 1 where class means are
# not known (Preechakul et al. 2022, manipulate notebook).
OFFICIAL_AMPLITUDE = 0.3
# Kinds of creases by the unit that pushes the skin together, without its side
CREASING: Mapping[str, tuple[Crease, ...]] = {
    "browDown": ("frown",),
    "browInnerUp": ("forehead",),
    "browOuterUp": ("forehead",),
    "noseSneer": ("frown", "nose"),
}


def editable(directions: Directions) -> list[Emotion]:
    """The emotions that these directions know, in AffectNet's order."""
    return sorted({emotion for emotion in map(Emotion.known, directions.labels) if emotion is not None})


def need_directions(directions: Directions | None, model_id: str) -> Directions:
    """The directions of a model. Raises MissingAssetError if it has none."""
    if directions is None:
        raise MissingAssetError(
            f"{model_id} can encode and reconstruct faces, but knows no emotions. Train directions with "
            "`emorph train run` (as examples/emorph-base-64/5_directions.toml does), then give their folder: "
            "--directions FOLDER, or in Python directions=FOLDER."
        )
    return directions


def new_codes(model: DiffAE, model_id: str, seeds: Sequence[int], steps: int) -> Tensor:
    """z_sem of new faces, (len(seeds), z_dim), by steps of the model's latent net. Raises MissingAssetError without."""
    if model.latent_net is None or model.latent_stats is None:
        raise MissingAssetError(
            f"{model_id} has no latent net, so it cannot draw new faces; train one with "
            "`emorph train run latent.toml`, or load a latent checkpoint (ffhq256_autoenc_latent)."
        )
    noise = seeded_noise([seed ^ 0x5EED for seed in seeds], (model.config.z_dim,), model.latent_stats.mean.device)
    return sample_latents(model.latent_net, model.latent_stats, noise, steps)


def need_emotions(directions: Directions) -> list[Emotion]:
    """The emotions that these directions know. Raises MissingAssetError if they know none."""
    known = editable(directions)
    if not known:
        raise MissingAssetError(
            f"these directions know no emotion: their classes are {', '.join(directions.labels[:5])}, ... "
            "Train directions on faces labelled with emotions: `emorph train run classifier.toml`."
        )
    return known


def check_known(directions: Directions, targets: Iterable[Target]) -> None:
    """Raises an error for the first target that the directions do not know.

    UnknownNameError for an emotion, MissingAssetError for valence, arousal or all action units, ConfigError for one.
    """
    for target in (part for asked in targets for part in asked.parts):
        if target.emotion is not None:
            _row(directions, target.emotion)
        elif target.units:
            units_among(_units(directions).names, dict(target.units))
        else:
            _axes(directions)


def directions_digest(directions: Directions | None) -> str:
    """Eight hexadecimal digits that tell directions apart; "" for none."""
    if directions is None:
        return ""
    digest = hashlib.sha256(repr((directions.labels, directions.gains)).encode())
    for name, tensor in sorted(directions.tensors().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


def edited_codes(z: Tensor, directions: Directions, targets: Sequence[Target]) -> Tensor:
    """z_sem of every face for every target.

    z: (B, z_dim). Returns (B, n_targets, z_dim); strength 0 gives z itself.
    Raises as ``check_known`` for a target that the directions do not know.
    """
    check_known(directions, targets)
    return torch.stack([_mixed(z, directions, target) if target.strength else z for target in targets], dim=1)


def _mixed(z: Tensor, directions: Directions, target: Target) -> Tensor:
    """z_sem (B, z_dim) for a target; the steps of a blend's parts, each from z itself, add up."""
    first, *others = target.parts
    z_to = _edited(z, directions, first)
    for part in others:
        z_to = z_to + _edited(z, directions, part) - z
    return z_to


def _edited(z: Tensor, directions: Directions, target: Target) -> Tensor:
    if target.units:
        axes = _units(directions)
        step = axes.step(directions.stats.normalise(z), units_among(axes.names, dict(target.units)))
    elif target.emotion is None:
        step = _affect_step(z, directions, target)
    elif directions.means is None:
        direction = directions.weight[_row(directions, target.emotion)]
        return _shifted(
            move(z, direction, OFFICIAL_AMPLITUDE * target.strength, directions.stats), z, directions, target
        )
    else:
        step = _emotion_step(z, directions, directions.means, _row(directions, target.emotion))
    z_to = directions.stats.denormalise(directions.stats.normalise(z) + target.strength * step)
    return _shifted(z_to, z, directions, target)


def _shifted(z_to: Tensor, z: Tensor, directions: Directions, target: Target) -> Tensor:
    """z_to (B, z_dim), and what a learned shift adds to the step from z; itself where there is none, or for units."""
    if directions.shift is None or target.units:
        return z_to
    asked, strength = asked_for(target).to(z).expand(len(z), -1), z.new_full((len(z), 1), target.strength)
    return z_to + directions.shifted_by(z, asked, strength)


def _emotion_step(z: Tensor, directions: Directions, means: Tensor, row: int) -> Tensor:
    """From the mean of what the classifier sees in the faces now to the mean of a class, (B, z_dim), normalised.

    The present expression goes as the new one comes, and a face that shows the target already stays. Along class means
    rather than weight vectors, because weights are filters: they tell classes apart, but faces do not vary along them
    (Haufe et al. 2014). What its mouth has beyond an average face's goes, too, where the directions know mouths.
    """
    seen_now = torch.softmax(directions.logits(z), dim=-1) @ means
    step = directions.gains[row] * (means[row] - seen_now)
    mouth = directions.mouth
    if mouth is None or not mouth.knows(row):
        return step
    return step + mouth.correction(directions.stats.normalise(z) + step, mouth.read(seen_now + step), row)


def _affect_step(z: Tensor, directions: Directions, target: Target) -> Tensor:
    """As ``_emotion_step``: from the mean face of the valence and arousal that are read now to that of those asked for.

    What is not asked for stays as it is read.
    """
    axes = _axes(directions)
    now = directions.affect_of(z)
    wanted = now.clone()
    for i, value in enumerate((target.valence, target.arousal)):
        if value is not None:
            wanted[:, i] = value
    return (wanted - now) @ axes.slopes


def _axes(directions: Directions) -> AffectAxes:
    if directions.affect is None:
        raise MissingAssetError(
            "these directions know emotions only, not valence and arousal. Train others with `emorph train run "
            "classifier.toml` on faces that have the columns valence and arousal."
        )
    return directions.affect


def _units(directions: Directions) -> UnitAxes:
    if directions.units is None:
        raise MissingAssetError(
            "these directions know emotions only, no action units. Use a rig (--model emorph-rig), or train others "
            "with `emorph train run classifier.toml` whose [head] states units."
        )
    return directions.units


def landmark_steps(z: Tensor, z_to: Tensor, directions: Directions, even: Sequence[bool] | None = None) -> Tensor:
    """How the 68 landmarks move when z_sem (..., z_dim) goes to z_to: (..., 68, 2) (x, y) in half sides of the crop.

    even: which of the steps along the last dimension but two move both sides alike, by default none: see ``is_even``.
    Raises MissingAssetError where the directions do not know it.
    """
    if directions.landmarks is None:
        raise MissingAssetError("these directions do not know landmarks; train them on a data set with 'landmarks68'.")
    step = directions.stats.normalise(z_to) - directions.stats.normalise(z)
    moved = torch.einsum("...d,pcd->...pc", step, directions.landmarks)
    if even is None:
        return moved
    mirrored = moved[..., list(MIRRORED), :] * moved.new_tensor([-1, 1])
    return torch.where(torch.tensor(even, device=moved.device)[:, None, None], (moved + mirrored) / 2, moved)


def is_even(target: Target) -> bool:
    """Whether a target moves both sides of a face alike. What is learnt of a few faces else shuts one eye further.

    Not contempt and units, which have sides, nor neutral, which takes back what a face shows on one side.
    """
    sided = (Emotion.CONTEMPT, Emotion.NEUTRAL)
    return all(not part.units and part.emotion not in sided for part in target.parts)


def creases(directions: Directions, targets: Sequence[Target]) -> frozenset[Crease] | None:
    """The kinds of creases that targets ask for together, by the action units of their emotions.

    None where that is not known: of valence and arousal, and where the directions know no units.
    """
    parts = [part for target in targets for part in target.parts]
    if directions.units is None or any(part.emotion is None and not part.units for part in parts):
        return None
    names, found = directions.units.names, set[Crease]()
    for part in parts:
        asked = dict(part.units) if part.emotion is None else EMOTION_UNITS[part.emotion]
        absent = unknown_among(names, asked)
        shares = units_among(names, {name: share for name, share in asked.items() if name not in absent})
        moved = [unit for unit, share in shares.items() if part.strength * share > 0]
        found.update(*(CREASING.get(unit.removesuffix("_L").removesuffix("_R"), ()) for unit in moved))
    return frozenset(found)


def openings(directions: Directions, targets: Sequence[Target]) -> list[Openings]:
    """What each target asks of lips and lids."""
    return [Openings(_gape(directions, target), lids(directions, [target])) for target in targets]


def lids(directions: Directions, targets: Sequence[Target]) -> tuple[float, float]:
    """What is left of the left and the right eye's opening, in the picture, as several targets together shut them."""
    shut = dict.fromkeys(BLINKS, 0.0)
    for part in (part for target in targets for part in target.parts if part.units):
        asked = units_among(_units(directions).names, dict(part.units))
        shut = {name: value + part.strength * asked.get(name, 0.0) for name, value in shut.items()}
    left, right = (min(max(1 - value, 0.0), 1.0) for value in shut.values())
    return left, right


def _gape(directions: Directions, target: Target) -> AskedGape | None:
    """How far the lips part; None where the directions do not know it, as of action units."""
    mouth, share, gap = directions.mouth, 0.0, 0.0
    for part in target.parts:
        row = None if part.emotion is None else _row(directions, part.emotion)
        if mouth is None or row is None or not mouth.knows(row):
            return None
        share += part.strength
        gap += part.strength * float(mouth.wanted[row, 0])
    return AskedGape(share, gap)


def _row(directions: Directions, emotion: Emotion) -> int:
    for i, label in enumerate(directions.labels):
        if Emotion.known(label) == emotion:
            return i
    raise UnknownNameError("emotion", emotion.word, [e.word for e in editable(directions)])
