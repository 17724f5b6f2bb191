"""The tables behind the first ones: by recogniser, emotion and strength, of pictures, face models and sets."""

from __future__ import annotations

from collections.abc import Iterator

from emorph.core.expressions import Emotion
from emorph.core.text_tables import slug
from emorph.evaluate.judges.asked import AFFECT
from emorph.evaluate.metrics.table import metrics, shown_in
from emorph.evaluate.metrics.takes import Shown, Takes
from emorph.evaluate.report.needs import AFFECT_JUDGES, GET_AFFECT
from emorph.evaluate.report.scorecard import WITH_CONTROLS, control_cell, dose_cell, row_with_controls
from emorph.evaluate.report.tables import NOTHING, Cell, Table, cell
from emorph.evaluate.scores.affect import AffectScores
from emorph.evaluate.scores.emotion import EmotionScores
from emorph.evaluate.scores.face_models import FaceModelScores
from emorph.evaluate.scores.gallery import FALSE_ACCEPTS
from emorph.evaluate.scores.identity import OWN_DISTANCE
from emorph.evaluate.scores.method import MethodScores


def details(scores: MethodScores, name: str) -> Iterator[Table]:
    """All of them, as far as there is something to tell."""
    if len(scores.identities) > 1:
        yield recognisers(scores, name)
    for affect in scores.affects:
        yield affect_table(affect, scores, name)
    if not scores.affects and scores.panel.tells_emotions:
        yield no_affect_table(scores, name)
    for emotion in scores.emotions:
        yield by_emotion(scores, emotion, name)
    for emotion in scores.emotions:
        yield confusion(emotion, name)
    if len(scores.evidence.sweep()) > 1:
        yield by_strength(scores, name)
    for model in scores.face_models:
        yield face_model_table(model, scores, name)
    yield fidelity_table(scores, name)
    yield papers_table(scores, name)
    if any(scores.shown_in(Shown.SET)):
        yield set_table(scores, name)


def recognisers(scores: MethodScores, name: str = "") -> Table:
    """Each recogniser for itself."""
    evidence = scores.evidence
    columns = [row for row in shown_in(Shown.RECOGNISERS) if row.takes not in OWN_DISTANCE]
    rows: list[tuple[Cell, ...]] = []
    for identity, lines in zip(scores.identities, scores.recogniser_lines, strict=True):
        own = next(line for line in lines if line.metric == identity.gallery.metric)
        controls = (control_cell(own, control) for control in (own.same_person, own.other_person))
        others = {line.metric.name: dose_cell(line) for line in lines}
        rows.append(
            (
                own.label,
                own.metric.better,
                dose_cell(own),
                *controls,
                *(others.get(row.name, NOTHING) for row in columns),
            )
        )
    header = (
        *("measure", "better", "edits", "another photo of the person", "another person"),
        *(row.short_label for row in columns),
    )
    note = (
        f"Edits at strength {evidence.dose:g}. Each recogniser has its own threshold, that "
        f"{100 * FALSE_ACCEPTS:.0f} % of the pairs of different persons of this set reach. Calibrated identity is 0 "
        "for another person and 1 for another photo of the person; the ensemble is its mean over the recognisers, for "
        "each pair of faces."
    )
    return Table(slug(evidence.method, "recognisers"), f"{name}Identity by recogniser", note, header, tuple(rows))


def affect_table(affect: AffectScores, scores: MethodScores, name: str = "") -> Table:
    """Valence and arousal by one judge."""
    truth = "the values given with the edits" if affect.is_given else "typical values of the targets (a convention)"
    note = (
        f"{affect.n_edits} edits against {truth}, and the unedited photos against the same values. RMSE in the "
        "values' unit, from -1 to 1."
    )
    rows = tuple(
        (line.label, line.metric.better, cell(line.at_dose), control_cell(line, line.unedited))
        for line in scores.shown_in(Shown.AFFECT)
        if line.by == affect.judge.id
    )
    header = ("measure", "better", "edits", "unedited photo")
    title = f"{name}Valence and arousal, judged by {affect.judge.id}"
    return Table(slug(scores.evidence.method, "affect", _plain(affect.judge.id)), title, note, header, rows)


