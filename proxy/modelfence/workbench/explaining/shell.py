"""A command line as a shell would cut it into words: what `shlex` does, and the `$'…'` in which browsers copy requests.

Rule: nothing is run and nothing is looked up. What only a shell could know, a variable say, stays as it is written.
"""

import re
from dataclasses import dataclass

_BLANKS = " \t\r\n"
_ENDS = "|;&<>"
"""What ends a command, or sends its output elsewhere."""
_ONLY_IN_DOUBLE = '"\\$`'
"""What a backslash escapes within double quotes."""
_VARIABLE = re.compile(r"\$(?:\{[A-Za-z_]\w*\}|[A-Za-z_]\w*|\([^)]*\))|`[^`]*`", re.ASCII)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "E": "\x1b"}
_HIGHEST = 0x10FFFF


class ShellError(ValueError):
    """The text is no command line. The message says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one command, and what in them only a shell could know."""

    words: tuple[str, ...]
    variables: tuple[str, ...]
    """As they are written, each once: `$KEY`, `$(date)`."""


def split(text: str) -> Words:
    """Return the words of the first command in a text. Raises ShellError."""
    cutting = _Cutting(text)
    cutting.run()
    return Words(tuple(cutting.words), tuple(dict.fromkeys(cutting.variables)))


class _Cutting:
    """One text on its way to words."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._word: list[str] | None = None
        self.words: list[str] = []
        self.variables: list[str] = []

    def run(self) -> None:
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter in _BLANKS:
                self._end_word()
                self._at += 1
            elif letter in _ENDS or (letter == "#" and self._word is None):
                break
            else:
                self._piece(letter)
        self._end_word()

    def _piece(self, letter: str) -> None:
        """Take a quoted piece of a word, or one letter."""
        text, at = self._text, self._at
        if letter == "'":
            self._take(text[at + 1 : self._closing("'")], self._closing("'") + 1)
        elif text.startswith("$'", at):
            self._ansi_quoted()
        elif letter == '"':
            self._double_quoted()
        elif letter == "\\":
            # A line that is continued.
            skipped = re.compile(r"\\\r?\n").match(text, at)
            self._take("", skipped.end(), begins=False) if skipped else self._take(text[at + 1 : at + 2], at + 2)
        else:
            self._variable_or(letter)

    def _take(self, piece: str, end: int, *, begins: bool = True) -> None:
        if begins or self._word is not None:
            self._word = [*(self._word or ()), piece]
        self._at = end

    def _closing(self, quote: str) -> int:
        found = self._text.find(quote, self._at + 1)
        if found < 0:
            raise ShellError(f"a quote {quote} is opened and not closed")
        return found

    def _ansi_quoted(self) -> None:
        body = re.compile(r"\$'((?:\\.|[^'\\])*)'", re.DOTALL).match(self._text, self._at)
        if body is None:
            raise ShellError("a quote $' is opened and not closed")
        self._take(_ESCAPE.sub(_unescaped, body[1]), body.end())

    def _double_quoted(self) -> None:
        text = self._text
        self._take("", self._at + 1)
        while not text.startswith('"', self._at):
            if self._at >= len(text):
                raise ShellError('a quote " is opened and not closed')
            letter, after = text[self._at], text[self._at + 1 : self._at + 2]
            if letter == "\\" and after and after in _ONLY_IN_DOUBLE:
                self._take(after, self._at + 2)
            elif letter == "\\" and after == "\n":
                self._at += 2
            else:
                self._variable_or(letter)
        self._at += 1

    def _variable_or(self, letter: str) -> None:
        found = _VARIABLE.match(self._text, self._at)
        if found:
            self.variables.append(found[0])
        piece = found[0] if found else letter
        self._take(piece, self._at + len(piece))

    def _end_word(self) -> None:
        if self._word is not None:
            self.words.append("".join(self._word))
            self._word = None


def _unescaped(match: re.Match[str]) -> str:
    short, long, byte, octal, letter = match.groups()
    if letter is not None:
        return _NAMED.get(letter, letter if letter in "\\'\"?" else match[0])
    code = int(octal, 8) if octal else int(short or long or byte, 16)
    if code > _HIGHEST:
        raise ShellError(f"`{match[0]}` is no character")
    return chr(code)
