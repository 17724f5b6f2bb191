"""The file in which a running study keeps who takes part and what they answered: SQLite, safe against a crash."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from emorph.core.errors import DataError
from emorph.study.records import VOTES_FILE, Participant, Screen, Trial, Vote

WAIT_S = 30  # for another process that writes
_VOTE_COLUMNS = [field.name for field in dataclasses.fields(Vote)]
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS participants (
    id TEXT PRIMARY KEY, block INTEGER NOT NULL, language TEXT NOT NULL, consent TEXT NOT NULL, started REAL NOT NULL,
    finished REAL, n_screens INTEGER NOT NULL, completion TEXT NOT NULL DEFAULT '', panel TEXT NOT NULL DEFAULT '',
    ticket TEXT NOT NULL UNIQUE, seen REAL NOT NULL, screens TEXT NOT NULL, choices TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS one_place_for_a_panel_member ON participants (panel) WHERE panel <> '';
CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, participant TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS votes (
    {", ".join(f'"{name}"' for name in _VOTE_COLUMNS)}, PRIMARY KEY (participant, slot, question)
);
"""
# the lowest number that nobody has: 0, or what follows a block whose successor is free
_FREE_BLOCK = """
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM blocks WHERE number = 0) THEN 0 ELSE
    (SELECT MIN(number) + 1 FROM blocks AS taken
     WHERE NOT EXISTS (SELECT 1 FROM blocks WHERE number = taken.number + 1)) END
"""


@dataclass(frozen=True)
class Seat:
    """A participant as the server needs them.

    n_votes: how far they are. has_block: whether the block is still theirs. panel: the panel's own id, or "".
    """

    person: Participant
    screens: tuple[Screen, ...]
    choices: tuple[str, ...]
    n_votes: int
    has_block: bool
    panel: str


@dataclass(frozen=True)
class NewSeat:
    """What a new participant brings. ticket: of the consent page, so that one click counts once."""

    id: str
    ticket: str
    panel: str
    language: str
    consent: str
    time: float


@dataclass(frozen=True)
class Counts:
    """How a study stands. blocks: the numbers of the finished ones."""

    n_started: int
    n_finished: int
    n_votes: int
    blocks: tuple[int, ...]


