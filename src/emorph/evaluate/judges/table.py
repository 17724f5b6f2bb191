"""The judges of emotions that have a name of their own, each with the function that opens it.

One more is one more line here and its file beside this one; see docs/extend/judge.md. A judge in an ONNX file needs no
code at all, only a card.
"""

from __future__ import annotations

import importlib

from emorph.evaluate.judges.asked import PanelJudge

# "module:function" below emorph.evaluate.judges; the function takes the threads of one run, 0 for all cores
JUDGES: dict[str, str] = {
    "emonet_8": "emonet:load_8",
    "emonet_5": "emonet:load_5",
}


def open_judge(name: str, threads: int) -> PanelJudge:
    """The judge of this name. Raises MissingAssetError for a file that is not here, CheckpointError."""
    module, _, function = JUDGES[name].partition(":")
    found: PanelJudge = getattr(importlib.import_module(f"emorph.evaluate.judges.{module}"), function)(threads)
    return found
