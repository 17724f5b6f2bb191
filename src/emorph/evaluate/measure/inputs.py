"""What is to be judged: pairs of a photo and its edit, from emorph's own records, a folder, or anybody's table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, TypeVar

from emorph.core import records
from emorph.core.csv_rows import read_rows
from emorph.core.errors import ConfigError, DataError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.images import READABLE_SUFFIXES
from emorph.core.loss_networks import LossNetwork, losses_by_id, parse_losses
from emorph.core.records import RECORDS_FILE, UNIT_RECORDS_FILE
from emorph.core.split_words import known_split
from emorph.core.types import Target
from emorph.evaluate.measure.cells import Affect, Mask, affect_of, checked_mask, finite, points_of

NEEDED_COLUMNS = ("source", "edited", "target")
KNOWN_COLUMNS = (*NEEDED_COLUMNS, "strength", "identity", "split", "valence", "arousal", "landmarks")

T = TypeVar("T")
Blend = tuple[tuple[Emotion, float], ...]


class _Asking(TypedDict):
    """The fields of a ``Pair`` that say what was asked for."""

    target: Emotion | None
    asked_word: str
    blend: Blend
    sets_units: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo and what a method made of it.

    method: what reports call the set. target: None where a blend, valence or arousal, or action units were asked for.
    blend: the emotions of a blend with their weights; () of any other target. asked_word: what such a target is called.
    sets_units: whether action units were asked for, alone or beside emotions, so that no judge of emotions can tell.
    person: whose photo the source is, "" if unknown.
    affect: the valence and the arousal that the edit should show: asked for, or annotated; None if unknown.
    mask: polygons x, y, x, y, ... in the source's pixels, outside which the editor says that it touched nothing.
    points: the source's 68 landmarks (x, y) in its pixels, so that no face is sought; () where they are not given.
    losses: the networks that gave a loss while the model was trained; () where none did, or nobody told.
    split: of a data set that the source is of: train, val, test, or "outside" of it; "" if unknown.
    """

    method: str
    source: Path
    edited: Path
    target: Emotion | None
    strength: float = 1.0
    person: str = ""
    affect: Affect = (None, None)
    points: tuple[tuple[float, float], ...] = ()
    asked_word: str = ""
    losses: tuple[LossNetwork, ...] = ()
    mask: Mask = ()
    blend: Blend = ()
    split: str = ""
    sets_units: bool = False

    @property
    def asks_affect(self) -> bool:
        """Whether valence or arousal was asked for."""
        return self.target is None and not self.blend and not self.sets_units

    @property
    def word(self) -> str:
        """What was asked for: "happy", "happy=0.6,surprise=0.4", "valence_0.5"."""
        return self.asked_word if self.target is None else self.target.word


def read_pairs(edits: Path, *, sources: Path | None = None, method: str | None = None) -> list[Pair]:
    """The pairs of one set, in its order; nothing is said yet about whether the pictures can be read.

    edits: an edits.jsonl, or a folder that holds one, or else an action_units.jsonl; a CSV with the columns source,
        edited, target and perhaps strength, identity, split, valence and arousal (in [-1, 1]; empty or -2 where not
        known) and landmarks (of the source, "x;y;x;y;..." of its 68 points in pixels, as AffectNet's lists have them);
        or a folder of pictures STEM_EMOTION.png, STEM_EMOTION_STRENGTH.png or EMOTION/STEM.png, each beside its source
        STEM.* or with it in ``sources``; a blend or action units may stand for EMOTION in a file's name.
    sources: where photos lie that are not where a record or a table says. Files are looked for as they are written,
        then there (photos alone), then from the folder of the table. Raises DataError, naming the line.
    """
    try:
        name = method or method_name(edits)
        found_in = (edits / records_file for records_file in (RECORDS_FILE, UNIT_RECORDS_FILE))
        edits = next((path for path in found_in if path.is_file()), edits)
        is_there = edits.exists()
    except OSError as error:
        raise DataError(f"{str(edits)[:80]!r} cannot be looked up ({error.strerror}); check the path.") from None
    if not is_there:
        raise DataError(f"{edits} does not exist; check the path.")
    if edits.is_dir():
        found = list(_folder_pairs(edits, sources or edits, name))
    elif edits.suffix.lower() == ".jsonl":
        found = list(_record_pairs(edits, name, sources))
    elif edits.suffix.lower() == ".csv":
        found = list(_table_pairs(edits, name, sources))
    else:
        kinds = "a folder, an edits.jsonl, a CSV of source, edited, target or a film"
        raise DataError(f"{edits} is none of {kinds}; check the path.")
    if not found:
        raise DataError(f"{edits} holds no edit; there is nothing to evaluate.")
    _refuse_repeats(found, edits)
    return found


