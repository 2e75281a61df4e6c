"""From the texts of a prompt to keyed hashes that are the same wherever the same words stand.

A text is cut into shingles of five words (w-shingling: Broder, "On the resemblance and containment of documents", 1997)
after folding letters (`folding`) and digits. Of each end of a text the 40 shingles with the smallest hashes are kept,
his bottom-k sketch: two prompts that share a passage share those of its shingles whose hashes are small, wherever in
them it stands.

Shingles that are ordinary language tell nothing and are left out before the choice, so that they crowd out none that
do (`common_phrases`).

A shingle's hash is the exclusive or of keyed hashes of its words, each shifted by its place: hashing by polynomials, of
which the bits that not every word reaches are ignored (Lemire and Kaser, "Recursive n-gram hashing is pairwise
independent, at best", 2010). Only who has the key can tell which words make a shingle, and since words recur, most of
their hashes need not be made anew.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import islice

from modelfence.core.extraction import HASH_BITS, Fingerprint, Prompt
from modelfence.extraction.folding import folded
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
_NUMBER = re.compile(r"\d+")
_BYTES = HASH_BITS // 8
_LANE = 8
"""Bytes that the hash of a word or a shingle has for itself in one number that holds those of a whole text."""
_PLACES = WORDS - 1
"""Bits of a word's hash more than of a shingle's, that all places of it reach the same bits."""
_LANES = int.from_bytes(((1 << HASH_BITS) - 1).to_bytes(_LANE, "little") * WINDOW, "little")
_MOST_WORDS_KNOWN = 30_000
_LONGEST_KNOWN = 40
_MOST_TEXTS_KNOWN = 4_000
"""Sketches of system texts and earlier messages, which come again with every call of an app or a conversation."""
_ITEM = 2_000
"""Characters at each end of what the system and the user say that tell a call from others."""
_MOST_OF_A_HISTORY = 20
_EARLIER = 4
"""Messages at each end of those before the last that are looked at."""


class Fingerprints:
    """Takes fingerprints with one key. `common` are phrases of five words that are ordinary language."""

    def __init__(self, key: bytes = PUBLISHED_KEY, common: Iterable[Sequence[str]] = ()) -> None:
        self._key = blake2b(key, digest_size=32, person=b"modelfence").digest()
        self._words = _Words(self._key)
        self._sketches: dict[tuple[int, int], tuple[int, ...]] = {}
        """By hash and length of the text, so that no text is kept."""
        words = [word for phrase in common for word in phrase]
        self._common = frozenset(
            shingle
            for start in range(0, len(words), WINDOW)
            # The others begin within a phrase, and end in the next.
            for shingle in self._shingles(words[start : start + WINDOW])[::WORDS]
        )

    def of(self, prompt: Prompt) -> Fingerprint:
        """Return the fingerprint of a prompt. At most 4,000 characters of each text are read."""
        *before, last = prompt.user or ("",)
        system = "\n".join(prompt.system)
        asked = "\n".join(prompt.user)
        return Fingerprint(
            system=self._known_sketch(system),
            earlier=self._earlier(before) if before else (),
            last=self._known_sketch(last),
            # What is new may stand anywhere: before a last message that is always the same, or in the system's text.
            # There numbers are no matter: applications write the time into it.
            item=self._hash(f"{_NUMBER.sub('0', _ends(system))}\n{_ends(asked)}") if system or asked else 0,
            history=self._history([*before, *prompt.replies]),
            phrases=phrases_in(prompt),
        )

    def of_text(self, text: str) -> tuple[int, ...]:
        """Return the sketch of one text, sorted: at most 80 hashes."""
        return self._sketch(text)

    def _earlier(self, messages: Sequence[str]) -> tuple[int, ...]:
        """Return the sketch of the messages at either end, all together."""
        looked_at = messages if len(messages) <= 2 * _EARLIER else [*messages[:_EARLIER], *messages[-_EARLIER:]]
        if len(looked_at) == 1:
            return self._known_sketch(looked_at[0])
        return tuple(sorted(set().union(*map(self._known_sketch, looked_at)))[: 2 * KEPT])

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
        """Return the hashes of the shingles of at most WINDOW words.

        All are made at once, by a few operations on one long number: many times as fast as one by one.
        """
        count = len(words) - _PLACES
        if count <= 0:
            return []
        hashes = int.from_bytes(b"".join(map(self._words.__getitem__, words)), "little")
        mixed = hashes
        for place in range(1, WORDS):
            # That of the word `place` further on, `place` bits higher.
            mixed ^= hashes >> (8 * _LANE * place - place)
        lanes = (mixed >> _PLACES & _LANES).to_bytes(_LANE * len(words), sys.byteorder)
        every: list[int] = memoryview(lanes).cast("Q").tolist()
        # Their order is that of the bytes of this machine's numbers.
        return every[:count] if sys.byteorder == "little" else every[_PLACES:]

    def _history(self, texts: Sequence[str]) -> int:
        if not texts:
            return 0
        return self._hash("\n".join(text[:200] for text in texts[-_MOST_OF_A_HISTORY:]))

    def _hash(self, text: str) -> int:
        """Return a hash that is the same whatever the case of a text."""
        folded = text.lower().encode(errors="surrogatepass")
        return int.from_bytes(blake2b(folded, key=self._key, digest_size=_BYTES).digest()) or 1


class _Words(dict[str, bytes]):
    """The hashes of the words met last, each made when it is first asked for."""

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key, digest_size=_LANE)

    def __missing__(self, word: str) -> bytes:
        if len(self) >= _MOST_WORDS_KNOWN:
            self.clear()
        folded = "0" if word.isdecimal() else word
        hashed = self._keyed.copy()
        hashed.update(folded.encode(errors="surrogatepass"))
        found = (int.from_bytes(hashed.digest()) >> (8 * _LANE - HASH_BITS - _PLACES)).to_bytes(_LANE, "little")
        if len(word) <= _LONGEST_KNOWN:
            self[word] = found
        return found


def words_in(text: str) -> list[str]:
    """Return the words of a text, folded; each character of Chinese, Japanese and Korean is one."""
    plain = folded(text)
    if plain.isascii():  # the same, several times as fast
        return plain.translate(_WORD_BREAKS).split()
    return _WORD.findall(plain)


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _ITEM else f"{text[:_ITEM]} {len(text)} {text[-_ITEM:]}"
