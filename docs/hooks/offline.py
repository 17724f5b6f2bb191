"""No page of the site needs another server: a build that would load anything from outside fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

# By this mark the theme's script finds the link to the repository, and asks GitHub for its stars and releases.
ASKS_GITHUB = re.compile(r'\sdata-md-component="?source"?(?=[\s>])')
_TAG = re.compile(r"<(?P<tag>link|script|img|iframe|source|video|audio|object|embed)\b(?P<attributes>[^>]*)>", re.I)
_ADDRESS = re.compile(r"""\b(?:src|href|srcset|data)\s*=\s*["']?(?P<address>(?:https?:)?//[^"'\s>]+)""", re.I)
_NAMES_ONLY = re.compile(r"""\brel\s*=\s*["']?(?:canonical|prev|next|license)\b""", re.I)
_STYLE = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])(?P<address>(?:https?:)?//[^"')\s]+)""", re.I)


def on_post_page(output: str, **_: object) -> str:
    """A page whose link to the repository is a link alone."""
    return ASKS_GITHUB.sub("", output)


def on_post_template(output_content: str, **_: object) -> str:
    """The same of pages that are no texts of ours, such as that of an address that leads nowhere."""
    return on_post_page(output_content)


def on_post_build(config: MkDocsConfig) -> None:
    """Read every page and style sheet that was built."""
    site = Path(config.site_dir)
    found = [
        f"{path.relative_to(site)}: {address}"
        for path in sorted(site.rglob("*"))
        if path.suffix in {".html", ".css"}
        for address in loaded_from_outside(path.read_text(encoding="utf-8"))
    ]
    if found:
        raise PluginError("these would be loaded from another server:\n" + "\n".join(found))


def loaded_from_outside(text: str) -> Iterator[str]:
    """Addresses of other servers that a browser asks while it shows ``text``, HTML or CSS; mere links are not asked."""
    for tag in _TAG.finditer(text):
        if not _NAMES_ONLY.search(tag["attributes"]):
            yield from (match["address"] for match in _ADDRESS.finditer(tag["attributes"]))
    yield from (match["address"] for match in _STYLE.finditer(text))
    yield from ("api.github.com" for _ in ASKS_GITHUB.finditer(text))