def left_unread(edits: Path) -> Path | None:
    """The other file of records in a folder that holds both, which ``read_pairs`` does not read."""
    other = edits / UNIT_RECORDS_FILE
    return other if (edits / RECORDS_FILE).is_file() and other.is_file() else None


def method_name(edits: Path) -> str:
    """What a set is called: its folder, or the name of its table."""
    path = edits.absolute()
    if path.name in (RECORDS_FILE, UNIT_RECORDS_FILE):
        return path.parent.name
    return path.name if path.is_dir() else path.stem


def method_names(sets: Iterable[Path]) -> list[str]:
    """A different name for each set; repeated ones are numbered."""
    names: list[str] = []
    for edits in sets:
        name, number = method_name(edits), 1
        while name in names:
            number += 1
            name = f"{method_name(edits)}-{number}"
        names.append(name)
    return names


def _record_pairs(path: Path, method: str, sources: Path | None) -> Iterator[Pair]:
    for record in _readable(path, records.read):
        fields = {"source": record.source, "edited": record.edited, "target": record.target}
        if record.source == "":
            raise DataError(f"{path}: {record.id} does not say which photo it was made from, so it cannot be judged.")
        where = f"{path}, {record.id}"
        of_units = path.name == UNIT_RECORDS_FILE
        places = _Places(path.parent, sources)
        pair = _pair(fields | {"strength": record.strength}, method, places, where, of_units=of_units)
        told = parse_losses(record.losses, where) or losses_by_id(str(record.model_id))
        yield replace(pair, losses=told, mask=checked_mask(record.mask, where))


def _table_pairs(path: Path, method: str, sources: Path | None) -> Iterator[Pair]:
    for row in read_rows(path, NEEDED_COLUMNS):
        fields = {column: row.cells[column] for column in KNOWN_COLUMNS if column in row.cells}
        yield _pair(fields, method, _Places(path.parent, sources), f"{path}, line {row.line}")


