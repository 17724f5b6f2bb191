"""The editors that a page uses: its own, others to compare it with, and what is loaded only once somebody asks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from emorph.edit.codec import Codec
from emorph.web.wish import Setup

if TYPE_CHECKING:
    from emorph.edit.pipeline import Editor
    from emorph.edit.rig.editor import RigEditor
    from emorph.face3d.model import FaceModel

MOST_STEPS = 100  # of a comparison


@dataclass
class Editors:
    """Models by name. own: the page's, made with ``setup``. others: what else can be chosen to be compared with it.

    load, load_rig: make the editor of another name, and the one that transfers. face_model: ICT-FaceKit's file, None
    for its usual place. All but ``own`` and ``names`` is to be used by one thread alone.
    """

    own: Editor
    setup: Setup
    others: tuple[str, ...]
    load: Callable[[str], Editor]
    load_rig: Callable[[], RigEditor]
    face_model: Path | None = None
    _loaded: dict[str, Editor] = field(default_factory=dict)
    _rig: RigEditor | None = None
    _mesh: FaceModel | None = None

    @property
    def names(self) -> list[str]:
        """The page's own model, and the others."""
        return [self.setup.model, *self.others]

    def editor(self, name: str, steps: int = 0) -> Editor:
        """The model of one of the ``names``. steps: as of ``--steps``; 0 leaves the model's own.

        Raises KeyError for another name, and what loading raises.
        """
        if name == self.setup.model:
            found = self.own
        else:
            if name not in self.others:
                raise KeyError(name)
            if name not in self._loaded:
                self._loaded[name] = self.load(name)
            found = self._loaded[name]
        return with_steps(found, steps) if steps else found

    def rig(self) -> RigEditor:
        """What takes expressions over from other photos. Raises MissingAssetError."""
        if self._rig is None:
            self._rig = self.load_rig()
        return self._rig

    def mesh(self) -> FaceModel:
        """The 3D face model. Raises MissingAssetError."""
        from emorph.face3d.photo import open_model

        if self._mesh is None:
            self._mesh = open_model(self.face_model)
        return self._mesh


def with_steps(editor: Editor, steps: int) -> Editor:
    """The same editor, weights shared, with so many evaluations in each direction."""
    other = copy.copy(editor)
    other.steps = steps
    other.codec = Codec(editor.model, steps=steps, solver_name=editor.solver_name, reuse=editor.codec.reuse)
    return other
