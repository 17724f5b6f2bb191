"""Which faces a run draws, and in which order: what a plan counts is what the loop reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from emorph.core.errors import ConfigError, DataError
from emorph.core.expressions import UNLABELLED, Emotion
from emorph.core.records import FaceRecord
from emorph.data.balance import balanced_order
from emorph.data.joined import JoinedFaces
from emorph.data.loader import EndlessOrder, class_weights
from emorph.data.mixture import MixedOrder
from emorph.data.store import FaceStore
from emorph.train.config import RunConfig
from emorph.train.mixed_data import MixedData
from emorph.train.sections import DataConfig
from emorph.train.task import hash_seed

HOLDOUT = 500  # of each emotion, as `emorph data prepare` holds out by default


@dataclass(frozen=True)
class KnownFaces:
    """What an order needs to know of a data set.

    n: faces. labels: int64 (n,), AffectNet's codes, -1 for none; None if unknown. affect: float (n, 2),
    valence and arousal, NaN where unknown. source: where this is known from. assumed: whether the faces themselves are
    not there; then ``labels`` has the right number of each in no order. sets: of several sets laid end to end, what is
    known of each.
    """

    n: int
    labels: NDArray[np.int64] | None
    affect: NDArray[np.float64] | None
    source: str
    assumed: bool = False
    sets: tuple[KnownFaces, ...] = ()

    @classmethod
    def read(cls, data: DataConfig | MixedData, faces: Dataset[Any]) -> KnownFaces:
        """Those of the faces that ``data`` names. Raises DataError as ``of``."""
        if isinstance(data, MixedData):
            stores = faces.stores if isinstance(faces, JoinedFaces) else ()
            return cls.joined([cls.read(one, store) for one, store in zip(data.sets, stores, strict=True)])
        return cls.of(faces, data.path, with_affect=data.balance.startswith("affect"))

    @classmethod
    def joined(cls, sets: Sequence[KnownFaces]) -> KnownFaces:
        """Several sets laid end to end."""
        labels = None
        if any(one.labels is not None for one in sets):
            unknown = [np.full(one.n, -1, np.int64) for one in sets]
            labels = np.concatenate(
                [none if one.labels is None else one.labels for none, one in zip(unknown, sets, strict=True)]
            )
        source = " + ".join(one.source for one in sets)
        return cls(sum(one.n for one in sets), labels, None, source, any(one.assumed for one in sets), tuple(sets))

    @classmethod
    def of(cls, faces: Dataset[Any], source: str, *, with_affect: bool = False) -> KnownFaces:
        """Those of a data set. Raises DataError where valence and arousal are asked for and are not there."""
        n = len(faces)  # type: ignore[arg-type]  # a map-style data set has a length
        labels = getattr(faces, "labels", None)
        affect = faces.affect() if with_affect and isinstance(faces, FaceStore) else None
        if with_affect and affect is None:
            raise DataError(
                f"data.balance = 'affect' needs the columns valence and arousal, which {source} does not have; "
                "add them, or choose another balance."
            )
        return cls(n, labels, affect, source)

    @classmethod
    def for_plan(
        cls, data: DataConfig | MixedData, faces: Dataset[Any] | None, *, n_faces: int | None, scan: Path | None
    ) -> KnownFaces | None:
        """What there is to plan with: a raw data set's scan, else the faces themselves, else what somebody says.

        n_faces: in place of what the configuration assumes. Returns None if unknown. Raises DataError, and ConfigError
        for one number in place of several sets.
        """
        if isinstance(data, MixedData):
            return cls._for_plan_of_sets(data, faces, asked=n_faces is not None or scan is not None)
        if scan is not None:
            from emorph.data.layouts import open_index
            from emorph.data.report import scan_report

            report = scan_report(open_index(scan, None), holdout=HOLDOUT, seed=0)
            return cls.scanned(report.faces, f"the lists of {scan}, whose pictures were not opened")
        if faces is not None:
            return cls.read(data, faces)
        assumed = data.assumed_faces
        if n_faces is not None:
            of_each = isinstance(assumed, dict) and sum(assumed.values()) == n_faces
            return cls.stated(assumed if of_each and assumed else n_faces, "--faces")
        return cls.stated(assumed, "data.assumed_faces") if assumed else None

    @classmethod
    def _for_plan_of_sets(cls, data: MixedData, faces: Dataset[Any] | None, *, asked: bool) -> KnownFaces | None:
        if asked:
            raise ConfigError(
                f"--faces and --scan count one data set, and this run has {len(data)}: state assumed_faces in each "
                "[[data]] block that does not exist yet."
            )
        if faces is not None:
            return cls.read(data, faces)
        opened = [one.open(1, 1) if one.is_there() else None for one in data.sets]
        known = [
            cls.for_plan(one, store, n_faces=None, scan=None) for one, store in zip(data.sets, opened, strict=True)
        ]
        found = [one for one in known if one is not None]
        return cls.joined(found) if len(found) == len(known) else None

    @classmethod
    def stated(cls, faces: int | dict[str, int], source: str) -> KnownFaces:
        """As many as somebody says, in all or of each emotion."""
        if isinstance(faces, int):
            return cls(faces, None, None, source, assumed=True)
        codes = {emotion.word: emotion.value for emotion in Emotion} | {UNLABELLED: -1}
        labels = np.repeat(list(codes.values()), [faces.get(word, 0) for word in codes]).astype(np.int64)
        return cls(len(labels), labels, None, source, assumed=True)

    @classmethod
    def scanned(cls, records: list[FaceRecord], source: str) -> KnownFaces:
        """The training faces of a scan."""
        faces = [record for record in records if record.split == "train"]
        labels = np.array([-1 if face.label is None else face.label for face in faces], np.int64)
        pairs = [(face.valence, face.arousal) for face in faces]
        return cls(len(faces), labels, np.array(pairs, dtype=np.float64).reshape(-1, 2), source, assumed=True)


def how_to_count(data: DataConfig | MixedData) -> str:
    """What would tell a plan how many faces there will be: a sentence."""
    if isinstance(data, MixedData):
        return "State assumed_faces in each [[data]] block that does not exist yet."
    if data.balance != "none" or data.class_power:
        return "State the number of faces of each emotion in [data.assumed_faces], or name a raw data set with --scan."
    return "State the number of faces with --faces N."


def order_of(
    data: DataConfig | MixedData,
    faces: KnownFaces,
    *,
    seed: int,
    usable: NDArray[np.bool_] | None = None,
    start: int = 0,
    rank: int = 0,
    n_ranks: int = 1,
) -> EndlessOrder:
    """The order that ``data`` asks for. usable: bool (n,), the faces that are drawn at all; start, rank, n_ranks: as
    in EndlessOrder. Raises DataError if there is nothing to balance by.
    """
    if isinstance(data, MixedData):
        return _mixed_order(data, faces, usable, seed=seed, start=start, rank=rank, n_ranks=n_ranks)
    if faces.n == 0 or (usable is not None and not usable.any()):
        raise DataError(f"{faces.source} holds no face to train with.")
    if data.balance != "none" or data.class_power:
        if faces.labels is None:
            asked = f"class_power = {data.class_power:g}" if data.class_power else f"balance = {data.balance!r}"
            raise ConfigError(
                f"data.{asked} needs the number of faces of each emotion, but {faces.source} tells only how many there "
                "are: state each in [data.assumed_faces], or name the data set with --scan."
            )
        labels = faces.labels if usable is None else np.where(usable, faces.labels, -1)
        if data.balance != "none":
            affect = faces.affect
            if affect is not None and usable is not None:
                affect = np.where(usable[:, None], affect, np.nan)
            return balanced_order(data.balance, labels, affect, seed=seed, start=start, rank=rank, n_ranks=n_ranks)
    weights = class_weights(faces.labels, data.class_power) if data.class_power else None  # type: ignore[arg-type]
    if usable is not None:
        weights = np.where(usable, 1.0 if weights is None else weights, 0.0)
    return EndlessOrder(faces.n, seed=seed, start=start, rank=rank, n_ranks=n_ranks, weights=weights)


def _mixed_order(
    data: MixedData,
    faces: KnownFaces,
    usable: NDArray[np.bool_] | None,
    *,
    seed: int,
    start: int,
    rank: int,
    n_ranks: int,
) -> MixedOrder:
    """Each set in the order that its block asks for, and the sets at the shares of their weights."""
    edges = np.cumsum([one.n for one in faces.sets])[:-1]
    mine = [None] * len(data) if usable is None else np.split(usable, edges)
    orders = [
        order_of(one, known, seed=hash_seed(seed, i) >> 1, usable=part)
        for i, (one, known, part) in enumerate(zip(data.sets, faces.sets, mine, strict=True))
    ]
    weights = [one.weight or order.epoch_size for one, order in zip(data.sets, orders, strict=True)]
    return MixedOrder(orders, weights, seed=seed, start=start, rank=rank, n_ranks=n_ranks)


def order_facts(config: RunConfig, faces: KnownFaces) -> dict[str, int | float | str]:
    """What the order in which a run sees its faces follows from, beside its batches."""
    data = config.data
    facts: dict[str, int | float | str] = {"seed": config.seed, "data.balance": data.balance}
    if isinstance(data, MixedData):
        weights = ["its size" if one.weight is None else f"{one.weight:g}" for one in data.sets]
        facts["data.weight"] = " : ".join(weights)
        facts["faces of the sets"] = " + ".join(f"{one.n:,}" for one in faces.sets)
    return {**facts, "data.class_power": data.class_power, "faces": faces.n}


def check_order(folder: Path, state: Mapping[str, Any], config: RunConfig, faces: KnownFaces) -> None:
    """Raises ConfigError if a checkpoint's run saw its faces in another order: some would be lost, some seen twice.

    state: the trainer's, of the checkpoint in ``folder``; one without "order" tells its samples alone.
    """
    batch_size, mend = config.optim.batch_size, f"or start a new run with init = {str(folder / 'model')!r}."
    if state["samples"] != state["step"] * batch_size:
        raise ConfigError(
            f"{folder} has seen {state['samples']:,} samples in {state['step']:,} steps, which is not what "
            f"optim.batch_size = {batch_size} gives: set it to {state['samples'] // state['step']} again, {mend}"
        )
    facts = order_facts(config, faces)
    before = state.get("order", facts)
    for key, now in facts.items():
        if before.get(key, "one set") != now:
            what = f"{key} = {before.get(key, 'one set')!r}, now it is {now!r}: set it back"
            if key == "faces":
                what = f"{before[key]:,} faces, now there are {now:,} in {faces.source}: bring the others back"
            raise ConfigError(f"{folder} was trained with {what}, {mend}")
