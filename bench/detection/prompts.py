"""Prompts out of files: texts with slots, and the word lists that fill them. README.md describes the format."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

OWN = Path(__file__).parent / "prompts"
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a file. Some have names, by which scenarios ask for them."""

    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Prompts:
    """All texts by file, and all word lists by name."""

    texts: Mapping[str, Sequence[Text]]
    words: Mapping[str, Sequence[str]]

    def filled(self, text: str, random: Random) -> str:
        """Return the text with each slot filled by one of its words, whose own slots are filled likewise."""
        return _SLOT.sub(lambda slot: self.filled(random.choice(self.words[slot[1]]), random), text)

    def one_of(self, file: str, random: Random) -> str:
        """Return one text of a file, filled."""
        return self.filled(random.choice(self.texts[file]).text, random)

    def named(self, file: str, name: str) -> Text:
        """Return the text of that name; the file's first for an empty one."""
        return next(text for text in self.texts[file] if name in ("", text.name))


def read_prompts(folder: Path = OWN) -> Prompts:
    """Read all `*.jsonl` files of a folder."""
    texts: dict[str, list[Text]] = {}
    words: dict[str, Sequence[str]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf8").splitlines():
            given = json.loads(line)
            if "words" in given:
                words[given["words"]] = given["of"]
            else:
                texts.setdefault(path.stem, []).append(Text(**given))
    return Prompts(texts, words)
