"""How a classifier's fit went: its curves as lines of JSON and as a page, and which epoch was kept, in words."""

from __future__ import annotations

from html import escape

from emorph.train.curves import Line, line_chart
from emorph.train.tasks.head_fit import HeadFit

CURVE_FILE, CURVE_PAGE = "curve.jsonl", "curve.html"
WORDS = {"mean_recall": "mean recall", "accuracy": "accuracy"}


def fit_lines(keep: str, held_out: str, test: str | None, fit: HeadFit | None) -> list[str]:
    """Which epoch was kept, and which faces saw what. keep: of ``HeadConfig``; held_out, test: names of splits."""
    if fit is None or fit.kept is None:
        return []
    kept, last = fit.points[fit.kept], fit.points[-1]
    how = "the last one" if keep == "last" else f"the best by {WORDS[keep]}"
    on = f"on the split {held_out}"
    said = ", ".join(f"{WORDS[name]} {value:.1%}" for name, value in kept.values.items())
    text = [f"kept epoch {kept.epoch:.3g} of {last.epoch:.3g}, {how} {on}: {said} (the curve is in {CURVE_PAGE})"]
    if test:
        text.append(f"the table of recalls is of the split {test}, by which nothing was chosen")
    elif keep != "last":
        text.append(
            f"the epoch was chosen {on}, which the table of recalls measures: a little too good to quote. Name a test "
            "split (test = ...) for that."
        )
    return text


def fit_notes(keep: str, held_out: str, test: str | None, fit: HeadFit | None) -> dict[str, str]:
    """The curve as files beside the directions. As ``fit_lines``."""
    if fit is None:
        return {}
    return {CURVE_FILE: fit.to_jsonl(), CURVE_PAGE: _page(fit_lines(keep, held_out, test, fit), held_out, fit)}


def _page(lines: list[str], held_out: str, fit: HeadFit) -> str:
    shares = [
        Line(words, tuple((p.epoch, p.values[name]) for p in fit.points), fit.kept) for name, words in WORDS.items()
    ]
    loss = Line("loss", tuple((p.epoch, p.loss) for p in fit.points), fit.kept)
    charts = [
        line_chart(shares, title=f"On the split {held_out}", x_name="epoch", y_name="", percent=True),
        line_chart([loss], title="Loss on the training faces", x_name="epoch", y_name="training loss"),
    ]
    drawn = "".join(f"<figure>{chart}</figure>" for chart in charts)
    words = "".join(f"<p>{escape(line[:1].upper() + line[1:])}</p>" for line in lines)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Fit of the classifier</title>'
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:680px;margin:2rem auto;padding:0 1rem}"
        "figure{margin:0;overflow-x:auto}svg{max-width:100%;min-width:30rem;height:auto}</style>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<h1>Fit of the classifier</h1>{words}{drawn}</html>\n"
    )