def no_affect_table(scores: MethodScores, name: str = "") -> Table:
    """Which file valence and arousal lack, where no judge of them is here."""
    absent = [item.why for item in scores.panel.missing if item.name in AFFECT_JUDGES]
    why = absent[0] if absent else GET_AFFECT
    rows = tuple(
        (f"{word}, {row.title}", row.better, why, NOTHING) for word in AFFECT for row in metrics(Takes.VALENCE_AROUSAL)
    )
    header = ("measure", "better", "edits", "unedited photo")
    note = "No judge of valence and arousal is here."
    return Table(slug(scores.evidence.method, "affect"), f"{name}Valence and arousal", note, header, rows)


def by_emotion(scores: MethodScores, emotion: EmotionScores, name: str = "") -> Table:
    """What one judge says of each target, and what identity costs there."""
    evidence, judge = scores.evidence, emotion.judge
    lines = [line for line in scores.shown_in(Shown.EMOTIONS) if line.by in ("", judge.id)]
    rows: list[tuple[Cell, ...]] = []
    for target in Emotion:
        towards = emotion.towards(target)
        if not towards.any():
            continue
        row: list[Cell] = [target.word]
        for line in lines:
            chosen = towards if line.metric.takes.spans_strengths else towards & evidence.at_dose
            is_share = line.metric.is_share
            if line.by and target not in judge.emotions:
                first = len(row) == 1
                row += ["not measurable: the judge has no such class" if first else NOTHING]
                row += [NOTHING] if line.before is not None else []
                continue
            row.append(cell(line.estimate(chosen), is_share))
            if line.before is not None:
                row.append(cell(line.mean(line.before, chosen), is_share))
        rows.append(tuple(row))
    header = ["target"]
    for line in lines:
        header += [line.metric.short_label]
        header += [f"unedited photo {line.metric.short_label}"] if line.before is not None else []
    return Table(
        slug(evidence.method, "per_emotion", _plain(judge.id)),
        f"{name}By emotion, judged by {judge.id}",
        f"Edits at strength {evidence.dose:g}; recognised is the recall of the target.",
        tuple(header),
        tuple(rows),
    )


def confusion(emotion: EmotionScores, name: str = "") -> Table:
    """Targets against one judge's answers."""
    found = emotion.confusion()
    rows, shades = [], []
    for target, counts in zip(found.emotions, found.counts, strict=True):
        n = int(counts.sum())
        if n:
            rows.append((f"{target.word} (n = {n})", *(str(int(count)) for count in counts)))
            shades.append(tuple(float(count) / n for count in counts))
    return Table(
        slug(emotion.evidence.method, "confusion", _plain(emotion.judge.id)),
        f"{name}Confusion, judged by {emotion.judge.id}",
        f"Edits at strength {emotion.evidence.dose:g}: rows are targets, columns the judge's answers, in edits.",
        ("target", *(answer.word for answer in found.emotions)),
        tuple(rows),
        tuple(shades),
    )


def by_strength(scores: MethodScores, name: str = "") -> Table:
    """What the edits gain and what identity costs, strength by strength."""
    evidence = scores.evidence
    lines = list(scores.shown_in(Shown.STRENGTHS))
    rows: list[tuple[Cell, ...]] = []
    for strength in evidence.sweep():
        chosen = evidence.at(strength)
        rows.append((f"{strength:g}", *(cell(line.estimate(chosen), line.metric.is_share) for line in lines)))
    header = ("strength", *(line.short for line in lines))
    note = "What the edits gain and what identity costs, by strength."
    return Table(slug(evidence.method, "by_strength"), f"{name}By strength", note, header, tuple(rows))


