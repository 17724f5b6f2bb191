"""A prepared set on disk while it grows: numbered parts, each complete or not there, and what turns them into one set.

plan.json            what is prepared, from what, how; a folder begun with another plan is not continued
parts/00012.arrow    the rows of part 12      parts/00012.jsonl    the faces of part 12 that were left out, and why
same_pictures.jsonl  training faces left out because validation holds the same picture
rejects.jsonl, dataset_info.json, state.json    written last; with state.json the set is complete
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorph.core.commands import install
from emorph.core.errors import DataError, MissingAssetError
from emorph.core.files import replace_file, written_beside
from emorph.data.quality import Quality
from emorph.data.splits import WORDS, same_pictures

PLAN, STATE, INFO, REJECTS, SAME = (
    "plan.json",
    "state.json",
    "dataset_info.json",
    "rejects.jsonl",
    "same_pictures.jsonl",
)
PARTS = "parts"

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What one preparation is. fingerprint: of the faces and of all that decides what becomes of them."""

    layout: str
    settings: dict[str, Any]
    n_faces: int
    n_parts: int
    fingerprint: str


@dataclass(frozen=True)
class Summary:
    """A complete set: rows, rows by split, and faces left out by reason."""

    n_rows: int
    splits: dict[str, int]
    rejects: dict[str, int]


def schema() -> Any:
    """The columns of a prepared set, as pyarrow's schema; attributes are words with spaces between."""
    pa = _arrow()
    quality = pa.struct(
        [(f.name, pa.int32() if f.name == "n_faces" else pa.float32()) for f in dataclasses.fields(Quality)]
    )
    text = ("id", "path", "label", "identity", "split", "source")
    return pa.schema(
        [
            ("image", pa.binary()),
            *((name, pa.string()) for name in text),
            ("valence", pa.float32()),
            ("arousal", pa.float32()),
            ("landmarks68", pa.binary()),
            ("attributes", pa.string()),
            ("quality", quality),
            ("picture_hash", pa.binary()),
        ]
    )