def _readable(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from None


def _pair(fields: Mapping[str, object], method: str, places: _Places, where: str, *, of_units: bool = False) -> Pair:
    """Check one row. of_units: its target is known to be action units, by any face's names. Raises DataError."""
    texts = {key: fields[key] for key in NEEDED_COLUMNS}
    for key, text in texts.items():
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            raise DataError(f"{where}: {key} must be text, found {text!r}.")
    source, edited, target = (str(texts[key]).strip() for key in NEEDED_COLUMNS)
    try:
        wanted = None if of_units else Target.parse(target)
    except (UnknownNameError, ConfigError) as error:
        raise DataError(f"{where}: {error}") from None
    said = fields.get("strength")
    strength = 1.0 if said is None or said == "" else finite(said)
    if strength is None:
        raise DataError(f"{where}: strength must be a finite number, found {fields['strength']!r}.")
    person = str(fields.get("identity") or "").strip()
    try:
        files = places.source(source), places.edited(edited)
        affect, points = affect_of(fields, where), points_of(fields.get("landmarks"), where)
        if wanted and affect == (None, None) and strength == 1:  # where other strengths should lie nobody knows
            affect = (wanted.valence, wanted.arousal)
        split = known_split(str(fields.get("split") or ""))
        asking = _asking_units(target) if wanted is None else _asking(wanted)
        return Pair(
            method, *files, strength=strength, person=person, affect=affect, points=points, split=split, **asking
        )
    except OSError as error:
        raise DataError(f"{where}: a file name cannot be looked up ({error.strerror}).") from None


def _asking(wanted: Target) -> _Asking:
    """What a target asks for, as a pair has it; beside action units no emotion, for no judge tells one from the other.

    >>> _asking(Target.parse("AU12=0.9"))["asked_word"]
    'AU12=0.9'
    """
    if wanted.units:
        return _asking_units(wanted.word)
    word = wanted.word if wanted.emotion is None else ""
    return {"target": wanted.emotion, "asked_word": word, "blend": wanted.blend, "sets_units": False}


def _asking_units(word: str) -> _Asking:
    return {"target": None, "asked_word": word, "blend": (), "sets_units": True}


@dataclass(frozen=True)
class _Places:
    """Where files are looked for that are not where a table says: in its folder, and photos in ``sources`` before."""

    table: Path
    sources: Path | None

    def source(self, text: str) -> Path:
        return _located(text, [folder for folder in (self.sources, self.table) if folder])

    def edited(self, text: str) -> Path:
        return _located(text, [self.table])


def _located(text: str, folders: Sequence[Path]) -> Path:
    """The file as it is written if it is there, else as seen from the first of the folders that has it, or within it.

    A table of Windows has back-slashes; they are tried as such first.
    """
    written = Path(text)
    for path in (written, Path(text.replace("\\", "/"))):
        for place in (path, *(place for folder in folders for place in (folder / path, folder / path.name))):
            if place.is_file():
                return place
    return written


def _folder_pairs(folder: Path, sources: Path, method: str) -> Iterator[Pair]:
    """Pictures whose names or folders name an emotion or action units; the others are sources, or not looked at."""
    originals = {path.stem: path for path in _pictures(sources) if _asked(path.stem) is None}
    for edited in _pictures(folder):
        asked = _asked(edited.stem)
        if asked is not None:
            stem, wanted = asked
            source = _original(originals, stem, edited, sources)
            yield Pair(method, source, edited, strength=wanted.strength, **_asking(wanted))
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        emotion_of_all = Emotion.known(inner.name)
        if emotion_of_all is not None:
            for edited in _pictures(inner):
                yield Pair(method, _original(originals, edited.stem, edited, sources), edited, emotion_of_all)


def _pictures(folder: Path) -> list[Path]:
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read ({error.strerror}); check the path.") from None
    return sorted(path for path in files if path.suffix.lower() in READABLE_SUFFIXES)


def _original(originals: Mapping[str, Path], stem: str, edited: Path, sources: Path) -> Path:
    if stem not in originals:
        raise DataError(f"{edited.name} was made from {stem}.*, which is not in {sources}; name its folder: --sources.")
    return originals[stem]


def _asked(stem: str) -> tuple[str, Target] | None:
    """ "me_happy_0.5" is "me", happy at strength 0.5; None for a name that asks for nothing."""
    parts = stem.split("_")
    strength = 1.0
    if len(parts) > 2 and (found := finite(parts[-1])) is not None:
        strength, parts = found, parts[:-1]
    wanted = _target(parts[-1], strength) if len(parts) > 1 else None
    return None if wanted is None else ("_".join(parts[:-1]), wanted)


def _target(word: str, strength: float) -> Target | None:
    """An emotion, a blend of emotions, or action units, that a name ends with; None for another word."""
    emotion = Emotion.known(word)
    if emotion is not None:
        return Target(emotion, strength)
    try:
        return Target.parse(word, strength) if "=" in word else None
    except (UnknownNameError, ConfigError):
        return None


def _refuse_repeats(pairs: Sequence[Pair], edits: Path) -> None:
    seen: set[Pair] = set()
    for pair in pairs:
        if pair in seen:
            raise DataError(
                f"{edits} names {pair.edited} twice for {pair.word}, strength {pair.strength:g}; each edit counts once."
            )
        seen.add(pair)
