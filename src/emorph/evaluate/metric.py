"""What a metric says of itself, and the table of all metrics."""

from __future__ import annotations

import importlib
import math
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
    function: "module:name" of the function, which is imported when it is asked for.
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
        module, _, name = self.function.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function


def metric(name: str) -> Metric:
    """The metric called ``name``. Raises UnknownNameError with the nearest name."""
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]


_INF = math.inf
_RECONSTRUCTION = "a reconstruction and its source"
_VA = "annotated or wanted values and a judge's"
_OUTSIDE = "an edit and its source, outside the face"
_FEATURES = "features of Inception v3 or another network"
_VA_JUDGE = "a judge of valence and arousal"

_ALL: tuple[Metric, ...] = (
    Metric(
        name="psnr",
        title="PSNR",
        unit="dB",
        of="image",
        compares=_RECONSTRUCTION,
        better="higher",
        lowest=-_INF,
        highest=_INF,
        function="emorph.evaluate.fidelity:psnr",
        source="10 log10(range² / mean squared error)",
    ),
    Metric(
        name="ssim",
        title="SSIM",
        unit="",
        of="image",
        compares=_RECONSTRUCTION,
        better="higher",
        lowest=-1.0,
        highest=1.0,
        function="emorph.evaluate.fidelity:ssim",
        source="Wang et al. 2004",
    ),
    Metric(
        name="ms_ssim",
        title="MS-SSIM",
        unit="",
        of="image",
        compares=_RECONSTRUCTION,
        better="higher",
        lowest=0.0,
        highest=1.0,
        function="emorph.evaluate.fidelity:ms_ssim",
        source="Wang, Simoncelli, Bovik 2003",
        needs="pictures of at least 176 px",
    ),
    *(
        Metric(
            name=f"lpips_{net}",
            title=f"LPIPS ({title})",
            unit="",
            of="image",
            compares=_RECONSTRUCTION,
            better="lower",
            lowest=0.0,
            highest=_INF,
            function=f"emorph.evaluate.perceptual:lpips_{net}",
            source="Zhang et al. 2018, v0.1",
            needs=f"torchvision's {title} weights and lpips' {net}.pth",
        )
        for net, title in (("alex", "AlexNet"), ("vgg", "VGG16"))
    ),
    Metric(
        name="rmse",
        title="RMSE",
        unit="",
        of="set",
        compares=_VA,
        better="lower",
        lowest=0.0,
        highest=_INF,
        function="emorph.evaluate.affect:rmse",
        source="root mean squared error",
        needs=_VA_JUDGE,
    ),
    Metric(
        name="pcc",
        title="PCC",
        unit="",
        of="set",
        compares=_VA,
        better="higher",
        lowest=-1.0,
        highest=1.0,
        function="emorph.evaluate.affect:pcc",
        source="Pearson's correlation",
        needs=_VA_JUDGE,
    ),
    Metric(
        name="ccc",
        title="CCC",
        unit="",
        of="set",
        compares=_VA,
        better="higher",
        lowest=-1.0,
        highest=1.0,
        function="emorph.evaluate.affect:ccc",
        source="Lin 1989",
        needs=_VA_JUDGE,
    ),
    Metric(
        name="sagr",
        title="SAGR",
        unit="",
        of="set",
        compares=_VA,
        better="higher",
        lowest=0.0,
        highest=1.0,
        function="emorph.evaluate.affect:sagr",
        source="Nicolaou et al. 2011",
        needs=_VA_JUDGE,
    ),
    Metric(
        name="expression_distance",
        title="Expression distance (68 points)",
        unit="eye spans",
        of="image",
        compares="landmarks of an edit and its source, or of an edit and the wanted face",
        better="lower",
        lowest=0.0,
        highest=_INF,
        function="emorph.evaluate.geometry:expression_distance",
        source="Procrustes on eye corners and nose",
        needs="landmarks of both",
    ),
    Metric(
        name="pose_distance",
        title="Pose distance (68 points)",
        unit="rad",
        of="image",
        compares="landmarks of an edit and its source",
        better="lower",
        lowest=0.0,
        highest=math.pi,
        function="emorph.evaluate.geometry:pose_distance",
        source="weak-perspective pose of nine points",
        needs="landmarks of both",
    ),
    Metric(
        name="mae_outside",
        title="Change outside the face",
        unit="share of range",
        of="image",
        compares=_OUTSIDE,
        better="lower",
        lowest=0.0,
        highest=1.0,
        function="emorph.evaluate.geometry:mae_outside",
        source="mean absolute difference outside a mask",
        needs="a face mask",
    ),
    Metric(
        name="psnr_outside",
        title="PSNR outside the face",
        unit="dB",
        of="image",
        compares=_OUTSIDE,
        better="higher",
        lowest=-_INF,
        highest=_INF,
        function="emorph.evaluate.geometry:psnr_outside",
        source="PSNR outside a mask",
        needs="a face mask",
    ),
    Metric(
        name="fid",
        title="FID",
        unit="",
        of="set",
        compares="features of edits and of real photos",
        better="lower",
        lowest=0.0,
        highest=_INF,
        function="emorph.evaluate.distribution:fid",
        source="Heusel et al. 2017",
        needs=_FEATURES,
    ),
    Metric(
        name="kid",
        title="KID",
        unit="",
        of="set",
        compares="features of edits and of real photos",
        better="lower",
        lowest=-_INF,
        highest=_INF,
        function="emorph.evaluate.distribution:kid",
        source="Bińkowski et al. 2018",
        needs=_FEATURES,
    ),
)

METRICS: dict[str, Metric] = {entry.name: entry for entry in _ALL}
