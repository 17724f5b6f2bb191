"""What a metric says of itself, and the table of all metrics."""

from __future__ import annotations

import importlib
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from emorph.core.errors import UnknownNameError

Direction = Literal["higher", "lower"]
Of = Literal["image", "set"]


@dataclass(frozen=True)
class Metric:
    """One number's meaning, apart from its computation.

    of: "image" gives a value for each pair of pictures, "set" one for the whole set.
    compares: what with what; a number is only fair for these two.
    better: the direction of the better value. lowest, highest: bounds of the value; infinite where there are none.
    needs: what must be there besides the pictures, in words; empty if nothing.
    function: "module:name" of the function (or a class's method), which is imported when it is asked for.
    source: who defined it.
    """

    name: str
    title: str
    unit: str
    of: Of
    compares: str
    better: Direction
    lowest: float
    highest: float
    function: str
    source: str
    needs: str = ""

    def load(self) -> Callable[..., Any]:
        """The function that computes it."""
        module, _, path = self.function.partition(":")
        function: Callable[..., Any] = operator.attrgetter(path)(importlib.import_module(module))
        return function

    @property
    def bounds(self) -> str:
        """ "0 to 1", "above 0", "any": its values' range for people."""
        if math.isinf(self.lowest):
            return "any"
        return f"{self.lowest:.3g} to {self.highest:.3g}" if math.isfinite(self.highest) else f"{self.lowest:.3g} up"


def metric(name: str) -> Metric:
    """The metric called ``name``. Raises UnknownNameError with the nearest name."""
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]


_INF = math.inf
_IMAGE: Of = "image"
_SET: Of = "set"
_EITHER, _UP, _DOWN = (-_INF, _INF), (0.0, _INF), "lower"
_SHARE, _SIGNED, _BETTER = (0.0, 1.0), (-1.0, 1.0), "higher"

_RECONSTRUCTION = "a reconstruction (an edit of strength 0) and its source"
_OUTSIDE = "an edit and its source, around the face"
_TARGET = "a judge's answer and the target"
_BEFORE = "a judge's answers for an edit and for its source"
_PERSON = "an edit and its source"
_CONTROLS = "an edit and its source, on the scale of the set's own pairs of photos"
_VA = "annotated or wanted values and a judge's"
_MOVED = "an edit and its source, by their landmarks"
_COEFFICIENTS = "an edit and its source, by a face model's coefficients"
_FEATURES = "features of edits and of unedited photos"
_NEEDS_JUDGE = "a judge of emotions"
_NEEDS_VA = "a judge of valence and arousal"
_NEEDS_TWO = "photos of two persons"
_NEEDS_MODEL = "a face model: ict-facekit, deca or emoca"
_NEEDS_INCEPTION = "inception-fid"

_Row = tuple[str, str, str, Of, str, str, str, tuple[float, float], str, str]


def _networks() -> list[_Row]:
    """The distances that networks tell, each in both of its uses."""
    lpips = "Zhang et al. 2018, v0.1"
    named = (
        ("lpips_alex", "LPIPS (AlexNet)", _UP, "perceptual:lpips_alex", lpips, "lpips-alexnet, lpips-heads-alex"),
        ("lpips_vgg", "LPIPS (VGG16)", _UP, "perceptual:lpips_vgg", lpips, "lpips-vgg16, lpips-heads-vgg"),
        ("dists", "DISTS", _SHARE, "texture:dists", "Ding et al. 2020", "lpips-vgg16, dists"),
    )
    uses = (("", "", _RECONSTRUCTION), ("_outside", " outside the face", _OUTSIDE))
    return [
        (name + end, title + more, "", _IMAGE, function, compares, _DOWN, bounds, source, needs)
        for end, more, compares in uses
        for name, title, bounds, function, source, needs in named
    ]


