"""From the texts of a prompt to keyed hashes that are the same wherever the same words stand.

A text is cut into shingles of five words (w-shingling: Broder, "On the resemblance and containment of documents", 1997)
after folding case and digits. Of each end of a text the 40 shingles with the smallest hashes are kept, his bottom-k
sketch: two prompts that share a passage share those of its shingles whose hashes are small, wherever in them it stands.

Shingles that are ordinary language tell nothing and are left out before the choice, so that they crowd out none that
do (`common_phrases`).

A shingle's hash is the exclusive or of five keyed hashes, one for each of its words at its place: simple tabulation
hashing (Carter and Wegman, 1979). Only who has the key can tell which words make a shingle, and since words recur, most
of the keyed hashes need not be made anew.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import islice

from modelfence.core.extraction import HASH_BITS, Fingerprint, Prompt
from modelfence.extraction.phrases import phrases_in

WORDS = 5
"""Of a shingle: those of five words are what separated campaigns of public prompt collections from chats."""
WINDOW = 1_000
"""Characters at each end of a text that are looked at."""
KEPT = 40
"""Shingles of each end: nearly a quarter of a window's 170, so that of a passage of 20 words nearly four are kept."""
PUBLISHED_KEY = b"modelfence"
"""What hashes are made with where no key is set: then all fences make the same, and who has some can test guesses."""

# Chinese, Japanese and Korean write no spaces: each of their characters is taken for a word.
_IDEOGRAMS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD_BREAKS = str.maketrans({chr(code): " " for code in range(128) if not chr(code).isalnum()})
_WORD = re.compile(rf"[{_IDEOGRAMS}]|[^\W_{_IDEOGRAMS}]+")
_BYTES = HASH_BITS // 8
_MOST_WORDS_KNOWN = 30_000
_LONGEST_KNOWN = 40
_MOST_TEXTS_KNOWN = 2_000
"""Sketches of system texts and first messages, which come again with every call of an app or a conversation."""
_ITEM = 2_000
"""Characters at each end of a message that tell it from others."""
_MOST_OF_A_HISTORY = 20


class Fingerprints:
    """Takes fingerprints with one key. `common` are phrases of five words that are ordinary language."""

    def __init__(self, key: bytes = PUBLISHED_KEY, common: Iterable[Sequence[str]] = ()) -> None:
        self._key = blake2b(key, digest_size=32, person=b"modelfence").digest()
        self._words: dict[str, tuple[int, ...]] = {}
        """The hashes of words at each place of a shingle."""
        self._sketches: dict[tuple[int, int], tuple[int, ...]] = {}
        """By hash and length of the text, so that no text is kept."""
        self._common = frozenset(shingle for phrase in common for shingle in self._shingles(phrase))

    def of(self, prompt: Prompt) -> Fingerprint:
        """Return the fingerprint of a prompt. At most 2,000 characters of each text are read."""
        *before, last = prompt.user or ("",)
        return Fingerprint(
            system=self._known_sketch("\n".join(prompt.system)),
            earlier=self._known_sketch(before[0]) if before else (),
            last=self._sketch(last),
            item=self._hash(_ends(last)) if last else 0,
            history=self._history([*before, *prompt.replies]),
            phrases=phrases_in(prompt),
        )

    def of_text(self, text: str) -> tuple[int, ...]:
        """Return the sketch of one text, sorted: at most 80 hashes."""
        return self._sketch(text)

    def _sketch(self, text: str) -> tuple[int, ...]:
        if len(text) <= WINDOW:
            return self._smallest(text)
        tail = max(WINDOW, len(text) - WINDOW)
        return tuple(sorted({*self._smallest(text[:WINDOW]), *self._smallest(text[tail:])}))

    def _known_sketch(self, text: str) -> tuple[int, ...]:
        """Return the sketch of a text that is likely to come again."""
        if not text:
            return ()
        key = (hash(text), len(text))
        found = self._sketches.get(key)
        if found is None:
            if len(self._sketches) >= _MOST_TEXTS_KNOWN:
                self._sketches.clear()
            found = self._sketches[key] = self._sketch(text)
        return found

    def _smallest(self, text: str) -> tuple[int, ...]:
        telling = (one for one in sorted(set(self._shingles(words_in(text)))) if one not in self._common)
        return tuple(islice(telling, KEPT))

    def _shingles(self, words: Sequence[str]) -> list[int]:
        if len(words) < WORDS:
            return []
        known, learn = self._words, self._learn
        hashes = [known.get(word) or learn(word) for word in words]
        runs = zip(hashes, hashes[1:], hashes[2:], hashes[3:], hashes[4:], strict=False)
        return [a[0] ^ b[1] ^ c[2] ^ d[3] ^ e[4] for a, b, c, d, e in runs]

    def _learn(self, word: str) -> tuple[int, ...]:
        if len(self._words) >= _MOST_WORDS_KNOWN:
            self._words.clear()
        digest = self._digest("0" if word.isdecimal() else word, WORDS * _BYTES)
        places = range(0, len(digest), _BYTES)
        found = tuple(int.from_bytes(digest[at : at + _BYTES]) for at in places)
        if len(word) <= _LONGEST_KNOWN:
            self._words[word] = found
        return found

    def _history(self, texts: Sequence[str]) -> int:
        if not texts:
            return 0
        return self._hash("\n".join(text[:200] for text in texts[-_MOST_OF_A_HISTORY:]))

    def _hash(self, text: str) -> int:
        """Return a hash that is the same whatever the case and spacing of a text."""
        return int.from_bytes(self._digest(" ".join(text.lower().split()), _BYTES)) or 1

    def _digest(self, text: str, size: int) -> bytes:
        return blake2b(text.encode(errors="surrogatepass"), key=self._key, digest_size=size).digest()


def words_in(text: str) -> list[str]:
    """Return the words of a text in lower case; each character of a script without spaces is one."""
    if text.isascii():  # the same, several times as fast
        return text.lower().translate(_WORD_BREAKS).split()
    return _WORD.findall(text.lower())


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _ITEM else f"{text[:_ITEM]} {len(text)} {text[-_ITEM:]}"
