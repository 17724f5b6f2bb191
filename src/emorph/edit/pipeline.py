"""From a photo to the same photo with another expression. Read top to bottom.

The path that the bundled model takes, in order:

    photo ........... faces are found, and cut out as the model wants them          Editor.faces
    crop ............ is encoded: z_sem tells the expression                        crops.py
    z_sem ........... takes a step towards the target, and the landmarks with it    latent.py
    moved crop ...... has its landmarks where the new expression has them           moving.py, redraw.py
    redrawn crop .... is what the model makes of the moved one                      codec.py
    photo ........... takes over what has changed, at its own resolution            change.py, result.py
    mouth ........... gets its inside painted at that resolution                    painted_mouth.py

Directions that do not know landmarks, such as the official ones, take the path of the diffusion autoencoder's paper:
z_sem alone moves (by_code.py). Many photos, on disk: files.py. Through a 3D face: rig/editor.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import torch
from numpy.typing import NDArray
from PIL import Image

from emorph.core.device import laid_out
from emorph.core.errors import ConfigError
from emorph.core.files import names_apart
from emorph.core.images import read_photo
from emorph.core.loss_networks import LossNetwork, parse_losses
from emorph.core.target import checked_strengths
from emorph.core.types import AlignedFace, Expression, Landmarks, OnStep, Photo, Target
from emorph.edit.crops import CropEditor
from emorph.edit.painted_mouth import inside_painted_by
from emorph.edit.result import Edit, pasted_edits
from emorph.edit.sheet import grid, rows_of
from emorph.faces.align import align
from emorph.faces.detect import MIN_FACE_PX, SURE_SCORE, Detector, as_detector, find_faces, select_faces
from emorph.models.backends.choose import load_for, place_for
from emorph.models.backends.graphs import TORCH
from emorph.models.beside import directions_beside, fit_note, losses_of
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions
from emorph.models.painter import Painter, painter_beside
from emorph.models.port import read_directions

DEFAULT_MODEL = "emorph-base"

if TYPE_CHECKING:
    from emorph.edit.batch import FileReport
    from emorph.edit.codes_of_files import FileCodes

PhotoSource = str | Path | Image.Image | NDArray[Any] | Photo


class Editor(CropEditor):
    """Edits the expression of faces in photos with a diffusion autoencoder and directions in its z_sem.

    All faces of a photo with all targets are drawn as one batch, and none depends on the others in it.

    >>> editor = Editor.from_pretrained("emorph-base", steps=4)
    >>> edit = editor.edit("examples/astronaut.png", to="happy")
    >>> edit.image.size, edit.n_faces, edit.target.word
    ((512, 512), 1, 'happy')
    """

    def __init__(
        self,
        model: DiffAE,
        directions: Directions | None = None,
        *,
        model_id: str = "unnamed",
        device: str | torch.device = "auto",
        steps: int | None = None,
        solver_name: str = "dpm",
        detector: Detector = "auto",
        min_score: float = SURE_SCORE,
        painter: Painter | None = None,
        losses: Sequence[LossNetwork] = (),
        reuse: int = 1,
    ) -> None:
        super().__init__(
            model, directions, model_id=model_id, device=device, steps=steps, solver_name=solver_name, reuse=reuse
        )
        self.detector = as_detector(detector)
        self.min_score = min_score
        self.painter = laid_out(painter, self.device) if painter else None
        self.losses = tuple(losses)
        self.note = ""  # what whoever loaded it should know of its directions

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = DEFAULT_MODEL,
        *,
        directions: str | Path | None = None,
        device: str | torch.device = "auto",
        steps: int | None = None,
        solver_name: str = "dpm",
        detector: Detector = "auto",
        min_score: float = SURE_SCORE,
        anyway: bool = False,
        reuse: int = 1,
        backend: str = TORCH,
    ) -> Editor:
        """Load a bundled model, a folder, a hub id, or an official checkpoint file.

        directions: a folder or classifier checkpoint; by default the ones inside the model's folder, if any.
        steps: network evaluations in each direction; by default the model's own, or ``crops.DEFAULT_STEPS``.
        detector, min_score: how faces are sought, see ``find_faces``; those of a lower score are not edited.
        anyway: take directions that were fitted on another model, too; ``note`` then says so.
        reuse: see ``DiffAE.denoiser``; 1 is exact. backend: see ``emorph.models.backends.choose.load_for``.
        Raises UnknownNameError, CheckpointError, MissingAssetError without the backend's library.
        """
        model = load_for(name, backend, device)
        known = read_directions(directions) if directions else directions_beside(name)
        if known:
            known.check_length(model.config.z_dim, str(directions or name))
        note = fit_note(name, model, directions, anyway=anyway)
        model_id = f"{Path(name).name}-{model.fingerprint}"  # no path: it goes into files that are published
        painter, losses = painter_beside(name), parse_losses(losses_of(name), str(name))
        editor = cls(
            model, known, model_id=model_id, device=place_for(backend, device), steps=steps, solver_name=solver_name,
            detector=detector, min_score=min_score, painter=painter, losses=losses, reuse=reuse,
        )  # fmt: skip
        editor.note = note
        return editor

    # -- the whole path: photo in, photo out

    @overload
    def edit(
        self, photo: PhotoSource, to: Expression | None = None, strength: float = 1.0, *,
        valence: float | None = None, arousal: float | None = None, units: Mapping[str, float] | None = None,
        face: str | int = "largest", on_step: OnStep | None = None,
    ) -> Edit[Target]: ...  # fmt: skip
    @overload
    def edit(
        self, photo: PhotoSource, to: Expression | None = None, strength: Sequence[float] = ..., *,
        valence: float | None = None, arousal: float | None = None, units: Mapping[str, float] | None = None,
        face: str | int = "largest", on_step: OnStep | None = None,
    ) -> list[Edit[Target]]: ...  # fmt: skip
    def edit(
        self,
        photo: PhotoSource,
        to: Expression | None = None,
        strength: float | Sequence[float] = 1.0,
        *,
        valence: float | None = None, arousal: float | None = None, units: Mapping[str, float] | None = None,
        face: str | int = "largest", on_step: OnStep | None = None,
    ) -> Edit[Target] | list[Edit[Target]]:  # fmt: skip
        """One photo, one emotion or a blend, or valence and arousal in [-1, 1], or action units of 0..1 by their names.

        photo: a path, a PIL image, or RGB pixels uint8 (H, W, 3). to: an ``Emotion`` or its word: neutral, happy, sad,
        surprise, fear, disgust, anger, contempt; or a blend, "happy=0.6,surprise=0.4" or {"happy": 0.6, "surprise":
        0.4}, whose steps add up; units may go with either. strength: from 0, which returns the photo bit for bit, over
        1, the usual amount, to about 1.5, beyond which faces come apart; below 0 the other way. Several strengths, as
        in [0.5, 1.0], give a list of edits, for which the photo is encoded once.
        Of valence and arousal, one that is not given stays as it is, and so does a unit. units: as
        ``emorph.face3d.action_units.named_units`` reads them, "AU12" or "mouthSmile_L". face: as for ``faces``; with
        "all", every face is edited, and ``.face`` is the left-most.
        Raises UnknownNameError, ConfigError, ImageError, NoFaceError, MissingAssetError.
        """
        goal = Target.asked(to, valence, arousal, units)
        several, strengths = isinstance(strength, Iterable), checked_strengths(strength)
        edits = self.edit_many(photo, [replace(goal, strength=each) for each in strengths], face=face, on_step=on_step)
        return edits if several else edits[0]

    def edit_many(
        self,
        photo: PhotoSource,
        targets: Sequence[Target | Expression],
        *,
        face: str | int = "largest",
        min_face_px: int = MIN_FACE_PX,
        on_step: OnStep | None = None,
    ) -> list[Edit[Target]]:
        """One photo, several targets: encoded once, drawn as one batch. Raises as ``edit``.

        targets: what ``Target`` says, or emotions and blends as for ``edit``, at strength 1.
        """
        started_s = time.perf_counter()
        if isinstance(targets, str):
            raise ConfigError(f"edit_many takes a list, as in [{targets!r}]; edit takes one.")
        goals = [each if isinstance(each, Target) else Target.asked(each) for each in targets]
        self.check_targets(goals)
        photo = read_photo(photo)
        landmarks = find_faces(photo, min_face_px=min_face_px, detector=self.detector, min_score=self.min_score)
        crops = self.align(photo, select_faces(landmarks, face, photo, min_score=self.min_score))
        changes = self.changes(crops, goals, on_step=on_step)
        return pasted_edits(photo, crops, len(landmarks), goals, changes, started_s, inside_painted_by(self.painter))

    def edit_faces(
        self, photo: Photo, faces: Sequence[AlignedFace], targets: Sequence[Target], *, on_step: OnStep | None = None
    ) -> list[Edit[Target]]:
        """Several targets for faces of a photo that are found and cropped (``align``) already."""
        started_s = time.perf_counter()
        changes = self.changes(faces, targets, on_step=on_step)
        return pasted_edits(photo, faces, len(faces), targets, changes, started_s, inside_painted_by(self.painter))

    # -- folders

    def edit_folder(
        self,
        photos: str | Path | Sequence[str | Path],
        out: str | Path = "edited",
        to: Expression | None = None,
        strength: float | Sequence[float] = 1.0,
        *,
        valence: float | None = None, arousal: float | None = None, units: Mapping[str, float] | None = None,
        face: str | int = "largest", frame: int | None = None, again: bool = False, progress: bool = True,
    ) -> FileReport:  # fmt: skip
        """Edit a folder of photos into another, as ``emorph edit`` does: what is done already is not done again.

        photos: a folder or a photo, or several. out: a folder, where edits.jsonl lists all results; or a picture's
        name, for one photo. The files say in their metadata that they were edited. to, strength, valence, arousal,
        units, face: as for ``edit``; several strengths give a picture each and a strip of all.
        frame: of photos that have several, from 1.
        again: redo what an earlier call finished. progress: show a bar. A photo that fails is among the ``failures`` of
        the report and does not end the others; its ``edits`` tell the files. Raises as
        ``emorph.edit.files.edit_files``.
        """
        from emorph.edit.files import edit_files
        from emorph.edit.progress import watched

        sources = [photos] if isinstance(photos, str | Path) else list(photos)
        strengths = checked_strengths(strength)
        with watched(progress) as watch:
            return edit_files(
                self, sources, out, to, strengths, valence=valence, arousal=arousal, units=units, face=face,
                frame=frame, again=again, watch=watch,
            )  # fmt: skip

    def encode_folder(
        self, photos: str | Path | Sequence[str | Path], *, face: str | int = "largest", progress: bool = True
    ) -> FileCodes:
        """z_sem of a folder's faces as an array, float32 (n, z_dim), with the photo that each is of.

        photos: a folder or a photo, or several. face: as for ``faces``; with "all" a photo has a row for each face.
        Photos that cannot be read or show no face are ``failures``. Raises ImageError for an empty folder.
        """
        from emorph.edit.codes_of_files import encoded_files

        return encoded_files(self, photos, face, progress=progress)

    # -- photo -> crops

    def faces(
        self, photo: PhotoSource, which: str | int = "largest", *, min_face_px: int = MIN_FACE_PX
    ) -> list[AlignedFace]:
        """The chosen faces of a photo, cropped as the model wants them.

        which: "largest", "left", "all", or a number from left to right, from 1. Raises ImageError, NoFaceError.
        """
        photo = read_photo(photo)
        landmarks = find_faces(photo, min_face_px=min_face_px, detector=self.detector, min_score=self.min_score)
        return self.align(photo, select_faces(landmarks, which, photo, min_score=self.min_score))

    def align(self, photo: Photo, chosen: Sequence[Landmarks]) -> list[AlignedFace]:
        """Faces of known landmarks, cropped as the model wants them."""
        config = self.model.config
        return [align(photo, landmarks, config.image_size, config.crop) for landmarks in chosen]

    # -- sheets

    def sheet(
        self, photos: PhotoSource | list[PhotoSource], strength: float = 1.0, *,
        to: Sequence[Expression] = (), face: str | int = "largest",
    ) -> Image.Image:  # fmt: skip
        """Original and the eight emotions side by side, cropped around the face: one picture, a row for each photo.

        With ``face="all"`` a row for each face. Several rows stand under their files' names. to: emotions or blends in
        place of the eight, as for ``edit``.
        """
        targets = self.sheet_targets(strength, to)
        several = photos if isinstance(photos, list) else [photos]
        known = names_apart(Path(photo) for photo in several if isinstance(photo, str | Path))
        names = [known[Path(photo)] if isinstance(photo, str | Path) else "" for photo in several]
        edits = (self.edit_many(photo, targets, face=face) for photo in several)
        return grid([row for each, name in zip(edits, names, strict=True) for row in rows_of(each, name)])
