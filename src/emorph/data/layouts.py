"""The layouts of data sets that emorph reads, and which of them a folder is in."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from emorph.core.errors import DataError, UnknownNameError
from emorph.data import affectnet, affectnet8
from emorph.data.affectnet import holds_files_of_faces
from emorph.data.index import FaceIndex, subfolders
from emorph.data.tables import is_elsewhere


class Recogniser(Protocol):
    """Tells whether a data set is in its layout, by names of files and folders and the first lines of lists."""

    def __call__(self, root: Path) -> bool: ...


class Reader(Protocol):
    """Turns the root of a data set into its index."""

    def __call__(self, root: Path, *, landmarks: bool = False) -> FaceIndex:
        """landmarks: keep the points that the data set brings."""


@dataclass(frozen=True)
class Layout:
    """One layout: its name, the words for it, and the module whose functions recognise and read it.

    recogniser, reader: the names of these functions, a ``Recogniser`` and a ``Reader``.
    by_name: read only if it is asked for by its name.
    """

    name: str
    what: str
    module: str
    recogniser: str = "fits"
    reader: str = "read"
    by_name: bool = False

    def fits(self, root: Path) -> bool:
        """Whether the data set at ``root`` is in this layout."""
        recognise = cast(Recogniser, getattr(importlib.import_module(self.module), self.recogniser))
        try:
            return recognise(root)
        except (NotADirectoryError, FileNotFoundError):  # a file; or a table that is elsewhere
            return False

    def read(self, root: Path, *, landmarks: bool = False) -> FaceIndex:
        """The index of the data set at ``root``. Raises DataError."""
        reader = cast(Reader, getattr(importlib.import_module(self.module), self.reader))
        return reader(root, landmarks=landmarks)


# In the order in which they are tried; of AffectNet's lists the hand-labelled one comes first.
LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "prepared",
        "what emorph data prepare wrote, or a table of Hugging Face's datasets: Parquet, or a saved folder",
        "emorph.data.prepared",
    ),
    Layout(
        "affectnet",
        "training.csv, Manually_Annotated_Images/",
        "emorph.data.affectnet",
        recogniser="has_manual",
        reader="read_manual",
    ),
    Layout("affectnet-8", "train_set/annotations/, train_set/images/", "emorph.data.affectnet8"),
    Layout(
        "affectnet-automatic",
        "automatically_annotated.csv, Automatically_Annotated_Images/",
        "emorph.data.affectnet",
        recogniser="has_automatic",
        reader="read_automatic",
    ),
    Layout("celebahq", "CelebA-HQ-img/, CelebAMask-HQ-attribute-anno.txt", "emorph.data.celebahq"),
    Layout(
        "csv",
        "a .csv file or labels.csv with the columns path and label; metadata.csv or .jsonl with file_name and label",
        "emorph.data.folder",
        recogniser="has_csv",
        reader="read_csv",
    ),
    Layout(
        "folders",
        "a folder for each emotion, such as happy/",
        "emorph.data.folder",
        recogniser="has_folders",
        reader="read_folders",
    ),
    Layout("ffhq", "images1024x1024/ or pictures such as 00000.png", "emorph.data.ffhq"),
    Layout(
        "photos",
        "with --layout photos, pictures without labels",
        "emorph.data.folder",
        recogniser="has_photos",
        reader="read_photos",
        by_name=True,
    ),
)

_ARCHIVE = re.compile(rb"PK\x03\x04|\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|.{257}ustar", re.DOTALL)

AMBIGUOUS = {"affectnet", "affectnet-8"}  # two releases side by side: which one is meant is not ours to guess


def open_index(root: Path, layout: str | None = None, *, landmarks: bool = False) -> FaceIndex:
    """Read the data set at ``root``.

    layout: a name of ``LAYOUTS``, by default what the contents show. landmarks: keep the points it brings.
    Raises DataError if there is nothing at ``root`` or no layout fits, UnknownNameError for an unknown layout.
    """
    try:
        if not root.exists() and not is_elsewhere(root):
            raise DataError(f"{root}: there is no such folder or file.")
        return _choose(root, layout).read(root, landmarks=landmarks)
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}); check its permissions.") from None
    except OSError as error:
        raise DataError(f"{str(root)[:80]!r} cannot be read ({error.strerror}); check the path.") from None


def _choose(root: Path, name: str | None) -> Layout:
    if name is not None:
        for layout in LAYOUTS:
            if layout.name == name:
                if layout.fits(root):
                    return layout
                raise DataError(f"{root} is not in the layout {name} ({layout.what}); found {_contents(root)}.")
        raise UnknownNameError("layout", name, [layout.name for layout in LAYOUTS])
    own = _recognise(root)
    if own is not None and own.name not in AMBIGUOUS:  # what lies below changes nothing then
        return own
    inner = _recognised_below(root)
    if own is not None and not {own.name, *(layout.name for _, layout in inner)} >= AMBIGUOUS:
        return own
    if inner:
        named = ", ".join(f"{f.name} ({layout.name})" for f, layout in inner[:5])
        raise DataError(f"{root} holds data sets of its own in its folders: name one of {named}.")
    if (root / "plan.json").is_file():
        raise DataError(f"{root} is only partly prepared; run the same emorph data prepare, or merge its shards.")
    lacking = affectnet.what_is_lacking(root) or affectnet8.what_is_lacking(root) if root.is_dir() else None
    if lacking:
        raise DataError(lacking)
    if other := _something_else(root):
        raise DataError(f"{root} {other}.")
    known = "; ".join(f"{layout.name}: {layout.what}" for layout in LAYOUTS)
    raise DataError(f"{root} is in no layout that emorph reads; found {_contents(root)}. Known are {known}.")


def _something_else(root: Path) -> str:
    """What people take for a data set, and the way out; "" for anything else."""
    if root.is_file():
        with root.open("rb") as file:
            is_archive = _ARCHIVE.match(file.read(512))
        if is_archive:
            return "is a packed archive; unpack it, and name the folder"
    if root.name == "data.mdb" or (root.is_dir() and (root / "data.mdb").is_file()):
        return "is an LMDB database, as DiffAE's scripts write; name the folder of the pictures it was made from"
    names = [folder.name for folder in subfolders(root)] if root.is_dir() else []
    if names and all(name.isdigit() for name in names):
        return (
            "has numbers as names of its folders, which do not say what they mean (RAF-DB: 1 surprise, 2 fear, "
            "3 disgust, 4 happy, 5 sad, 6 anger, 7 neutral; AffectNet: 0 neutral, 1 happy, 2 sad, 3 surprise, "
            "4 fear, 5 disgust, 6 anger, 7 contempt); give the folders the emotions' words"
        )
    return ""


def _recognised_below(root: Path) -> list[tuple[Path, Layout]]:
    if not root.is_dir():
        return []
    folders = [folder for folder in subfolders(root) if not holds_files_of_faces(folder)]
    return [(folder, layout) for folder in folders if (layout := _recognise(folder))]


def _recognise(root: Path) -> Layout | None:
    there = root.is_dir() or root.is_file() or is_elsewhere(root)
    told = [layout for layout in LAYOUTS if not layout.by_name] if there else []
    return next((layout for layout in told if layout.fits(root)), None)


def _contents(root: Path) -> str:
    if is_elsewhere(root):
        return "nothing of this name here"
    if root.is_file():
        return f"a file {root.suffix or 'without a suffix'}"
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in root.iterdir())
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more if names else "an empty folder"
