"""Fonts of this machine for what a page writes into pictures: the usual one has Latin letters alone."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

# Upright sans-serif fonts with Japanese letters, by their files' names: of Linux, macOS and Windows.
JAPANESE = (
    "NotoSansCJK-Regular.ttc", "NotoSansCJKjp-Regular.otf", "NotoSansJP-Regular.otf", "NotoSansJP-Regular.ttf",
    "ipaexg.ttf", "ipag.ttf", "TakaoGothic.ttf", "VL-Gothic-Regular.ttf", "ヒラギノ角ゴシック W3.ttc", "YuGothM.ttc",
    "meiryo.ttc", "msgothic.ttc",
)  # fmt: skip


@lru_cache
def font_for(language: str) -> str:
    """A font file of this machine with the letters of a page's language; "" where the usual font is all there is."""
    for name in JAPANESE if language == "ja" else ():
        try:
            return str(ImageFont.truetype(name).path)
        except OSError:
            continue
    return ""