# fmt: off
_ROWS: tuple[_Row, ...] = (
    # name, title, unit, of, function,
    # compares, better, (lowest, highest), source, needs
    ("psnr", "PSNR", "dB", _IMAGE, "fidelity:psnr",
     _RECONSTRUCTION, _BETTER, _EITHER, "10 log10(range² / mean squared error)", ""),
    ("ssim", "SSIM", "", _IMAGE, "fidelity:ssim",
     _RECONSTRUCTION, _BETTER, _SIGNED, "Wang et al. 2004", ""),
    ("ms_ssim", "MS-SSIM", "", _IMAGE, "fidelity:ms_ssim",
     _RECONSTRUCTION, _BETTER, _SHARE, "Wang, Simoncelli, Bovik 2003", "pictures of at least 176 px"),
    ("mae_outside", "Change outside the face", "share of range", _IMAGE, "geometry:mae_outside",
     _OUTSIDE, _DOWN, _SHARE, "mean absolute difference outside a mask", ""),
    ("psnr_outside", "PSNR outside the face", "dB", _IMAGE, "geometry:psnr_outside",
     _OUTSIDE, _BETTER, _EITHER, "PSNR outside a mask", ""),
    ("ssim_outside", "SSIM outside the face", "", _IMAGE, "fidelity:ssim",
     _OUTSIDE, _BETTER, _SIGNED, "Wang et al. 2004, the source's face put back", ""),
    *_networks(),
    ("recognised", "Recognised as the target", "share", _IMAGE, "emotion:recognised",
     _TARGET, _BETTER, _SHARE, "accuracy; by target it is the recall", _NEEDS_JUDGE),
    ("probability", "Probability of the target", "", _IMAGE, "judges:EmotionJudge.__call__",
     _TARGET, _BETTER, _SHARE, "softmax of the judge", _NEEDS_JUDGE),
    ("gain", "Gain over the unedited photo", "share", _IMAGE, "emotion:gain",
     _BEFORE, _BETTER, _SIGNED, "recognised, less the source's", _NEEDS_JUDGE),
    ("mutual_confusion", "Mutual confusion, mSCR", "share", _SET, "emotion_scores:EmotionScores.mutual_confusion",
     "targets and answers of alike emotions", _DOWN, _SHARE, "PixelSmile, arXiv 2603.25728", _NEEDS_JUDGE),
    ("linearity", "Linearity of strength", "", _SET, "statistics:pearson",
     "asked strengths, a judge's probabilities", _BETTER, _SIGNED, "CLS of PixelSmile, Pearson's r", "two strengths"),
    ("success", "Success gain", "share", _SET, "tradeoff:Tradeoff.success",
     "emotion and identity together", _BETTER, _SIGNED, "recognised and passing, less recognised unedited", _NEEDS_TWO),
    ("hes", "HES", "", _SET, "tradeoff:harmonic_mean",
     "emotion and identity together", _BETTER, _SHARE, "PixelSmile: 2 S_E S_ID / (S_E + S_ID)", _NEEDS_TWO),
    ("tradeoff_area", "Area of identity over gain", "", _SET, "tradeoff:area_under",
     "emotion and identity over all strengths", _BETTER, _SHARE, "steps under the trade-off curve", _NEEDS_TWO),
    ("identity_at_gain", "Identity at matched gain", "share", _SET, "tradeoff:identity_at",
     "two methods at one gain", _BETTER, _SHARE, "a point of the trade-off curve", _NEEDS_TWO),
    ("dlib_distance", "Distance to the source (dlib)", "", _IMAGE, "identity:distances",
     _PERSON, _DOWN, _UP, "King 2017", ""),
    ("csim", "CSIM", "", _IMAGE, "identity:csim",
     _PERSON, _BETTER, _SIGNED, "cosine of features in ArcFace's format", "a recogniser (--recogniser)"),
    ("verified", "Passes for the person", "share", _IMAGE, "identity:verified",
     _CONTROLS, _BETTER, _SHARE, "verification rate at 1 % false accepts", _NEEDS_TWO),
    ("rank_1", "Found first", "share", _IMAGE, "identity:found_first",
     "an edit and the gallery of all sources", _BETTER, _SHARE, "rank-1 re-identification", _NEEDS_TWO),
    ("calibrated_identity", "Calibrated identity", "", _IMAGE, "identity:Pairs.calibrated",
     _CONTROLS, _BETTER, _EITHER, "0 another person, 1 another photo of the person", "two photos of a person"),
    ("ensemble", "Identity by all recognisers", "", _IMAGE, "identity_scores:galleries",
     _CONTROLS, _BETTER, _EITHER, "mean calibrated identity, after ID-Sim", "two recognisers, two photos of a person"),
    ("rmse", "RMSE", "", _SET, "affect:rmse",
     _VA, _DOWN, _UP, "root mean squared error", _NEEDS_VA),
    ("pcc", "PCC", "", _SET, "affect:pcc",
     _VA, _BETTER, _SIGNED, "Pearson's correlation", _NEEDS_VA),
    ("ccc", "CCC", "", _SET, "affect:ccc",
     _VA, _BETTER, _SIGNED, "Lin 1989", _NEEDS_VA),
    ("sagr", "SAGR", "", _SET, "affect:sagr",
     _VA, _BETTER, _SHARE, "Nicolaou et al. 2011", _NEEDS_VA),
    ("expression_distance", "Expression distance (68 points)", "eye spans", _IMAGE, "geometry:expression_distance",
     _MOVED, _DOWN, _UP, "Procrustes on eye corners and nose", ""),
    ("pose_distance", "Pose distance (68 points)", "rad", _IMAGE, "geometry:pose_distance",
     _MOVED, _DOWN, (0.0, math.pi), "weak-perspective pose of nine points", ""),
    ("asd", "Shape distance, ASD", "coefficients", _IMAGE, "face_model_scores:coefficient_distance",
     _COEFFICIENTS, _DOWN, _UP, "mean absolute difference of β", _NEEDS_MODEL),
    ("aed", "Expression distance, AED", "coefficients", _IMAGE, "face_model_scores:coefficient_distance",
     _COEFFICIENTS, _DOWN, _UP, "mean absolute difference of ψ", _NEEDS_MODEL),
    ("apd", "Pose distance, APD", "rad", _IMAGE, "face_model_scores:coefficient_distance",
     _COEFFICIENTS, _DOWN, _UP, "the same of the axis-angle", _NEEDS_MODEL),
    ("fid", "FID", "", _SET, "distribution:fid",
     _FEATURES, _DOWN, _UP, "Heusel et al. 2017; biased at small n", _NEEDS_INCEPTION),
    ("kid", "KID", "", _SET, "distribution:kid",
     _FEATURES, _DOWN, _EITHER, "Bińkowski et al. 2018", _NEEDS_INCEPTION),
)
# fmt: on


def _entry(row: _Row) -> Metric:
    name, title, unit, of, function, compares, better, (lowest, highest), source, needs = row
    direction: Direction = "higher" if better == _BETTER else "lower"
    where = f"emorph.evaluate.{function}"
    return Metric(name, title, unit, of, compares, direction, lowest, highest, where, source, needs)


METRICS: dict[str, Metric] = {row[0]: _entry(row) for row in _ROWS}