def begin(out: Path, plan: Plan) -> None:
    """Make the folder and write its plan. Raises DataError if it holds another preparation or cannot be written."""
    path = out / PLAN
    if path.is_file():
        there = read_plan(out)
        if there != plan:
            differing = [k for k in plan.settings if plan.settings[k] != there.settings.get(k)]
            what = ", ".join(f"{k} was {there.settings.get(k)!r}, is {plan.settings[k]!r}" for k in differing)
            raise DataError(
                f"{out} was begun with {what or 'other faces'}; choose another folder, or delete it to start over."
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and was not written by emorph data prepare; choose another folder.")
    write_file(path, (json.dumps(dataclasses.asdict(plan), indent=2) + "\n").encode())


def read_plan(out: Path) -> Plan:
    """The plan of a preparation. Raises DataError if there is none."""
    try:
        return Plan(**json.loads((out / PLAN).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{out} was not written by `emorph data prepare`: {PLAN} cannot be read ({error}).") from None


def part_path(out: Path, number: int, suffix: str = ".arrow") -> Path:
    """Where a part lies."""
    return out / PARTS / f"{number:05d}{suffix}"


def missing_parts(out: Path, plan: Plan) -> list[int]:
    """The parts that are not there yet."""
    return [number for number in range(plan.n_parts) if not part_path(out, number).is_file()]


def write_part(out: Path, number: int, rows: Sequence[Row], rejects: Sequence[Row]) -> None:
    """Write the part; its rows come last, so that a part that is there has its rejects too. Raises DataError."""
    write_file(part_path(out, number, ".jsonl"), _lines(rejects))
    write_file(part_path(out, number), _encode(rows))


def write_file(path: Path, content: bytes) -> None:
    """Write a file that appears complete or not at all. Raises DataError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}); check permissions and free space, then run the "
            "same command again: what is finished is kept."
        ) from None


def merge(sources: Sequence[Path], out: Path) -> Summary:
    """Gather the parts that several machines prepared, and finish the set. Files are linked where that is possible.

    Raises DataError if the plans differ or parts are missing.
    """
    plan = read_plan(sources[0])
    for source in sources:
        if read_plan(source).fingerprint != plan.fingerprint:
            raise DataError(f"{source} was prepared from other faces or with other settings than {sources[0]}.")
    begin(out, plan)
    for source in sources:
        if source.resolve() == out.resolve():
            continue
        for number in range(plan.n_parts):
            if part_path(source, number).is_file() and not part_path(out, number).is_file():
                for suffix in (".jsonl", ".arrow"):
                    _link(part_path(source, number, suffix), part_path(out, number, suffix))
        if (source / SAME).is_file() and not (out / SAME).is_file():
            _link(source / SAME, out / SAME)
    left = missing_parts(out, plan)
    if left:
        raise DataError(
            f"{len(left)} of {plan.n_parts} parts are missing, the first is {left[0]}; prepare the other --shard "
            "and name its folder too."
        )
    return finish(out)


def finish(out: Path) -> Summary:
    """Turn the parts into one data set, once all are there; doing it again changes nothing.

    A face in training whose picture is in validation too, as the hashes tell, is left out.
    Raises DataError if a part is damaged or faces are lost.
    """
    plan = read_plan(out)
    for draft in [*out.glob(".*.part"), *(out / PARTS).glob(".*.part")]:
        draft.unlink(missing_ok=True)
    if not (out / SAME).is_file():
        write_file(out / SAME, _lines(_same_pictures(out, plan)))
    same = read_lines(out / SAME)
    _leave_out(out, plan, {row["id"] for row in same})
    rejects = [row for number in range(plan.n_parts) for row in read_lines(part_path(out, number, ".jsonl"))] + same
    splits: Counter[str] = Counter()
    for number in range(plan.n_parts):
        splits.update(read_rows(out, number, ["split"]).column("split").to_pylist())
    if splits.total() + len(rejects) != plan.n_faces:
        raise DataError(
            f"{out}: {splits.total()} rows and {len(rejects)} rejects are not the {plan.n_faces} faces of its plan; "
            "delete the folder and prepare it again."
        )
    write_file(out / REJECTS, _lines(rejects))
    _write_set(out, plan)
    reasons = Counter(row["reason"] for row in rejects)
    return Summary(splits.total(), dict(sorted(splits.items())), dict(reasons.most_common()))


def read_rows(out: Path, number: int, columns: Sequence[str] | None = None) -> Any:
    """The rows of a part as a pyarrow table. Raises DataError if the file is damaged."""
    pa = _arrow()
    path = part_path(out, number)
    try:
        table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        return table.select(columns) if columns else table
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and run the same command again.") from None


def read_lines(path: Path) -> list[Row]:
    """The rows of a JSONL file. Raises DataError if it is damaged."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and run the same command again.") from None


def _same_pictures(out: Path, plan: Plan) -> list[Row]:
    ids: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    hashes: dict[str, list[bytes | None]] = {"train": [], "val": [], "test": []}
    for number in range(plan.n_parts):
        table = read_rows(out, number, ["id", "split", "picture_hash"])
        for name, split, bits in zip(*(column.to_pylist() for column in table.columns), strict=True):
            ids[split].append(name)
            hashes[split].append(bits)
    twins: dict[str, str] = {}  # a picture stays where the fewest choices are made by it
    for keeps, loses in (("test", "val"), ("test", "train"), ("val", "train")):
        for i, j in same_pictures(hashes[keeps], hashes[loses]):
            twins.setdefault(ids[loses][j], f"{WORDS[keeps]} holds it as {ids[keeps][i]}")
    return [{"id": name, "reason": "same picture", "detail": detail} for name, detail in sorted(twins.items())]


def _leave_out(out: Path, plan: Plan, names: set[str]) -> None:
    pa = _arrow()
    for number in range(plan.n_parts) if names else ():
        table = read_rows(out, number)
        keep = [name not in names for name in table.column("id").to_pylist()]
        if not all(keep):
            write_file(part_path(out, number), _stream(table.filter(pa.array(keep))))


def _write_set(out: Path, plan: Plan) -> None:
    """The two files by which ``datasets.load_from_disk`` finds the parts."""
    # written by hand, because importing datasets takes longer than all the rest of this function
    info = {"citation": "", "description": "", "features": _features(), "homepage": "", "license": ""}
    files = [part_path(out, number).relative_to(out).as_posix() for number in range(plan.n_parts)]
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in files],
        "_fingerprint": plan.fingerprint[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    write_file(out / INFO, (json.dumps(info, indent=2) + "\n").encode())
    write_file(out / STATE, (json.dumps(state, indent=2) + "\n").encode())


def _features() -> dict[str, Any]:
    """The columns as ``datasets`` describes them: a value by its type's name, a struct by its fields."""
    pa = _arrow()

    def describe(kind: Any) -> dict[str, Any]:
        if pa.types.is_struct(kind):
            return {field.name: describe(field.type) for field in kind}
        return {"dtype": {"float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}

    return {field.name: describe(field.type) for field in schema()}


def _encode(rows: Sequence[Row]) -> bytes:
    pa = _arrow()
    return _stream(pa.Table.from_pylist(list(rows), schema=schema()))


def _stream(table: Any) -> bytes:
    pa = _arrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema()) as writer:
        writer.write_table(table.combine_chunks())
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")


def _link(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(target) as draft:
            try:
                os.link(source, draft)
            except OSError:  # another disk, or one without links
                shutil.copyfile(source, draft)
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror}); check permissions and free space.") from None


def _arrow() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.ipc
    except ImportError:
        raise MissingAssetError(f"preparing data needs the extra packages: `{install('train')}`.") from None
    return pa
