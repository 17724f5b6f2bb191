"""A running study: who begins, what they are asked next, and what becomes of an answer."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from emorph.core.errors import ConfigError
from emorph.study.commits import Commits
from emorph.study.opening import check_study
from emorph.study.records import PICTURES_FOLDER, Vote
from emorph.study.steps import ShownStep, Step, meaning, show, steps_of
from emorph.study.store import Counts, NewSeat, Seat, Store
from emorph.study.texts import read_words
from emorph.study.trials import DRAWN, read_pictures

Reason = Literal["unknown", "full", "expired", "done", "wrong", "busy"]
MOST_SECONDS = 86_400.0  # of one answer: a page that was left open over night
MAX_REMEMBERED = 20_000  # participants of whom is known when their question was sent
_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that looks like another
_FREE_TO_CHANGE = {"title", "languages", "consent_version", "participants", "finish"}


class Refused(Exception):  # noqa: N818 - it is no fault of ours, and the page says so kindly
    """What a participant asked for cannot be had. reason: which page explains it."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason: Reason = reason


class Sessions:
    """A study that people take part in. Raises DataError or ConfigError if it cannot be opened, in one sentence."""

    def __init__(self, study: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.allocation = check_study(study)
        self.design = self.allocation.design
        self.words = read_words(self.design, study)
        self.pictures = study / PICTURES_FOLDER
        self.drawn = [picture.file for picture in read_pictures(study) if picture.method == DRAWN]
        self._clock = clock
        self._sent: OrderedDict[str, float] = OrderedDict()  # when the present question left, by participant
        self._seen_by_block: dict[int, list[str]] = {}
        self.commits = Commits(study)
        try:
            self.commits.submit(self._keep_design).result()
        except BaseException:
            self.commits.close()
            raise

    def close(self) -> None:
        """Finish what was submitted and close the file."""
        self.commits.close()

    def consent_version(self, language: str) -> str:
        """Which text is agreed to: the design's version, and a digest of the text itself."""
        text = repr(self.words[language].consent).encode("utf-8")
        return f"{self.design.consent_version} {language} {hashlib.sha256(text).hexdigest()[:12]}"

    async def begin(self, ticket: str, panel: str, language: str) -> str:
        """Give a new participant a block; the id. The same ticket or member of a panel gets the same place again.

        Raises Refused: "full" if nobody is needed at the moment, "done" if this member of a panel has finished.
        """
        now = self._clock()
        new = NewSeat(secrets.token_urlsafe(16), ticket, panel, language, self.consent_version(language), now)

        def work(store: Store) -> str:
            store.return_blocks(idle_since=now - 60 * self.design.blocks.return_after_min)
            known = store.seat_of(ticket=ticket) or store.seat_of(panel=panel)
            if known is not None:
                self._refuse_another_go(store, known, ticket)
                return known
            block = store.free_block()
            if self.design.participants and block >= self.design.participants:
                raise Refused("full")
            store.take_seat(new, block, self.allocation.screens(block), self.allocation.choices(block))
            return new.id

        return await self.commits.do(work)

    async def seat(self, participant: str) -> Seat:
        """A participant. Raises Refused: "unknown"; "expired" if their block has gone to somebody else."""
        now = self._clock()
        return await self.commits.do(lambda store: self._seat(store, participant, now))

    async def step(self, participant: str) -> ShownStep | None:
        """What is asked next; None after the last question. Raises Refused as ``seat``."""
        seat = await self.seat(participant)
        return self._shown(participant, seat, seat.n_votes)

    async def answer(self, participant: str, slot: int, question: str, key: str, seconds: float) -> ShownStep | None:
        """Store an answer and tell what is asked next, once it is on the disk; None after the last question.

        An answer to what was answered before changes nothing. seconds: the browser's measure.
        Raises Refused as ``seat``, and "wrong" for a question that is not the present one or an answer it has not.
        """
        now = self._clock()
        waited = time.monotonic() - self._sent[participant] if participant in self._sent else None

        def work(store: Store) -> tuple[Seat, int]:
            seat = self._seat(store, participant, now)
            steps = steps_of(self.design, seat.screens)
            place = self._place(steps, slot, question)
            if place > seat.n_votes:
                raise Refused("wrong", "this question comes later")
            if place < seat.n_votes:
                return seat, seat.n_votes
            shown = self._show(seat, steps[place])
            if key not in [choice.key for choice in shown.choices]:
                raise Refused("wrong", "this is not an answer to the question")
            store.add_vote(_vote(seat, steps[place], key, min(seconds, MOST_SECONDS), waited, now))
            if place + 1 == len(steps):
                store.finish(participant, self.design.finish.code or _new_code(), now)
            return seat, place + 1

        seat, n_votes = await self.commits.do(work)
        return self._shown(participant, seat, n_votes)

    def balance(self, counts: Counts) -> tuple[int, int]:
        """How often finished participants have seen the trial seen least, and the one seen most often."""
        seen: Counter[str] = Counter()
        for number in counts.blocks:
            if number not in self._seen_by_block:
                screens = self.allocation.screens(number)
                self._seen_by_block[number] = [screen.trial.id for screen in screens if not screen.repeat_of]
            seen.update(self._seen_by_block[number])
        each = [seen[trial.id] for task in self.design.tasks for trial in self.allocation.trials(task)]
        return min(each), max(each)

    def _seat(self, store: Store, participant: str, now: float) -> Seat:
        seat = store.seat(participant)
        if seat is None:
            raise Refused("unknown")
        is_theirs = seat.has_block or seat.person.finished is not None
        if not is_theirs and not store.give_block(seat.person.block, participant):
            raise Refused("expired")
        store.see(participant, now)
        return seat

    def _refuse_another_go(self, store: Store, known: str, ticket: str) -> None:
        """A panel's id opens what was begun, not what is finished: that page shows the code."""
        seat = store.seat(known)
        if seat is not None and seat.person.finished is not None and store.seat_of(ticket=ticket) != known:
            raise Refused("done")

    def _place(self, steps: list[Step], slot: int, question: str) -> int:
        for place, step in enumerate(steps):
            if (step.screen.slot, step.question) == (slot, question):
                return place
        raise Refused("wrong", "there is no such question")

    def _show(self, seat: Seat, step: Step) -> ShownStep:
        language = seat.person.language
        words = self.words.get(language) or next(iter(self.words.values()))  # a language that was taken out meanwhile
        return show(step, seat.screens, seat.choices, self.design, words)

    def _shown(self, participant: str, seat: Seat, n_votes: int) -> ShownStep | None:
        steps = steps_of(self.design, seat.screens)
        if n_votes >= len(steps):
            return None
        self._sent[participant] = time.monotonic()
        self._sent.move_to_end(participant)
        if len(self._sent) > MAX_REMEMBERED:
            self._sent.popitem(last=False)
        return self._show(seat, steps[n_votes])

    def _keep_design(self, store: Store) -> None:
        """Write down the design that the study began with. Raises ConfigError if another one was begun with."""
        present = self.design.model_dump(mode="json")
        began = store.fact("design")
        if began is not None and store.counts().n_started:
            changed = [key for key in present if _fixed(present)[key] != _fixed(json.loads(began)).get(key)]
            if changed:
                raise ConfigError(
                    f"study.toml was changed after the first participant ({', '.join(changed)}), which would spoil the "
                    "balance and the rules written down before; undo it, or make a new study."
                )
        else:
            store.write_fact("design", json.dumps(present))


def _fixed(design: dict[str, Any]) -> dict[str, Any]:
    """What may not change once somebody has begun; the rest as nothing."""
    blocks = {key: value for key, value in design["blocks"].items() if key != "return_after_min"}
    return {key: None if key in _FREE_TO_CHANGE else value for key, value in (design | {"blocks": blocks}).items()}


def _vote(seat: Seat, step: Step, key: str, seconds: float, waited: float | None, now: float) -> Vote:
    screen, trial = step.screen, step.screen.trial
    return Vote(
        participant=seat.person.id,
        slot=screen.slot,
        question=step.question,
        answer=meaning(step, key),
        trial=trial.id,
        task=trial.task,
        source=trial.source,
        target=trial.target,
        strength=trial.strength,
        control=trial.control,
        method_a=trial.method_a,
        method_b=trial.method_b,
        method=trial.method,
        position=screen.position,
        repeat_of=screen.repeat_of,
        expected=screen.expected,
        seconds_browser=seconds,
        seconds_server=waited,
        language=seat.person.language,
        time=now,
    )


def _new_code() -> str:
    letters = "".join(secrets.choice(_CODE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
