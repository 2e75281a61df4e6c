"""Writes values as YAML in as many ways as people do, with a comment wherever one can stand."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

type Written = str | Sequence["Written"] | Mapping[str, "Written"]


_TEXTS = (
    "a", "NO", "no", "yes", "1e3", "0o7", "12", "1.50", "2026-01-31", "null", "", "~", " x ", "a  b", "a: b", "a # b", "'",
    '"', "a\nb", "a\n\nb", "x" * 130, "kyc.tier < tier.basic && client.country in ['NO', \"SE\"]", "- a", "? a", "@a", "%a",
    "lorem ipsum " * 20 + "end", "!a", "&a", "*a", "`a`", "[a]", "{a}", "a,b", "a]", "a\tb", "ü 漢字", "🙂", "\\n", "true",
    "<<", "(a || b)", "a\n", "a\n\n", " a\n b", "\x07", "a: ", "#a", "two words", "three more words", "a:", "https://x.y/?z",
)  # fmt: skip
_NAMES = ("id", "description", "message", "deny", "when", "key", "x", "client.country", "no", "12", "a b", "name", "#")


def some_policy(random: Random) -> dict[str, Any]:
    """Return what has the outline of a policy, and in it whatever there may be."""

    def text() -> str:
        return random.choice(_TEXTS)

    def texts(most: int) -> list[str]:
        return [text() for _ in range(random.randrange(most))]

    def rule() -> dict[str, Any]:
        names = random.sample(_NAMES, random.randrange(1, 5))
        kinds = (
            text,
            text,
            text,
            lambda: texts(50),
            lambda: {name: text() for name in names},
            lambda: [[rule()], texts(3)],
        )
        return {name: random.choice(kinds)() for name in names}

    keys: dict[str, Any] = {
        "version": "1",
        "mode": text(),
        "include": texts(4),
        "lists": {name: texts(60) for name in random.sample(_NAMES, 2)},
        "access": [rule() for _ in range(random.randrange(4))],
        "throttle": [rule() for _ in range(random.randrange(3))],
        "extraction": rule(),
    }
    return {key: value for key, value in keys.items() if key == "version" or random.random() < 0.6}


class Scrambler:
    """Writes values; `comments` are those it wrote, in order."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.comments: list[str] = []
        self._is_below_block = False
        """What is indented there is no comment."""
        self._is_kept = False
        """Blank lines there are part of a value."""

    def file(self, value: Mapping[str, Any]) -> str:
        """Return a file, with or without a document start, and with comments above and below."""
        head = ["---"] if self._chance(0.1) else []
        lines = [*self._between(0), *head, *self._block(value, 0), *self._between(self._random.randrange(4))]
        return "\n".join(lines) + ("" if self._chance(0.1) and not self._is_below_block else "\n")

    def _chance(self, part: float) -> bool:
        return self._random.random() < part

    def _comment(self) -> str:
        words = self._random.choice(["why", "a: b", "- x", "'q", '"', "[{", "#", "| >", "ü 漢"])
        self.comments.append(f"#{self._random.choice(['', ' '])}{words} {len(self.comments)}")
        return self.comments[-1]

    def _between(self, column: int) -> list[str]:
        """Return comments and blank lines, as they stand between entries."""
        lines = []
        while self._chance(0.2):
            places = [column, column, max(0, column - 1), column + 1, column + 2, 0]
            place = 0 if self._is_below_block else self._random.choice(places)
            lines.append("" if self._chance(0.4) and not self._is_kept else " " * place + self._comment())
        return lines

    def _beside(self) -> str:
        return " " * self._random.randrange(1, 5) + self._comment() if self._chance(0.15) else ""

    def _block(self, value: Any, column: int) -> list[str]:
        lines: list[str] = []
        pairs = list(value.items()) if isinstance(value, Mapping) else [(None, one) for one in value]
        if isinstance(value, Mapping):
            self._random.shuffle(pairs)
        for key, one in pairs:
            lines += [*self._between(column), *self._entry(key, one, column)]
        return lines

    def _entry(self, key: str | None, value: Any, column: int) -> list[str]:
        head = " " * column + ("-" if key is None else f"{self._key(key)}:")
        self._is_below_block = self._is_kept = False
        if isinstance(value, str):
            return self._text(head, value, column)
        if not value or self._chance(0.4):
            return self._brackets(head, value, column)
        further = column + self._random.randrange(1, 5)
        if key is not None:
            if not isinstance(value, Mapping) and column and self._chance(0.3):
                further = column  # a list that is not indented
            return [head + self._beside(), *self._block(value, further)]
        if self._chance(0.2):
            return [head + self._beside(), *self._block(value, further)]
        further = column + 2
        first = next(iter(value.items())) if isinstance(value, Mapping) else (None, value[0])
        others = dict(list(value.items())[1:]) if isinstance(value, Mapping) else value[1:]
        inner = self._entry(*first, further)
        return [f"{head} {inner[0].lstrip()}", *inner[1:], *self._block(others, further)]

    def _key(self, key: str) -> str:
        ways = [f'"{key}"', f"'{key}'"]
        return self._random.choice([*ways, key, key, key] if key != "#" else ways)

    def _text(self, head: str, value: str, column: int) -> list[str]:  # noqa: PLR0911 - a table of ways
        indentation = " " * (column + self._random.randrange(1, 4))
        words = value.split(" ")
        is_clean = value == value.strip() and value.replace("\n", "").isprintable()
        is_plain = is_clean and value[:1].isalpha() and not re.search(r": |:$| #", value)
        ways = ["'", '"'] if value.isprintable() else ['"']
        ways += ["plain"] * 3 if is_plain and "\n" not in value else []
        ways += ["|"] if value.strip("\n") and value.replace("\n", "").isprintable() and value[0] != "\n" else []
        ways += [">"] if is_clean and value and "\n" not in value and "  " not in value else []
        way = self._random.choice(ways if value else ["'", '"', "nothing"])
        if way == "nothing":
            return [f"{head}{self._beside()}"]
        if way == "plain" and len(words) > 1 and "" not in words and self._chance(0.3):
            return [
                f"{head} {words[0]}",
                *(f"{indentation}{word}" for word in words[1:-1]),
                f"{indentation}{words[-1]}{self._beside()}",
            ]
        if way == "plain":
            return [f"{head} {value}{self._beside()}"]
        if way == "'" and "\n" not in value:
            return [f"{head} '{value.replace("'", "''")}'{self._beside()}"]
        self._is_below_block = way in ("|", ">")
        if way == "|":
            body = value.rstrip("\n")
            ends = len(value) - len(body)
            self._is_kept = ends > 1
            digit = str(len(indentation) - column) if body.startswith(" ") or self._chance(0.1) else ""
            header = f"{head} |{digit}{('-', '', '+')[min(ends, 2)]}{self._beside()}"
            return [header, *(indentation + line if line else "" for line in body.split("\n")), *[""] * (ends - 1)]
        if way == ">":
            return [f"{head} >-{self._beside()}", *(indentation + word for word in words)]
        return [f"{head} {json.dumps(value, ensure_ascii=False)}{self._beside()}"]

    def _brackets(self, head: str, value: Any, column: int) -> list[str]:
        """Return a list or mapping in brackets, with line ends and comments anywhere in them."""
        text = head + " " + "".join(self._parts(value, " " * (column + 1)))
        return (text + self._beside()).split("\n")

    def _parts(self, value: Any, indentation: str) -> Iterator[str]:
        if isinstance(value, str):
            is_plain = value.replace(" ", "").isalnum() and value.strip() == value and "  " not in value and value
            yield value if is_plain and self._chance(0.7) else json.dumps(value, ensure_ascii=False)
            return
        is_mapping = isinstance(value, Mapping)
        yield "{" if is_mapping else "["
        pairs = list(value.items()) if is_mapping else [(None, one) for one in value]
        for place, (key, one) in enumerate(pairs):
            yield self._break(indentation)
            if key is not None:
                yield f"{self._key(key)}: "
            yield from self._parts(one, indentation + " ")
            yield self._break(indentation) if self._chance(0.1) else ""
            if place < len(pairs) - 1 or self._chance(0.2):
                yield ", "
        yield self._break(indentation)
        yield "}" if is_mapping else "]"

    def _break(self, indentation: str) -> str:
        if self._chance(0.7):
            return ""
        comment = f" {self._comment()}" if self._chance(0.4) else ""
        alone = f"\n{indentation}{self._comment()}" if self._chance(0.2) else ""
        return f"{comment}{alone}\n{indentation}"
