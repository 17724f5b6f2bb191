"""What a shell offers after Tab for the value of an option, where `emorph --install-completion` was run."""

from __future__ import annotations

from collections.abc import Callable

from emorph.core.expressions import Emotion

DETECTORS = ("auto", "hog", "mtcnn")
SOLVERS = ("dpm", "dpm-fitted", "ddim")
BACKENDS = ("torch", "onnx", "openvino")


def offered(*words: str) -> Callable[[str], list[str]]:
    """What offers those of the words that begin as what was typed so far.

    >>> offered("dpm", "dpm-fitted", "ddim")("dp")
    ['dpm', 'dpm-fitted']
    """

    def beginning_so(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return beginning_so


emotions = offered(*(emotion.word for emotion in Emotion))


def bundled(incomplete: str) -> list[str]:
    """The names of bundled models that begin so."""
    from emorph.core.pretrained import bundled_models

    return offered(*bundled_models())(incomplete)
