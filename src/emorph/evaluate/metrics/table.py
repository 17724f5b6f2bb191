"""The table of all metrics: measuring, resuming, tables, files and comparisons go through it, and know no name.

One more is one more row here, and its function in a file beside this one; see docs/extend/metric.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from emorph.core.errors import ConfigError, UnknownNameError
from emorph.evaluate.metrics.metric import ANY, POSITIVE, SHARE, SIGNED, Metric
from emorph.evaluate.metrics.takes import Shown, Takes

_LPIPS = "Zhang et al. 2018, v0.1"
_SSIM = "Wang et al. 2004"
_DISTS = "Ding et al. 2020"
_MOST_PX = 1024  # so that one edit of a large photo costs no minute
_FROM_LEVEL_0 = 2  # revision 1 counted luminance from mid-gray, with signs
_TWO = "photos of at least two persons"
_OF_A_PERSON = "two photos of a person; name persons in a CSV's column identity"
_JUDGE = "a judge of emotions that knows the targets"
_VA = "a judge of valence and arousal"
_ALEX, _VGG, _VGG_DISTS = "lpips-alexnet, lpips-heads-alex", "lpips-vgg16, lpips-heads-vgg", "lpips-vgg16, dists"
_SAME_SIZE = "edits of their sources' size, with something around the face"
_SAME_PX = "edits of their sources' size"
_INFO: Final = "for information"
_RECORDED = "the mask in edits.jsonl, where emorph writes it"
_STRENGTH_0 = "edits at strength 0, which are a method's reconstructions"
_MODEL = "a face model that fits: ict-facekit, deca or emoca"
_ALSO_BY_EMOTION = (Shown.SUMMARY, Shown.EMOTIONS, Shown.STRENGTHS, Shown.COMPARISON)
_BY_RECOGNISER = (Shown.SUMMARY, Shown.RECOGNISERS, Shown.STRENGTHS, Shown.COMPARISON)
_ALSO_IN_SUMMARY = (Shown.SUMMARY, Shown.FIDELITY, Shown.COMPARISON)

# fmt: off
_ROWS: tuple[Metric, ...] = (
    # Emotion, by a judge
    Metric(name="recognised", title="Recognised as the target", short="recognised", takes=Takes.ANSWERS,
           function="emotion:recognised", better="higher", bounds=SHARE, unit="share", needs=_JUDGE, lost=0,
           source="accuracy; by target it is the recall", tables=_ALSO_BY_EMOTION),
    Metric(name="gain", title="Gain over the unedited photo", short="gain", takes=Takes.RECOGNISED,
           function="emotion:gain", better="higher", bounds=SIGNED, unit="share", needs=_JUDGE,
           source="recognised, less the source's"),
    Metric(name="probability", title="Probability of the target", short="probability of the target",
           takes=Takes.ANSWERS, function="emotion:probability", better="higher", bounds=SHARE, needs=_JUDGE,
           lost=0, source="softmax of the judge", column="target after", column_before="target before"),
    Metric(name="blend_share", title="Blend as asked for", short="blend as asked for", takes=Takes.BLEND,
           function="emotion:blend_share", better="higher", bounds=SHARE, lost=0,
           needs="edits to a blend, and a judge that knows its emotions",
           source="shares that two histograms have in common, Swain and Ballard 1991"),
    Metric(name="mutual_confusion", title="Mutual confusion, mSCR", takes=Takes.CONFUSION,
           function="emotion:mutual_confusion", better="lower", bounds=SHARE, unit="share",
           needs="edits to fear and surprise, or to anger and disgust", source="PixelSmile, arXiv 2603.25728"),
    Metric(name="linearity", title="Linearity of strength, r", short="linearity r", takes=Takes.SWEEP,
           function="statistics:pearson", better="higher", bounds=SIGNED, needs="two strengths above 0",
           source="CLS of PixelSmile, Pearson's r"),

    # Emotion and identity together
    Metric(name="success", title="Success gain", short="success gain", takes=Takes.BOTH, function="tradeoff:success",
           better="higher", bounds=SIGNED, unit="share", needs=_TWO,
           source="recognised and passing, less recognised unedited"),
    Metric(name="hes", title="HES: harmonic mean of gain and identity", short="HES", takes=Takes.TRADEOFF,
           function="tradeoff:harmonic", better="higher", bounds=SHARE, needs=_TWO,
           source="PixelSmile: 2 S_E S_ID / (S_E + S_ID)"),
    Metric(name="tradeoff_area", title="Area of identity over gain", takes=Takes.CURVE, function="tradeoff:area_under",
           better="higher", bounds=SHARE, needs=_TWO, source="steps under the trade-off curve"),
    Metric(name="identity_at_gain", title="identity at matched gain", takes=Takes.MATCHED,
           function="tradeoff:identity_at", better="higher", bounds=SHARE, unit="share", needs=_TWO,
           source="a point of the trade-off curve"),

    # Identity, by a recogniser
    Metric(name="verified", title="Passes for the person of its source", short="passes for the person",
           takes=Takes.THRESHOLD, function="identity:verified", better="higher", bounds=SHARE, unit="share", needs=_TWO,
           of_itself=1, lost=0, source="verification rate at 1 % false accepts", column="passes"),
    Metric(name="verified_elsewhere", title="Passes for other photos of the person", takes=Takes.OTHER_PHOTOS,
           function="identity:share_passed", better="higher", bounds=SHARE, unit="share", needs=_OF_A_PERSON,
           lost=0, source="verification rate against the other photos"),
    Metric(name="rank_1", title="Found first among all sources", short="found first among the sources",
           takes=Takes.GALLERY, function="identity:found_first", better="higher", bounds=SHARE, unit="share",
           needs=_TWO, of_itself=1, lost=0, source="rank-1 re-identification"),
    Metric(name="dlib_distance", title="Distance to the source", takes=Takes.DESCRIPTORS, function="identity:distances",
           better="lower", bounds=POSITIVE, of_itself=0, source="King 2017", tables=_BY_RECOGNISER, column="distance"),
    Metric(name="csim", title="CSIM, cosine with the source", short="CSIM", takes=Takes.FEATURES,
           function="identity:csim", better="higher", bounds=SIGNED, of_itself=1, needs="a recogniser (--recogniser)",
           source="cosine of features in ArcFace's format", tables=_BY_RECOGNISER),
    Metric(name="ensemble", title="Mean calibrated identity of all recognisers", short="ensemble",
           takes=Takes.IDENTITIES, function="identity:mean_identity", better="higher", column="identity", lost=0,
           needs="two recognisers, two photos of a person", source="mean calibrated identity, after ID-Sim",
           tables=_BY_RECOGNISER),
    Metric(name="calibrated_identity", title="Calibrated identity", short="calibrated identity", takes=Takes.PAIRS,
           function="identity:Pairs.calibrated", better="higher", needs=_OF_A_PERSON,
           lost=0, source="0 another person, 1 another photo of the person"),

    # What 68 landmarks tell
    Metric(name="expression_distance", title="Expression moved (68 points)", short="expression moved",
           takes=Takes.LANDMARKS, function="geometry:expression_distance", better="for information", bounds=POSITIVE,
           unit="eye spans", of_itself=0, source="Procrustes on eye corners and nose"),
    Metric(name="pose_distance", title="Head turned (68 points)", short="head turned", takes=Takes.LANDMARKS,
           function="geometry:pose_distance", better="lower", bounds=(0.0, math.pi), unit="rad", shown_unit="degrees",
           of_itself=0, source="weak-perspective pose of nine points"),

    # Pictures: what changed outside the face, then what a reconstruction lost
    Metric(name="mae_outside", title="Change outside the face", short="change outside the face", takes=Takes.MASKED,
           function="geometry:mae_outside", better="lower", bounds=SHARE, unit="share of range", of_itself=0,
           needs=_SAME_SIZE, source="mean absolute difference outside a mask", tables=_ALSO_IN_SUMMARY),
    Metric(name="psnr_outside", title="PSNR outside the face", takes=Takes.MASKED, function="geometry:psnr_outside",
           better="higher", unit="dB", of_itself=math.inf, needs=_SAME_SIZE, source="PSNR outside a mask"),
    Metric(name="mae_outside_mask", title="Change outside the editor's mask", takes=Takes.OWN_MASK,
           function="geometry:mae_outside", better="lower", bounds=SHARE, unit="share of range", of_itself=0,
           needs=_RECORDED, source="mean absolute difference outside a mask"),
    Metric(name="psnr_outside_mask", title="PSNR outside the editor's mask", takes=Takes.OWN_MASK,
           function="geometry:psnr_outside", better="higher", unit="dB", of_itself=math.inf, needs=_RECORDED,
           source="PSNR outside a mask"),
    Metric(name="ssim_outside", title="SSIM outside the face", takes=Takes.SURROUNDINGS, function="fidelity:ssim",
           better="higher", bounds=SIGNED, of_itself=1, least_px=11, most_px=_MOST_PX, needs=_SAME_SIZE,
           revision=_FROM_LEVEL_0, source=f"{_SSIM}, the source's face put back"),
    Metric(name="lpips_alex_outside", title="LPIPS (AlexNet) outside the face", takes=Takes.SURROUNDINGS,
           function="lpips:lpips_alex", better="lower", bounds=POSITIVE, of_itself=0, needs=_ALEX, source=_LPIPS,
           network="lpips:alex_on_disk"),
    Metric(name="lpips_vgg_outside", title="LPIPS (VGG16) outside the face", takes=Takes.SURROUNDINGS,
           function="lpips:lpips_vgg", better="lower", bounds=POSITIVE, of_itself=0, needs=_VGG, source=_LPIPS,
           network="lpips:vgg_on_disk"),
    Metric(name="dists_outside", title="DISTS outside the face", takes=Takes.SURROUNDINGS, function="dists:dists",
           better="lower", bounds=SHARE, of_itself=0, needs=_VGG_DISTS, source=_DISTS, network="dists:on_disk"),
    Metric(name="psnr", title="PSNR", takes=Takes.RECONSTRUCTION, function="fidelity:psnr", better="higher", unit="dB",
           of_itself=math.inf, needs=_STRENGTH_0, source="10 log10(range² / mean squared error)"),
    Metric(name="ssim", title="SSIM", takes=Takes.RECONSTRUCTION, function="fidelity:ssim", better="higher",
           bounds=SIGNED, of_itself=1, least_px=11, most_px=_MOST_PX, needs=_STRENGTH_0, source=_SSIM,
           revision=_FROM_LEVEL_0),
    Metric(name="ms_ssim", title="MS-SSIM", takes=Takes.RECONSTRUCTION, function="fidelity:ms_ssim", better="higher",
           bounds=SHARE, of_itself=1, least_px=176, most_px=_MOST_PX, needs=f"{_STRENGTH_0}, of 176 px at least",
           source="Wang, Simoncelli, Bovik 2003", revision=_FROM_LEVEL_0),
    Metric(name="lpips_alex", title="LPIPS (AlexNet)", takes=Takes.RECONSTRUCTION, function="lpips:lpips_alex",
           better="lower", bounds=POSITIVE, of_itself=0, needs=f"{_STRENGTH_0}; {_ALEX}", source=_LPIPS,
           network="lpips:alex_on_disk"),
    Metric(name="lpips_vgg", title="LPIPS (VGG16)", takes=Takes.RECONSTRUCTION, function="lpips:lpips_vgg",
           better="lower", bounds=POSITIVE, of_itself=0, needs=f"{_STRENGTH_0}; {_VGG}", source=_LPIPS,
           network="lpips:vgg_on_disk"),
    Metric(name="dists", title="DISTS", takes=Takes.RECONSTRUCTION, function="dists:dists", better="lower",
           bounds=SHARE, of_itself=0, needs=f"{_STRENGTH_0}; {_VGG_DISTS}", source=_DISTS, network="dists:on_disk"),

    # An edit against its source, as papers print it: every change counts as damage, the wanted one too
    Metric(name="psnr_edit", title="PSNR of edits", takes=Takes.EDITED, function="fidelity:psnr", better=_INFO,
           unit="dB", of_itself=math.inf, needs=_SAME_PX, source="10 log10(range² / mean squared error)"),
    Metric(name="ssim_edit", title="SSIM of edits", takes=Takes.EDITED, function="fidelity:ssim", better=_INFO,
           bounds=SIGNED, of_itself=1, least_px=11, most_px=_MOST_PX, needs=_SAME_PX, source=_SSIM),
    Metric(name="lpips_alex_edit", title="LPIPS (AlexNet) of edits", takes=Takes.EDITED, function="lpips:lpips_alex",
           better=_INFO, bounds=POSITIVE, of_itself=0, needs=_ALEX, source=_LPIPS, network="lpips:alex_on_disk"),
    Metric(name="lpips_vgg_edit", title="LPIPS (VGG16) of edits", takes=Takes.EDITED, function="lpips:lpips_vgg",
           better=_INFO, bounds=POSITIVE, of_itself=0, needs=_VGG, source=_LPIPS, network="lpips:vgg_on_disk"),

    # Coefficients of a 3D face model
    Metric(name="asd", title="Shape distance, ASD", short="ASD", takes=Takes.SHAPE, better="lower", bounds=POSITIVE,
           function="coefficients:coefficient_distance", unit="coefficients", of_itself=0, needs=_MODEL,
           source="mean absolute difference of β", column="shape"),
    Metric(name="aed", title="Expression distance, AED", short="AED", takes=Takes.EXPRESSION, better="for information",
           function="coefficients:coefficient_distance", bounds=POSITIVE, unit="coefficients", of_itself=0,
           needs=_MODEL, source="mean absolute difference of ψ", column="expression"),
    Metric(name="apd", title="Pose distance, APD", short="APD", takes=Takes.POSE, better="lower", bounds=POSITIVE,
           function="coefficients:coefficient_distance", unit="rad", of_itself=0, needs=_MODEL,
           source="the same of the axis-angle", column="pose"),

    # Valence and arousal
    Metric(name="rmse", title="RMSE", takes=Takes.VALENCE_AROUSAL, function="affect:rmse", better="lower",
           bounds=POSITIVE, needs=_VA, source="root mean squared error"),
    Metric(name="pcc", title="PCC", takes=Takes.VALENCE_AROUSAL, function="affect:pcc", better="higher", bounds=SIGNED,
           needs=_VA, source="Pearson's correlation"),
    Metric(name="ccc", title="CCC", takes=Takes.VALENCE_AROUSAL, function="affect:ccc", better="higher", bounds=SIGNED,
           needs=_VA, source="Lin 1989"),
    Metric(name="sagr", title="SAGR", takes=Takes.VALENCE_AROUSAL, function="affect:sagr", better="higher",
           bounds=SHARE, needs=_VA, source="Nicolaou et al. 2011"),

    # The set as a whole
    Metric(name="fid", title="FID", takes=Takes.FEATURE_SETS, function="distribution:fid", better="lower",
           bounds=POSITIVE, needs="eight source photos; inception-fid",
           source="Heusel et al. 2017; biased at small n"),
    Metric(name="kid", title="KID", takes=Takes.FEATURE_SETS, function="distribution:mmd", better="lower", bounds=ANY,
           needs="eight source photos; inception-fid", source="Bińkowski et al. 2018"),
)
# fmt: on

METRICS: dict[str, Metric] = {row.name: row for row in _ROWS}


def metric(name: str) -> Metric:
    """The metric called ``name``. Raises UnknownNameError with the nearest name."""
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]


def register(row: Metric) -> None:
    """Add a metric of your own, which from then on is measured, resumed, tabled and compared like any other.

    Raises ConfigError if its name is taken, or its bounds are turned round.
    """
    if row.name in METRICS:
        raise ConfigError(f"there is a metric {row.name!r} already; give yours another name.")
    if not row.bounds[0] < row.bounds[1]:
        raise ConfigError(f"the bounds of {row.name!r} must be (lowest, highest), found {row.bounds}.")
    METRICS[row.name] = row


def metrics(*takes: Takes) -> tuple[Metric, ...]:
    """All metrics of these kinds, in the order of the table."""
    return tuple(row for row in METRICS.values() if row.takes in takes)


def shown_in(table: Shown) -> Iterator[Metric]:
    """All metrics that stand in a table of a report."""
    return (row for row in METRICS.values() if table in row.tables)


def by_network() -> dict[str, tuple[Metric, ...]]:
    """The metrics that need a network which compares pictures, by its name: that of its plainest metric."""
    loaders: dict[str, list[Metric]] = {}
    for row in METRICS.values():
        if row.network:
            loaders.setdefault(row.network, []).append(row)
    return {min((row.name for row in rows), key=len): tuple(rows) for rows in loaders.values()}
