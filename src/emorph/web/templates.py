"""The parts of the page that are HTML of its own."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from emorph.study.texts import Words


def rendered(name: str, words: Words, **values: object) -> str:
    """A template of ``page/`` with the words of a language."""
    loader = PackageLoader("emorph.web", "page")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return templates.get_template(name).render(say=words.say, **values)
