"""Draw text in any script: fall back to other installed fonts, and write around what none of them has."""

from __future__ import annotations

import unicodedata
from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

# One a script, the usual ones of Linux, macOS and Windows; of each line the first that is installed is taken. Colour
# fonts are none of them: Matplotlib cannot draw these.
FALLBACKS = (
    (
        "Noto Sans CJK SC",
        "Noto Sans CJK JP",
        "Noto Sans SC",
        "Source Han Sans SC",
        "WenQuanYi Zen Hei",
        "WenQuanYi Micro Hei",
        "PingFang SC",
        "Hiragino Sans GB",
        "Microsoft YaHei",
    ),
    ("Noto Sans CJK JP", "Noto Sans JP", "IPAGothic", "IPAPGothic", "Hiragino Sans", "Yu Gothic", "Meiryo"),
    ("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "UnDotum", "Apple SD Gothic Neo", "Malgun Gothic"),
    ("Noto Sans Arabic", "Noto Naskh Arabic", "Geeza Pro", "Arial"),
    ("Noto Sans Hebrew", "Arial Hebrew", "Arial"),
    ("Noto Sans Devanagari", "Lohit Devanagari", "Kohinoor Devanagari", "Nirmala UI"),
    ("Noto Sans Thai", "Loma", "Thonburi", "Leelawadee UI"),
    ("Noto Emoji", "Symbola", "Segoe UI Symbol", "Apple Symbols"),
    ("Unifont",),
)
WEIGHTS = ("normal", "bold")
BOX = "\N{WHITE SQUARE}"
# Characters that only change the look of others: a variant, a joint, a colour of skin.
_LOOKS = {0x200D, *range(0xFE00, 0xFE10), *range(0x1F3FB, 0x1F400)}


@cache
def families() -> tuple[str, ...]:
    """List the font families that text is drawn with: the user's sans-serif, then installed fonts of other scripts."""
    installed = {font.name for font in fontManager.ttflist}
    found = (next((name for name in line if name in installed), None) for line in FALLBACKS)
    return tuple(dict.fromkeys(["sans-serif", *(name for name in found if name)]))


def drawable(text: str) -> str:
    """Return the text with what no installed font has replaced: an emoji by its name, another character by a box.

    What is drawn from it raises no warning. Tables and the page keep the text as it is.
    """
    if text.isascii():
        return text
    return "".join(character if ord(character) in _covered() else _instead(character) for character in text)


def write_around(figure: Figure) -> None:
    """Make the texts of a figure `drawable`; labels of ticks, which are made when it is drawn, have to be already."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_text() != (instead := drawable(text.get_text())):
            text.set_text(instead)


def _instead(character: str) -> str:
    if ord(character) in _LOOKS:
        return ""
    if character.isspace():
        return " "
    if unicodedata.category(character) == "So" and (name := unicodedata.name(character, "")):
        return f"[{name.lower()}]"
    return BOX if unicodedata.category(character)[0] != "M" else ""  # a mark belongs to the box before it


@cache
def _covered() -> frozenset[int]:
    """The characters that some family has in both weights."""
    covered = {ord("\n")}
    for family in families():
        fonts = (findfont(FontProperties(family=[family], weight=weight)) for weight in WEIGHTS)
        covered |= set.intersection(*(set(get_font(font).get_charmap()) for font in fonts))
    return frozenset(covered)