def fidelity_table(scores: MethodScores, name: str = "") -> Table:
    """Never an edit against its source as if change were damage: outside the face, and reconstructions."""
    rows = tuple(
        (
            line.label,
            line.metric.compares,
            line.metric.better,
            dose_cell(line),
            control_cell(line, line.unedited),
        )
        for line in scores.shown_in(Shown.FIDELITY)
    )
    note = (
        "Fidelity takes every change for damage, so it is asked in two ways only: outside the face, where nothing "
        "should change (the edit with its source's own face put back, against the source), and of reconstructions "
        "(edits at strength 0). An edit against its source would praise the edit that did nothing. The face is a "
        "soft mask by the source's 68 points, alike for every method, so what changes along its edge counts in part; "
        "the editor's mask is the one it pasted through, where it recorded one, and there nothing may change at all. "
        "Networks compare the face's surroundings at 256 px."
    )
    header = ("measure", "compares", "better", "edits", "unedited photo")
    return Table(slug(scores.evidence.method, "fidelity"), f"{name}Fidelity", note, header, rows)


def papers_table(scores: MethodScores, name: str = "") -> Table:
    """An edit against its source, for readers who want papers' numbers beside theirs; marked as what it is."""
    rows = tuple(
        (line.label, line.metric.compares, dose_cell(line), control_cell(line, line.unedited))
        for line in scores.shown_in(Shown.PAPERS)
    )
    note = (
        "Many papers print these numbers, so they stand here to be set beside theirs, and count for nothing else in "
        "this report. They compare an edit with its source, so the wanted change counts as damage: the edit that does "
        "nothing has the best value there is, in the last column. A higher PSNR here does not mean a better edit. In "
        "the window that FFHQ's crop spans; SSIM with an 11 px Gaussian window, LPIPS at 256 px. Papers differ in all "
        "three."
    )
    header = ("measure", "compares", "edits", "doing nothing")
    return Table(slug(scores.evidence.method, "papers"), f"{name}For comparison with papers", note, header, rows)


def face_model_table(model: FaceModelScores, scores: MethodScores, name: str = "") -> Table:
    """What a face model's coefficients tell, with their controls."""
    lines = [line for line in scores.shown_in(Shown.COEFFICIENTS) if line.by == model.model.id]
    note = (
        f"Mean absolute difference of the coefficients of {model.model.id} ({model.model.card['kind']}) between an "
        "edit and its source. An expression that was asked for must differ; shape is the person's, so it should stay "
        "nearer than another photo of the person lies, and the head should not turn."
    )
    if model.n_untrusted:
        note += f" {model.n_untrusted} edits are left out here: the model fits them or their source badly."
    title = f"{name}Expression, pose and shape by {_plain(model.model.id)}"
    table = slug(scores.evidence.method, _plain(model.model.id))
    return Table(table, title, note, WITH_CONTROLS, tuple(row_with_controls(line) for line in lines))


def set_table(scores: MethodScores, name: str = "") -> Table:
    """Measures of the whole set; those of distributions beside what chance alone gives."""
    evidence, lines = scores.evidence, list(scores.shown_in(Shown.SET))
    note = f"{int(evidence.at_dose.sum())} edits against {len(set(evidence.groups))} unedited photos."
    if networks := ", ".join(dict.fromkeys(line.by for line in lines if line.by)):
        note += (
            f" Features of {networks}. FID is biased upwards at small n, about in proportion to 1/n (2048 features "
            "want 10,000 pictures and more), so it can only be compared with a FID of the same n; KID is not biased, "
            "but its spread is as large as its interval says. Two halves of the unedited photos tell what chance alone "
            "gives at half of their number."
        )
    rows = tuple(
        (line.label, line.metric.better, dose_cell(line), control_cell(line, line.by_chance or line.unedited))
        for line in lines
    )
    header = ("measure", "better", "edits against unedited photos", "two halves of the unedited photos")
    return Table(slug(evidence.method, "set"), f"{name}The set as a whole", note, header, rows)


def _plain(judge: str) -> str:
    """A judge's name without the digits of its file."""
    return judge.partition("@")[0]
