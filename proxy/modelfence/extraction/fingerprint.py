"""From the texts of a prompt to keyed hashes that are the same wherever the same words stand.

A text is cut into shingles of five words (w-shingling: Broder, "On the resemblance and containment of documents", 1997)
after folding case and digits. Of each end of a text the 48 shingles with the smallest hashes are kept, his bottom-k
sketch: two prompts that share a passage share those of its shingles whose hashes are small, wherever in them it stands.

Shingles that are ordinary language tell nothing and are left out before the choice, so that they crowd out none that
do (`common_phrases`).

Why a rolling hash of word hashes: one keyed hash for each word that was not met lately, and two multiplications for
each shingle, is several times faster than a keyed hash for each shingle; and only who has the key can tell which words
make a shingle. It is a polynomial over 2^61 - 1, a prime (Karp and Rabin, 1987).
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from heapq import nsmallest

from modelfence.core.extraction import HASH_BITS, Fingerprint, Prompt
from modelfence.extraction.phrases import phrases_in

WORDS = 5
"""Of a shingle: those of five words are what separated campaigns of public prompt collections from chats."""
WINDOW = 1_500
"""Characters at each end of a text that are looked at."""
KEPT = 48
"""Shingles of each end. Of 250 shingles in a window it is a fifth, so that of a passage of 30 words five are kept."""
PUBLISHED_KEY = b"modelfence"
"""What hashes are made with where no key is set: then all fences make the same, and who has some can test guesses."""

# Chinese, Japanese and Korean write no spaces: each of their characters is taken for a word.
_IDEOGRAMS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAMS}]|[^\W_{_IDEOGRAMS}]+")
_PRIME = (1 << 61) - 1
_BASE = 0x9E3779B97F4A7C15 % _PRIME
_FIRST = pow(_BASE, WORDS - 1, _PRIME)
_MASK = (1 << HASH_BITS) - 1
_MOST_WORDS_KNOWN = 50_000
_ITEM = 2_000
"""Characters at each end of a message that tell it from others."""
_MOST_OF_A_HISTORY = 20


class Fingerprints:
    """Takes fingerprints with one key. `common` are phrases of five words that are ordinary language."""

    def __init__(self, key: bytes = PUBLISHED_KEY, common: Iterable[Sequence[str]] = ()) -> None:
        self._key = blake2b(key, digest_size=32, person=b"modelfence").digest()
        self._words: dict[str, int] = {}
        self._common = frozenset(shingle for phrase in common for shingle in self._shingles(phrase))

    def of(self, prompt: Prompt) -> Fingerprint:
        """Return the fingerprint of a prompt. At most 3,000 characters of each text are read."""
        *before, last = prompt.user or ("",)
        return Fingerprint(
            system=self._sketch("\n".join(prompt.system)),
            earlier=self._sketch(before[0]) if before else (),
            last=self._sketch(last),
            item=self._hash(_ends(last)) if last else 0,
            history=self._history([*before, *prompt.replies]),
            phrases=phrases_in(prompt),
        )

    def of_text(self, text: str) -> tuple[int, ...]:
        """Return the sketch of one text, sorted: at most 96 hashes."""
        return self._sketch(text)

    def _sketch(self, text: str) -> tuple[int, ...]:
        if len(text) <= WINDOW:
            return self._smallest(text)
        tail = max(WINDOW, len(text) - WINDOW)
        return tuple(sorted({*self._smallest(text[:WINDOW]), *self._smallest(text[tail:])}))

    def _smallest(self, text: str) -> tuple[int, ...]:
        found = set(self._shingles(words_in(text))) - self._common
        return tuple(nsmallest(KEPT, found))

    def _shingles(self, words: Sequence[str]) -> list[int]:
        known = self._words
        hashes = [known.get(word) or self._learn(word) for word in words]
        value, found = 0, []
        for entering in hashes[: WORDS - 1]:
            value = (value * _BASE + entering) % _PRIME
        for leaving, entering in zip([0, *hashes], hashes[WORDS - 1 :], strict=False):
            value = ((value - leaving * _FIRST) * _BASE + entering) % _PRIME
            found.append(value & _MASK)
        return found

    def _learn(self, word: str) -> int:
        if len(self._words) >= _MOST_WORDS_KNOWN:
            self._words.clear()
        digits = "0" if word.isdecimal() else word
        value = int.from_bytes(self._digest(digits)) % _PRIME
        self._words[word] = value
        return value

    def _history(self, texts: Sequence[str]) -> int:
        if not texts:
            return 0
        return self._hash("\n".join(text[:200] for text in texts[-_MOST_OF_A_HISTORY:]))

    def _hash(self, text: str) -> int:
        return int.from_bytes(self._digest(" ".join(words_in(text)))) & _MASK or 1

    def _digest(self, text: str) -> bytes:
        return blake2b(text.encode(errors="surrogatepass"), key=self._key, digest_size=8).digest()


def words_in(text: str) -> list[str]:
    """Return the words of a text in lower case; each character of a script without spaces is one."""
    return _WORD.findall(text.lower())


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _ITEM else f"{text[:_ITEM]} {len(text)} {text[-_ITEM:]}"
