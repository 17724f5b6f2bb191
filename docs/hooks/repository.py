"""Pages that are files of the repository, and links between them: each text stands once, on GitHub and on the site.

A page links to files as they lie in the repository (``../../bench/RESULTS.md``), which is what GitHub follows. On the
site such a link leads to the page that the file became, or, for a file that is none, to the repository itself.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = "docs"
BRANCH = "main"

PAGES = {  # file of the repository -> page of the site
    "README.md": "index.md",
    "README.ja.md": "ja.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "bench/RESULTS.md": "measurements.md",
    "gpu/README.md": "gpu.md",
    "src/emorph/assets/emorph-base/README.md": "models/emorph-base.md",
    "src/emorph/assets/emorph-judge/README.md": "models/emorph-judge.md",
    "src/emorph/assets/emorph-rig/README.md": "models/emorph-rig.md",
    "src/emorph/assets/emorph-loss-emotion/README.md": "models/emorph-loss-emotion.md",
    "src/emorph/assets/emorph-shape/README.md": "models/emorph-shape.md",
}
PICTURES = {"bench/fidelity.png": "assets/fidelity.png", "bench/quality.png": "assets/quality.png"}

_LINK = re.compile(r"(?P<before>\]\(\s*<?)(?P<target>[^)\s>#]+)(?P<after>[^)]*\))")
_JAPANESE = "[\u3000-\u303f\u3040-\u30ff\u4e00-\u9fff\uff01-\uff5e]"
_BROKEN_JAPANESE = re.compile(rf"(?<={_JAPANESE})\n(?={_JAPANESE})")  # browsers would show the line break as a space
_FENCE = re.compile(r"^ *(?P<ticks>`{3,}).*?^ *(?P=ticks)", re.DOTALL | re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the address of the repository from pyproject.toml, where it stands once."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    config.repo_url = project["urls"]["Repository"]
    config.repo_name = project["name"]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures that lie elsewhere in the repository."""
    for source, page in {**PAGES, **PICTURES}.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Let the links of a page lead to where things are on the site."""
    return relinked(markdown, page.file.src_uri, str(config.repo_url))


def relinked(markdown: str, page: str, repo_url: str) -> str:
    """``markdown`` of the site's page ``page`` with its links to files of the repository led to the site's pages.

    What is no page becomes a link to the repository. Links with a scheme, to a part of the same page, and all that
    stands in a fenced block stay. Lines of Japanese are joined without a space.
    """
    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_led(markdown[end : fence.start()], page, repo_url), fence[0]]
        end = fence.end()
    return "".join([*parts, _led(markdown[end:], page, repo_url)])


def _led(text: str, page: str, repo_url: str) -> str:
    text = _BROKEN_JAPANESE.sub("", text)
    sources = {site: source for source, site in PAGES.items()}
    here = posixpath.dirname(sources.get(page, f"{DOCS}/{page}"))

    def lead(link: re.Match[str]) -> str:
        target = link["target"]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            return link[0]
        there = site_place(posixpath.normpath(posixpath.join(here, target)), repo_url)
        if ":" not in there:
            there = posixpath.relpath(there, posixpath.dirname(page) or ".")
        return f"{link['before']}{there}{link['after']}"

    return _LINK.sub(lead, text)


def site_place(path: str, repo_url: str) -> str:
    """Where the repository's file ``path`` is to be found: a page or picture of the site, or an address."""
    if path in PAGES or path in PICTURES:
        return {**PAGES, **PICTURES}[path]
    if path.startswith(f"{DOCS}/") and Path(path).suffix:
        return path.removeprefix(f"{DOCS}/")
    return f"{repo_url}/{'tree' if (ROOT / path).is_dir() else 'blob'}/{BRANCH}/{path}"