class Store:
    """One connection to a study's file; to be used by one thread. Raises DataError if it cannot be opened."""

    def __init__(self, study: Path) -> None:
        path = study / VOTES_FILE
        try:
            self._file = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before it is acknowledged
            self._file.execute("PRAGMA secure_delete = ON")  # what a participant takes back is overwritten
            self._file.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise DataError(f"{path} cannot be opened ({error}); check permissions and free space.") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it, or nothing; committed and on the disk when it ends."""
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    @contextmanager
    def part(self) -> Iterator[None]:
        """All of it, or nothing, inside a transaction whose other parts stay."""
        self._file.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK TO part")
            raise
        finally:
            self._file.execute("RELEASE part")

    def fact(self, name: str) -> str | None:
        """What was written down under a name, such as the design that the study began with."""
        row = self._file.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def write_fact(self, name: str, value: str) -> None:
        """Write down, in place of what was there."""
        self._file.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def free_block(self) -> int:
        """The lowest number of a block that nobody has."""
        return int(self._file.execute(_FREE_BLOCK).fetchone()[0])

    def return_blocks(self, *, idle_since: float) -> int:
        """Take back the blocks of all who have not finished nor done anything since a time; how many."""
        return self._file.execute(
            "DELETE FROM blocks WHERE participant IN (SELECT id FROM participants WHERE finished IS NULL AND seen < ?)",
            (idle_since,),
        ).rowcount

    def seat_of(self, *, ticket: str = "", panel: str = "") -> str | None:
        """The id of who came with this ticket, or as this member of a panel."""
        row = self._file.execute(
            "SELECT id FROM participants WHERE ticket = ? OR (panel <> '' AND panel = ?)", (ticket, panel)
        ).fetchone()
        return None if row is None else str(row[0])

    def take_seat(self, new: NewSeat, block: int, screens: Sequence[Screen], choices: Sequence[str]) -> None:
        """Write down a new participant, who gets a block."""
        self._file.execute(
            "INSERT INTO participants (id, block, language, consent, started, n_screens, panel, ticket, seen, screens, "
            "choices) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                new.id, block, new.language, new.consent, new.time, len(screens), new.panel, new.ticket, new.time,
                json.dumps([dataclasses.asdict(screen) for screen in screens]), json.dumps(list(choices)),
            ),
        )  # fmt: skip
        self.give_block(block, new.id)

    def give_block(self, block: int, participant: str) -> bool:
        """Give a block to a participant; False if somebody has it."""
        values = (block, participant)
        return self._file.execute("INSERT OR IGNORE INTO blocks VALUES (?, ?)", values).rowcount == 1

    def seat(self, participant: str) -> Seat | None:
        """A participant by id; None if there is none."""
        row = self._file.execute(
            "SELECT id, block, language, consent, started, finished, n_screens, completion, screens, choices, panel, "
            "(SELECT COUNT(*) FROM votes WHERE participant = id), "
            "EXISTS (SELECT 1 FROM blocks WHERE participant = id) FROM participants WHERE id = ?",
            (participant,),
        ).fetchone()
        if row is None:
            return None
        *person, screens, choices, panel, n_votes, has_block = row
        return Seat(
            Participant(*person), _screens(screens), tuple(json.loads(choices)), n_votes, bool(has_block), panel
        )

    def see(self, participant: str, time: float) -> None:
        """Note that a participant is there."""
        self._file.execute("UPDATE participants SET seen = ? WHERE id = ?", (time, participant))

    def add_vote(self, vote: Vote) -> bool:
        """Write down a vote; False, and nothing changes, if this question of this screen was answered before."""
        places = ", ".join("?" * len(_VOTE_COLUMNS))
        values = [getattr(vote, name) for name in _VOTE_COLUMNS]
        return self._file.execute(f"INSERT OR IGNORE INTO votes VALUES ({places})", values).rowcount == 1

    def finish(self, participant: str, completion: str, time: float) -> None:
        """Note that a participant has answered everything; the first time counts."""
        self._file.execute(
            "UPDATE participants SET finished = ?, completion = ? WHERE id = ? AND finished IS NULL",
            (time, completion, participant),
        )

    def counts(self) -> Counts:
        """How the study stands."""
        started, finished, votes = self._file.execute(
            "SELECT COUNT(*), COUNT(finished), (SELECT COUNT(*) FROM votes) FROM participants"
        ).fetchone()
        rows = self._file.execute(
            "SELECT number FROM blocks JOIN participants ON id = participant WHERE finished IS NOT NULL ORDER BY number"
        ).fetchall()
        return Counts(started, finished, votes, tuple(row[0] for row in rows))

    def vote_rows(self) -> list[tuple[object, ...]]:
        """All votes in the order of their commits, with the columns of ``Vote``."""
        return self._file.execute("SELECT * FROM votes ORDER BY rowid").fetchall()

    def export(self, participant: str) -> dict[str, Any] | None:
        """All that is stored about one participant; None if there is nobody of that id."""
        seat = self.seat(participant)
        if seat is None:
            return None
        rows = self._file.execute("SELECT * FROM votes WHERE participant = ? ORDER BY rowid", (participant,)).fetchall()
        votes = [dict(zip(_VOTE_COLUMNS, row, strict=True)) for row in rows]
        return {"participant": dataclasses.asdict(seat.person) | {"panel": seat.panel}, "votes": votes}

    def delete(self, participant: str) -> int | None:
        """Forget a participant and their votes, and give their block back; how many votes, None if nobody is known."""
        if self.seat(participant) is None:
            return None
        n_votes = self._file.execute("DELETE FROM votes WHERE participant = ?", (participant,)).rowcount
        self._file.execute("DELETE FROM blocks WHERE participant = ?", (participant,))
        self._file.execute("DELETE FROM participants WHERE id = ?", (participant,))
        return n_votes

    def empty_log(self) -> None:
        """Have the write-ahead log overwritten too, which still holds what was deleted.

        Raises DataError if somebody reads from it for ever.
        """
        is_busy, *_ = self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise DataError(
                f"it is deleted, but {VOTES_FILE}-wal may still hold it, because another program reads the file; "
                "end that program, then start and stop emorph study serve, which empties it."
            )


@lru_cache(maxsize=2048)  # each participant's is asked for at every answer
def _screens(text: str) -> tuple[Screen, ...]:
    return tuple(Screen(**{**fields, "trial": Trial(**fields["trial"])}) for fields in json.loads(text))
