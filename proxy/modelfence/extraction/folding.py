"""Texts that a reader takes for the same, made the same: whoever disguises a template does so at no cost.

Models read words in full-width letters, with accents, with invisible characters between their letters, or with letters
of another alphabet that look alike, as they read them plain. So a text is folded before it is cut into words: letters
stand for the plain ones (NFKD, Unicode Standard Annex 15), marks and invisible characters are left out, and Cyrillic
and Greek letters become the Latin ones that they, or their capitals, look like.

Marks are left out where words stand between spaces: so the words of Hindi or of vocalised Arabic are whole. Thai, Lao,
Khmer and Burmese write no spaces; there words are cut where marks stand, which makes pieces of less than a word.

Rule: a text of ASCII characters alone is only put into lower case; nearly all are.
"""

import re
from unicodedata import category, normalize

_LAST_OF_SPACED = 0x0DFF
"""The scripts that follow begin with Thai."""
_OF_ANY_LETTER = (
    *range(0x1AB0, 0x1B00),
    *range(0x1DC0, 0x1E00),
    *range(0x2000, 0x2100),
    *range(0xFE00, 0xFE30),
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
)
"""Where the marks and invisible characters are that may stand at letters of any script."""


def _left_out() -> str:
    codes = (*range(_LAST_OF_SPACED + 1), *_OF_ANY_LETTER)
    return "".join(char for char in map(chr, codes) if category(char) in ("Cf", "Mn", "Mc", "Me"))


_LEFT_OUT = re.compile(f"[{re.escape(_left_out())}]+")
_TAGS = re.compile("[\U000e0000-\U000e01ef]+")
"""Likewise, but apart: in one pattern with those, each character would be compared with a thousand."""
_LOOKS_ALIKE = str.maketrans(
    "авекмнорстухѕіјһӏԁԛԝαβεζηικμνορτυχ",
    "abekmhopctyxsijhldqwabezhikmvoptyx",
)
_OTHER_LETTERS = re.compile("[\u0370-\u03ff\u0400-\u052f]")


def folded(text: str) -> str:
    """Return a text in lower case, and in plain letters."""
    text = text.lower()
    if text.isascii():
        return text
    text = _TAGS.sub("", _LEFT_OUT.sub("", normalize("NFKD", text)))
    if not text.isascii():
        # Korean syllables, and the marks that were not left out, become one character again.
        text = normalize("NFC", text)
        text = text.translate(_LOOKS_ALIKE) if _OTHER_LETTERS.search(text) else text
    return text.lower()
