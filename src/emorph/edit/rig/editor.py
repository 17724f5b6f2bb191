"""Faces changed through a 3D face: parts of one photo's face on others, or action units set. Read top to bottom.

photo -> faces with coefficients and code (read.py) -> the look that is wanted (parts.py, face3d/action_units.py)
      -> crops that show it (draw.py) -> pasted into the photo (emorph.edit.result)
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emorph.core.device import choose_device
from emorph.core.errors import NoFaceError
from emorph.core.images import read_photo
from emorph.core.loss_networks import LossNetwork, parse_losses
from emorph.core.types import OnStep
from emorph.diffusion.samplers import solver
from emorph.edit.pipeline import PhotoSource
from emorph.edit.result import Edit, pasted_edits
from emorph.edit.rig.draw import RigPainter
from emorph.edit.rig.mouth import light_of, painted_by
from emorph.edit.rig.parts import Look, RigFace, check_parts, look_like, mean_shape
from emorph.edit.rig.read import PhotoReader
from emorph.face3d.action_units import with_blend
from emorph.face3d.model import FaceModel
from emorph.faces.detect import MIN_FACE_PX, SURE_SCORE, Detector, as_detector
from emorph.models.beside import losses_of
from emorph.models.painter import Painter, painter_beside
from emorph.models.port import load_rig
from emorph.models.rig import Rig
from emorph.models.rig_faces import FaceReader, NetworkReader, open_face, open_reader
from emorph.models.weights import fingerprint

DEFAULT_RIG = "emorph-rig"
BUNDLED_PAINTER = "emorph-base"  # whose folder holds one, for rigs that bring none of their own
DEFAULT_STEPS = 10
MOST_TURN_DEG = 20.0  # of a head whose own pixels are moved


class RigEditor:
    """Takes parts of a target's face over to source photos, or sets action units.

    The photo's pixels go where the source's mesh goes, and the rig draws what its new buffers show beside that.
    painter: paints mouths that open, close or move; without one their inside is stretched, or dark.
    """

    def __init__(
        self,
        rig: Rig,
        source_reader: FaceReader,
        target_reader: FaceReader | None = None,
        *,
        model_id: str = "unnamed",
        device: str | torch.device = "auto",
        steps: int = DEFAULT_STEPS,
        solver_name: str = "dpm",
        detector: Detector = "auto",
        min_score: float = SURE_SCORE,
        losses: Sequence[LossNetwork] = (),
        painter: Painter | None = None,
    ) -> None:
        self.device = choose_device(device)
        # float64, which the geometry needs, is not there on Apple's GPUs
        mesh_device = torch.device("cpu") if self.device.type == "mps" else self.device
        self.rig = rig.to(self.device).eval().requires_grad_(False)
        self.source_reader, self.target_reader = source_reader, target_reader or source_reader
        for reader in (self.source_reader, self.target_reader):
            _to_device(reader, mesh_device)
        self.face_model: FaceModel = self.source_reader.face
        self.painter = painter.to(self.device) if painter else None
        self.model_id = model_id
        self.losses = tuple(losses)
        self.steps = steps
        self.solver_name = solver_name
        self.detector = as_detector(detector)
        self.min_score = min_score
        self._read_source = PhotoReader(self.rig, self.source_reader, mesh_device, detector, min_score)
        self._read_target = PhotoReader(self.rig, self.target_reader, mesh_device, detector, min_score)
        self._painter = RigPainter(self.rig, self.face_model, solver(solver_name), steps, mesh_device)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = DEFAULT_RIG,
        *,
        face_model: str | Path | None = None,
        source_encoder: str | None = None,
        target_encoder: str | None = None,
        device: str | torch.device = "auto",
        steps: int = DEFAULT_STEPS,
        solver_name: str = "dpm",
        detector: Detector = "auto",
        min_score: float = SURE_SCORE,
    ) -> RigEditor:
        """Load a bundled rig, a folder, a hub id, or an official checkpoint file.

        face_model: ict_face.npz or a converted FLAME folder. source_encoder, target_encoder: "landmarks", "deca" or
        "emoca"; by default "landmarks" for a rig of ICT-FaceKit's faces, "deca" for one of FLAME's.
        detector, min_score: how faces are sought, see ``find_faces``; those of a lower score are not edited.
        Raises MissingAssetError, UnknownNameError, CheckpointError, ConfigError.
        """
        rig = load_rig(name)
        face = open_face(rig.config.face, face_model)
        usual = "landmarks" if rig.config.face == "ict" else "deca"
        encoders = [source_encoder or usual, target_encoder or source_encoder or usual]
        readers = {encoder: open_reader(encoder, face, skin=rig.config.skin) for encoder in dict.fromkeys(encoders)}
        model_id = f"{Path(name).name}-{fingerprint(rig)}"
        source, target = (readers[encoder] for encoder in encoders)
        return cls(
            rig, source, target, model_id=model_id, device=device, steps=steps, solver_name=solver_name,
            detector=detector, min_score=min_score, losses=parse_losses(losses_of(name), str(name)),
            painter=painter_beside(name) or painter_beside(BUNDLED_PAINTER),
        )  # fmt: skip

    # -- photo -> faces with coefficients and code

    def sources(
        self, photo: PhotoSource, which: str | int = "largest", *, min_face_px: int = MIN_FACE_PX
    ) -> list[RigFace]:
        """The chosen faces of a source photo: "largest", "left", "all", or a number from left to right, from 1.

        Of all faces, those that no 3D face fits are left out, and a warning names them.
        Raises ImageError, and NoFaceError also where no 3D face fits any.
        """
        return self._read_source.read(read_photo(photo), which, min_face_px)

    def target(self, photo: PhotoSource, which: str | int = "largest", *, min_face_px: int = MIN_FACE_PX) -> RigFace:
        """The face to take from; of several chosen ones the first. Raises ImageError, NoFaceError."""
        return self._read_target.read(read_photo(photo), which, min_face_px)[0]

    def target_and_neutral(
        self,
        photo: PhotoSource,
        neutral: PhotoSource,
        which: str | int = "largest",
        *,
        min_face_px: int = MIN_FACE_PX,
    ) -> tuple[RigFace, RigFace]:
        """The face to take from, and the same person's without an expression, read together: they have one shape.

        which: of ``photo``; of ``neutral`` it is the largest. Raises ImageError, NoFaceError.
        """
        faces = [self.target(photo, which, min_face_px=min_face_px), self.target(neutral, min_face_px=min_face_px)]
        target, calm = self.as_one_person(faces)
        return target, calm

    def as_one_person(self, faces: Sequence[RigFace]) -> list[RigFace]:
        """Faces of ``target``, read again as photos of one person, who has one shape. Raises NoFaceError."""
        return self._read_target.as_one_person(faces)

    def reread(self, edit: Edit[Any]) -> RigFace:
        """The first face that was changed, read again off the result. Others in the photo are not looked at.

        Raises NoFaceError if no face is found where it was, or no 3D face fits the one that is.
        """
        return self._read_source.read_again(edit.photo, edit.face.landmarks)

    # -- all of it: parts of another face, or action units

    def transfer(
        self,
        sources: Sequence[PhotoSource],
        target: PhotoSource,
        parts: Iterable[str] = ("expression",),
        *,
        target_neutral: PhotoSource | None = None,
        album: bool = False,
        face: str | int = "largest",
        seed: int | None = None,
        on_step: OnStep | None = None,
    ) -> list[Edit[Look]]:
        """Each source photo with the parts of the target's face.

        parts: "expression" (with the jaw), "pose" (the face stays centred), "light", "code" (what else there is).
        target_neutral: the target's person without an expression. With it, the expression's change from there is
        taken over, which leaves the form of that person's mouth and brows behind; without it, the expression as it is.
        album: the sources show one person, whose shape is then the mean of theirs.
        seed: None moves the photo's own pixels and draws the rest from the noise that holds them; a head turns by
        MOST_TURN_DEG at most, beyond which its far side would have to be made up. A number redraws the whole face
        from this seed's noise, as the official code does.
        Raises ImageError, NoFaceError, UnknownNameError.
        """
        chosen = check_parts(parts)
        neutral: RigFace | None = None
        if target_neutral is None:
            giver = self.target(target)
        else:
            giver, neutral = self.target_and_neutral(target, target_neutral)
        read = [self.sources(photo, face) for photo in sources]
        shape = mean_shape([faces[0] for faces in read]) if album and read else None
        return [
            self.apply(faces, giver, chosen, neutral=neutral, shape=shape, seed=seed, on_step=on_step) for faces in read
        ]

    def apply(
        self,
        faces: Sequence[RigFace],
        target: RigFace,
        parts: Iterable[str],
        *,
        neutral: RigFace | None = None,
        shape: Tensor | None = None,
        seed: int | None = None,
        on_step: OnStep | None = None,
    ) -> Edit[Look]:
        """The photo of these faces with the parts of a target's, pasted back. shape: (1, n), instead of their own.

        neutral: of the target's person, as ``target_and_neutral`` gives it.
        """
        return self.apply_each(faces, [target], parts, neutral=neutral, shape=shape, seed=seed, on_step=on_step)[0]

    def apply_each(
        self,
        faces: Sequence[RigFace],
        targets: Sequence[RigFace],
        parts: Iterable[str],
        *,
        neutral: RigFace | None = None,
        shape: Tensor | None = None,
        seed: int | None = None,
        on_step: OnStep | None = None,
    ) -> list[Edit[Look]]:
        """As ``apply``, for each target; a face that has the target's parts already costs nothing.

        The noise that holds a face as it is, which parts that move nothing start from, is found once for all targets;
        where landmarks move, each target needs that of the moved face.
        """
        chosen = check_parts(parts)
        if shape is not None:
            faces = [replace(face, coeffs=replace(face.coeffs, shape=shape)) for face in faces]
        most_deg = MOST_TURN_DEG if seed is None else 180.0
        lights = [light_of(target, self.painter) if "expression" in chosen else None for target in targets]
        looks = [
            [
                replace(
                    look_like(self.face_model, face, target, chosen, most_deg=most_deg, neutral=neutral),
                    light_inside=light,
                )
                for target, light in zip(targets, lights, strict=True)
            ]
            for face in faces
        ]
        return self.show(faces, looks, seed, on_step)

    def express(
        self,
        faces: Sequence[RigFace],
        units: Mapping[str, float] | Sequence[tuple[Mapping[str, float], float]],
        strengths: Sequence[float] = (1.0,),
        *,
        seed: int | None = None,
        on_step: OnStep | None = None,
    ) -> list[Edit[Look]]:
        """The photo of these faces with action units set, for each strength: 0 is as it is, 1 these values.

        units: by the face model's own names, 0..1; ``named_units`` and ``emotion_units`` of
        ``emorph.face3d.action_units`` give them for FACS's numbers and for emotions. Or several of these, each with a
        weight: their steps add up.
        Raises ConfigError for a model whose expressions have no names.
        """

        parts = [(units, 1.0)] if isinstance(units, Mapping) else units

        def look(face: RigFace, strength: float) -> Look:
            expression = with_blend(self.face_model, face.coeffs.expression, parts, strength)
            return Look(replace(face.coeffs, expression=expression), face.code, ("expression",))

        looks = [[look(face, strength) for strength in strengths] for face in faces]
        return self.show(faces, looks, seed, on_step)

    def show(
        self,
        faces: Sequence[RigFace],
        looks: Sequence[Sequence[Look]],
        seed: int | None = None,
        on_step: OnStep | None = None,
    ) -> list[Edit[Look]]:
        """The photo of these faces with looks of them: an edit for each column of ``looks``, which has a row a face."""
        if not faces:
            raise NoFaceError("no face is given to change.")
        started_s = time.perf_counter()
        changes = self._painter.draw(faces, looks, seed=seed, on_step=on_step)
        crops = [face.aligned for face in faces]
        paint = painted_by(self.painter)
        return pasted_edits(faces[0].photo, crops, faces[0].n_faces, looks[0], changes, started_s, paint)


def _to_device(reader: FaceReader, device: torch.device) -> None:
    for part in (reader.face, reader.network if isinstance(reader, NetworkReader) else None):
        if isinstance(part, nn.Module):
            part.to(device)
