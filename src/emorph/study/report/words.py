"""What reports call the questions of a study."""

from __future__ import annotations

QUESTIONS = {
    "realism": "Which looks more real",
    "emotion": "Which shows the asked emotion better",
    "identity": "Which is still the same person",
}
OF_ONE_PICTURE = {
    "emotion": "Which emotion is shown",
    "intensity": "How intense is it (1 to 5)",
    "realism": "How real does it look (1 to 5)",
}


def asked(key: str) -> str:
    """A "task: question" in words."""
    task, _, question = key.partition(": ")
    return (QUESTIONS if task == "preference" else OF_ONE_PICTURE).get(question, question)
