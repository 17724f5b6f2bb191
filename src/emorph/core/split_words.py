"""The words that data sets have for their splits, and emorph's own: train, val and test."""

from __future__ import annotations

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "test", "testing"), "val"),
}
TESTS = ("test", "testing")


def split_word(word: str | None) -> str | None:
    """A split under emorph's own word for it: "validation" is "val"; a test set and other words stay what they are."""
    return word if word is None or word.lower() in TESTS else SPLITS.get(word.lower(), word)


def known_split(text: str) -> str:
    """ "train", "val" or "test" of what somebody calls a split, "" of other words.

    >>> known_split("affectnet/validation"), known_split("Testing"), known_split("faces")
    ('val', 'test', '')
    """
    word = text.strip().rpartition("/")[2].lower()
    return "test" if word in TESTS else SPLITS.get(word, "")
