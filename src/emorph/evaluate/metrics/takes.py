"""What metrics are made of: the kinds of arguments that a metric's function may take, and the tables of a report."""

from __future__ import annotations

from enum import Enum
from typing import Literal

Of = Literal["image", "set"]


class Shown(Enum):
    """The tables of a report; a metric names those it stands in."""

    HEADLINE = "emotion and identity together"
    SUMMARY = "the summary with controls"
    RECOGNISERS = "identity by recogniser"
    EMOTIONS = "by emotion"
    STRENGTHS = "by strength"
    COMPARISON = "two methods, paired"
    FIDELITY = "pictures as pictures"
    PAPERS = "for comparison with papers"
    COEFFICIENTS = "by a 3D face model"
    AFFECT = "valence and arousal"
    SET = "the set as a whole"


_S = Shown


class Takes(Enum):
    """What a metric's function is given: the kind of a metric, which decides the stage that measures it.

    of: whether it makes a number of each edit ("image") or of the whole set. compares: what with what, for people.
    arguments: of the function. tables: where a metric of this kind stands unless it says otherwise.

    Pictures are float (1, 3, H, W) in [-1, 1], told so by data_range=2; the first is the source, the second the edit.
    B faces or n edits make a row each of what comes in, and a number each of what goes out.
    """

    def __new__(cls, *_: object) -> Takes:
        """Numbered, for two kinds may be described alike."""
        member = object.__new__(cls)
        member._value_ = len(cls.__members__) + 1
        return member

    def __init__(self, of: Of, compares: str, arguments: str, tables: tuple[Shown, ...]) -> None:
        self.of, self.compares, self.arguments, self.tables = of, compares, arguments, tables

    RECONSTRUCTION = (
        "image",
        "a reconstruction (an edit of strength 0) and its source",
        "source, edited, *, data_range",
        (_S.FIDELITY,),
    )
    SURROUNDINGS = (
        "image",
        "an edit with its source's face put back, and its source",
        "source, edited, *, data_range",
        (_S.FIDELITY, _S.COMPARISON),
    )
    MASKED = (
        "image",
        "an edit and its source, outside a soft mask drawn by the source's 68 points",
        "source, edited, mask (1, 1, H, W) in [0, 1], 1 inside the face, *, data_range",
        (_S.FIDELITY, _S.COMPARISON),
    )
    EDITED = (
        "image",
        "an edit and its source, the whole crop of the face",
        "source, edited, *, data_range",
        (_S.PAPERS,),
    )
    OWN_MASK = (
        "image",
        "an edit and its source, outside the mask that the editor recorded (edits.jsonl)",
        "source, edited, mask (1, 1, H, W), 1 where the editor says that it may change the photo, *, data_range",
        (_S.FIDELITY, _S.COMPARISON),
    )
    LANDMARKS = (
        "image",
        "an edit and its source, by their landmarks",
        "points of sources and of edits, float (B, 68, 2) each",
        (_S.SUMMARY, _S.STRENGTHS, _S.COMPARISON),
    )
    INSIDE = (
        "image",
        "an edit and its source, inside the face",
        "source, edited, landmarks of both in pixels of the pictures, float (1, 68, 2) each, *, data_range",
        (_S.SUMMARY, _S.STRENGTHS, _S.COMPARISON),
    )
    ANSWERS = (
        "image",
        "a judge's answer and the target",
        "probabilities (n, n_labels), columns of the targets (n,)",
        (_S.SUMMARY, _S.COMPARISON),
    )
    BLEND = (
        "image",
        "a judge's answer and the shares of a blend",
        "probabilities (n, n_labels), shares asked for (n, n_labels), NaN where there is no blend",
        (_S.SUMMARY, _S.COMPARISON),
    )
    RECOGNISED = (
        "image",
        "a judge's answers for an edit and for its source",
        "recognised before and after, (n,) each, 0 or 1",
        (_S.SUMMARY, _S.EMOTIONS),
    )
    BOTH = (
        "image",
        "emotion and identity together",
        "recognised before and after, passes for the person, (n,) each, 0 or 1",
        (_S.HEADLINE, _S.STRENGTHS, _S.COMPARISON),
    )
    DESCRIPTORS = (
        "image",
        "an edit and its source",
        "dlib's descriptors of sources and of edits, (n, 128) each",
        (_S.SUMMARY, _S.STRENGTHS, _S.COMPARISON),
    )
    FEATURES = (
        "image",
        "an edit and its source",
        "a recogniser's features of sources and of edits, (n, D) each",
        (_S.SUMMARY, _S.STRENGTHS, _S.COMPARISON),
    )
    IDENTITIES = (
        "image",
        "an edit and its source, on the scale of the set's own pairs of photos",
        "calibrated identities by k recognisers, (k, n)",
        (_S.SUMMARY, _S.STRENGTHS, _S.COMPARISON),
    )
    THRESHOLD = (
        "image",
        "an edit and its source, by a threshold of the set's own pairs of photos",
        "distances (n,), threshold",
        (_S.SUMMARY, _S.RECOGNISERS, _S.EMOTIONS, _S.STRENGTHS, _S.COMPARISON),
    )
    GALLERY = (
        "image",
        "an edit and the gallery of all sources",
        "distances to all photos (n, p), the own photo (n,), photos of the person (n, p)",
        (_S.SUMMARY, _S.RECOGNISERS, _S.COMPARISON),
    )
    OTHER_PHOTOS = (
        "image",
        "an edit and other photos of the person",
        "distances to all photos (n, p), other photos of the person (n, p), threshold",
        (_S.SUMMARY,),
    )
    PAIRS = (
        "image",
        "an edit and its source, between another person and another photo of the person",
        "the set's own Pairs, distances (n,)",
        (_S.SUMMARY, _S.RECOGNISERS),
    )
    SHAPE = (
        "image",
        "an edit and its source, by a face model's shape",
        "coefficients (n, k) twice",
        (_S.COEFFICIENTS,),
    )
    EXPRESSION = (
        "image",
        "an edit and its source, by a face model's expression",
        "coefficients (n, k) twice",
        (_S.COEFFICIENTS,),
    )
    POSE = ("image", "an edit and its source, by a face model's pose", "axis-angles (n, 3) twice", (_S.COEFFICIENTS,))
    CONFUSION = (
        "set",
        "targets and a judge's answers",
        "the judge's emotions, columns of the targets (n,), of the answers (n,)",
        (_S.SUMMARY,),
    )
    SWEEP = (
        "set",
        "asked strengths and a judge's probabilities",
        "strengths (m,), probabilities (m,), of one photo and target",
        (_S.SUMMARY, _S.EMOTIONS),
    )
    TRADEOFF = (
        "set",
        "emotion and identity together",
        "recognised before and after, passes for the person, (n,) each",
        (_S.HEADLINE, _S.STRENGTHS, _S.COMPARISON),
    )
    CURVE = (
        "set",
        "emotion and identity over all strengths",
        "(gain, share that passes) by rising strength",
        (_S.HEADLINE,),
    )
    MATCHED = (
        "set",
        "two methods at one gain",
        "(gain, share that passes) by rising strength, a gain",
        (_S.COMPARISON,),
    )
    VALENCE_AROUSAL = (
        "set",
        "annotated or wanted values and a judge's",
        "wanted values (n,), a judge's (n,): of valence, and of arousal",
        (_S.AFFECT,),
    )
    FEATURE_SETS = (
        "set",
        "features of edits and of unedited photos",
        "features of edits (n, D), of sources (m, D)",
        (_S.SET,),
    )
    LANDMARK_SETS = (
        "set",
        "all edits and their sources, by their landmarks",
        "points of sources and of edits, float (n, 68, 2) each",
        (_S.SET,),
    )

    @property
    def spans_strengths(self) -> bool:
        """Whether it is asked over all strengths instead of at one."""
        return self in (Takes.SWEEP, Takes.CURVE, Takes.MATCHED)


_OF_EMOTIONS = {Takes.ANSWERS, Takes.BLEND, Takes.RECOGNISED, Takes.CONFUSION, Takes.SWEEP}
JUDGED = frozenset(_OF_EMOTIONS | {Takes.BOTH, Takes.TRADEOFF, Takes.CURVE})
PICTURES = frozenset({Takes.RECONSTRUCTION, Takes.SURROUNDINGS, Takes.MASKED, Takes.OWN_MASK, Takes.EDITED})
