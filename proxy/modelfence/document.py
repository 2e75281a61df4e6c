"""YAML files people write: nodes with their positions, and every problem instead of the first.

Files are composed, never loaded: `safe_load` reads the country code NO as false and keeps the last of two equal
keys. With the base loader every scalar stays the text its author wrote.

Rule: reading a node never raises; what is wrong goes to the document's `problems` and the reader returns None.
"""

import bisect
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import yaml

from modelfence.core.problem import Problem, Severity
from modelfence.source_files import SourceFiles
from modelfence.yaml_nodes import RefusedError, compose

NULLS = ("", "~", "null", "Null", "NULL")
"""What stands for nothing where it is in no quotes."""
_KINDS = {yaml.ScalarNode: "a text", yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}
# Only the line ends that YAML counts: str.splitlines would also split at form feeds and file separators.
LINE_END = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_ENTRY = re.compile(r"\s*(?:- +)?[\w.\-]+: +(?P<value>[^#]{1,200})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# The escapes of double-quoted texts that take digits, and those that stand for white space.
_ESCAPE_DIGITS = {"x": 2, "u": 4, "U": 8}
_BLANK_ESCAPES = "tnvfr \tN_LP"


@dataclass(slots=True)
class Document:
    """One file: its text, its root node, and what was found wrong with it so far."""

    path: str
    text: str
    problems: list[Problem] = field(default_factory=list)
    first_line: int = 1
    """Of the file, where the text is only a part of it."""
    lines: Sequence[str] = field(init=False)
    _starts: Sequence[int] = field(init=False, repr=False, compare=False)
    """Of each line, in characters of the text."""

    def __post_init__(self) -> None:
        self.lines = LINE_END.split(self.text)
        self._starts = [0, *(end.end() for end in LINE_END.finditer(self.text))]

    def compose(self) -> "Node | None":
        """Return the root node, or None with the syntax problem noted."""
        try:
            root = compose(self.text)
        except RefusedError as error:
            self._at_mark(error.mark, error.code, error.message)
            return None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            words, hint = self._words(error)
            self._at_mark(mark, "yaml-syntax", f"this is not YAML: {words}", hint)
            return None
        except (yaml.YAMLError, UnicodeError) as error:
            line, column = self.place_of(self._offset(error))
            self.problem("yaml-syntax", "YAML does not admit this character", line=line, column=column)
            return None
        if root is None:
            self._at_mark(None, "empty-document", "the file is empty")
            return None
        return Node(self, root)

    def _offset(self, error: yaml.YAMLError | UnicodeError) -> int:
        if isinstance(error, yaml.reader.ReaderError):  # libyaml counts bytes
            return len(self.text.encode("utf-8", "surrogatepass")[: error.position].decode("utf-8", "ignore"))
        return getattr(error, "start", 0)

    def _words(self, error: yaml.MarkedYAMLError) -> tuple[str, str | None]:
        """Return what is wrong, and how to mend it where that can be told."""
        mark = error.problem_mark
        if mark and self.text[mark.index : mark.index + 1] == "\t":
            return "lines are indented with spaces, not with a tab", None
        entry = _ENTRY.fullmatch(self.lines[mark.line]) if mark and mark.line < len(self.lines) else None
        if mark and entry and mark.column > entry.start("value"):
            # The value is not repeated: it may be a secret.
            hint = "put single quotes around the whole value" + ", and double those in it" * ("'" in entry["value"])
            if entry["value"][0] in "\"'":
                return "the value ends at its second quotation mark, and more follows", hint
            if error.problem == "mapping values are not allowed in this context":
                return "a colon and a blank within a value make a key of what is before them", hint
        return " ".join(filter(None, (error.context, error.problem))), None

    def place_of(self, at: int) -> tuple[int, int]:
        """Return line and column of a character of the text in the file, both from one."""
        at = min(at, len(self.text))
        line = bisect.bisect_right(self._starts, at)
        return line + self.first_line - 1, at - self._starts[line - 1] + 1

    def scalar(self) -> "Node":
        """Return the whole text as one value, as an environment variable or a flag gives it."""
        start, end = yaml.Mark("", 0, 0, 0, None, 0), yaml.Mark("", len(self.text), 0, len(self.text), None, 0)
        return Node(self, yaml.ScalarNode("", self.text, start, end))

    def _at_mark(self, mark: yaml.Mark | None, code: str, message: str, hint: str | None = None) -> None:
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if line > len(self.lines):  # libyaml puts the end of a file without a last line end on a line of its own
            line, column = len(self.lines), len(self.lines[-1]) + 1
        self.problem(code, message, line=line, column=column, hint=hint)

    def problem(  # noqa: PLR0913 - the fields of a Problem, by keyword
        self,
        code: str,
        message: str,
        *,
        line: int,
        column: int,
        length: int = 1,
        hint: str | None = None,
        severity: Severity = Severity.ERROR,
        quote: bool = True,
    ) -> None:
        """Note a problem at a place of this file. `quote=False` leaves the line out: it may hold a secret."""
        at = line - self.first_line
        excerpt = self.lines[at] if quote and at < len(self.lines) else ""
        self.problems.append(Problem(self.path, line, column, code, message, length, excerpt, hint, severity))


@dataclass(frozen=True, slots=True)
class Node:
    """A YAML node. The readers return None after noting a problem."""

    document: Document
    yaml: yaml.Node

    @property
    def line(self) -> int:
        """Return the line of the file that the node begins in, from one."""
        return int(self.yaml.start_mark.line) + self.document.first_line

    @property
    def column(self) -> int:
        """Return the column the node begins at, from one."""
        return int(self.yaml.start_mark.column) + 1

    @property
    def length(self) -> int:
        """Return how much of the first line the node takes."""
        start, end = self.yaml.start_mark, self.yaml.end_mark
        if start.line == end.line:
            return max(1, int(end.column - start.column))
        return max(1, len(self.document.lines[start.line].rstrip()) - int(start.column))

    @property
    def is_null(self) -> bool:
        """Say whether the value is left empty or written as null."""
        node = self.yaml
        return isinstance(node, yaml.ScalarNode) and not node.style and node.value in NULLS

    @property
    def is_mapping(self) -> bool:
        """Say whether this is a mapping."""
        return isinstance(self.yaml, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Say whether this is a list."""
        return isinstance(self.yaml, yaml.SequenceNode)

    def problem(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        severity: Severity = Severity.ERROR,
        quote: bool = True,
    ) -> None:
        """Note a problem with this node. `quote=False` leaves its line out: it may hold a secret."""
        self.document.problem(
            code,
            message,
            line=self.line,
            column=self.column,
            length=self.length,
            hint=hint,
            severity=severity,
            quote=quote,
        )

    def problem_within(  # noqa: PLR0913 - the fields of a Problem, by keyword
        self,
        offset: int,
        code: str,
        message: str,
        *,
        length: int = 1,
        hint: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a problem with the part of this text that begins at `offset` characters of its value."""
        line, column = self.place_of(offset)
        self.document.problem(code, message, line=line, column=column, length=length, hint=hint, severity=severity)

    def place_of(self, offset: int) -> tuple[int, int]:
        """Return line and column of a character of a scalar's value, as it stands in the file.

        Folding and indentation change only white space, so the place is found by counting the other characters;
        white space is placed at what follows it, and the end of the value right after its last character.
        """
        node = self.yaml
        if not isinstance(node, yaml.ScalarNode):
            return self.line, self.column
        wanted = sum(not c.isspace() for c in node.value[:offset])
        end = int(node.start_mark.index)
        for count, (start, after) in enumerate(_inked(self.document.text, node)):
            if count == wanted:
                return self.document.place_of(start)
            end = after
        return self.document.place_of(end)

    def entries(
        self,
        known: Iterable[str],
        *,
        required: Iterable[str] = (),
        what: str = "key",
        elsewhere: Mapping[str, str] = MappingProxyType({}),
    ) -> "dict[str, Node]":
        """Return a mapping's values by key. Unknown, repeated and missing keys are problems.

        `elsewhere` has a hint for keys that belong somewhere else.
        """
        known = tuple(known)
        found = self.free_entries()
        if found is None:
            return {}
        for key in [key for key in found if key not in known]:
            name = self.key_node(key)
            hint = elsewhere.get(key) or did_you_mean(key, known)
            name.problem(f"unknown-{what.replace(' ', '-')}", f"unknown {what} `{key}`", hint=hint)
            del found[key]
        for key in required:
            if key not in found:
                self.problem(f"missing-{what.replace(' ', '-')}", f"`{key}` is missing")
        return found

    def free_entries(self) -> "dict[str, Node] | None":
        """Return a mapping's values by any key; a repeated key is a problem, and the first one stays."""
        if not isinstance(self.yaml, yaml.MappingNode):
            self.problem("wrong-type", f"a mapping is expected here, not {_KINDS[type(self.yaml)]}")
            return None
        found: dict[str, Node] = {}
        for key_node, value_node in self.yaml.value:
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else Node(self.document, key_node).text()
            if name is None:
                continue
            if name in found:
                Node(self.document, key_node).problem("duplicate-key", f"`{name}` is given twice")
                continue
            found[name] = Node(self.document, value_node)
        return found

    def key_node(self, key: str) -> "Node":
        """Return the node of a mapping's key, for pointing at it."""
        return next(Node(self.document, k) for k, _ in self.yaml.value if getattr(k, "value", None) == key)

    def items(self) -> "list[Node]":
        """Return a list's items."""
        if not isinstance(self.yaml, yaml.SequenceNode):
            is_text = isinstance(self.yaml, yaml.ScalarNode) and self.yaml.value != ""
            hint = "put square brackets around it" if is_text else None  # which is not repeated: it may be a secret
            self.problem("wrong-type", f"a list is expected here, not {_KINDS[type(self.yaml)]}", hint=hint)
            return []
        return [Node(self.document, item) for item in self.yaml.value]

    def text(self) -> str | None:
        """Return a scalar as it was written."""
        if not isinstance(self.yaml, yaml.ScalarNode):
            self.problem("wrong-type", f"a text is expected here, not {_KINDS[type(self.yaml)]}")
            return None
        return str(self.yaml.value)

    def filled_text(self) -> str | None:
        """Return a scalar that must not be empty."""
        value = self.text()
        if value is not None and not value.strip():
            self.problem("empty-value", "a value is expected here")
            return None
        return value

    def choice(self, options: Sequence[str]) -> str | None:
        """Return a text that is one of the options."""
        value = self.text()
        if value is None or value in options:
            return value
        hint = did_you_mean(value, options) or f"one of {', '.join(f'`{option}`' for option in options)}"
        self.problem("unknown-value", f"`{value}` is not possible here", hint=hint)
        return None

    def boolean(self) -> bool | None:
        """Return true or false."""
        value = self.choice(("true", "false"))
        return None if value is None else value == "true"

    def integer(self, *, minimum: int, maximum: int) -> int | None:
        """Return a whole number within bounds, both included."""
        value = self.text()
        if value is None:
            return None
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            self.problem("wrong-type", f"a whole number is expected here, not `{value}`")
            return None
        if not minimum <= int(value) <= maximum:
            self.problem("out-of-range", f"`{value}` is not between {minimum} and {maximum}")
            return None
        return int(value)

    def number(self, *, minimum: float, maximum: float) -> float | None:
        """Return a number within bounds, both included."""
        value = self.text()
        if value is None:
            return None
        if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", value):
            self.problem("wrong-type", f"a number is expected here, not `{value}`")
            return None
        if not minimum <= float(value) <= maximum:
            self.problem("out-of-range", f"`{value}` is not between {minimum:.15g} and {maximum:.15g}")
            return None
        return float(value)

    def date_us(self) -> int | None:
        """Return a date written as 2026-01-31 as the microsecond of its UTC midnight."""
        value = self.text()
        if value is None:
            return None
        try:
            midnight = datetime.fromisoformat(f"{value}T00:00:00Z") if _DATE.fullmatch(value) else None
        except ValueError:
            midnight = None
        if midnight is None:
            self.problem("wrong-type", f"a date like 2026-01-31 is expected here, not `{value}`")
            return None
        return int(midnight.timestamp()) * 1_000_000


def _inked(source: str, node: yaml.ScalarNode) -> Iterator[tuple[int, int]]:
    """Yield where each character of the value that is not white space begins and ends in the file."""
    end = int(node.end_mark.index)
    at = int(node.start_mark.index)
    if node.style in ("|", ">"):
        header = LINE_END.search(source, at)
        at = header.end() if header else end
    elif node.style in ("'", '"'):
        at, end = at + 1, end - 1
    while at < end:
        length, blank = 1, source[at].isspace()
        if node.style == "'" and source[at] == "'":
            length = 2
        elif node.style == '"' and source[at] == "\\":
            length, blank = _escape(source, at)
        if not blank:
            yield at, at + length
        at += length


def _escape(source: str, at: int) -> tuple[int, bool]:
    """Return how long an escape of a double-quoted text is, and whether it stands for white space."""
    letter = source[at + 1]
    if digits := _ESCAPE_DIGITS.get(letter):
        return 2 + digits, chr(int(source[at + 2 : at + 2 + digits], 16)).isspace()
    return 2, letter in _BLANK_ESCAPES or letter.isspace()


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return a hint when a near match exists."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else None


def read(path: Path, files: SourceFiles | None = None) -> Document:
    """Return a file as a document, as the files hold it or else as it is now.

    Raises OSError, and ValueError for one that is too large or not UTF-8.
    """
    data = (files or SourceFiles()).text(path)
    try:
        return Document(str(path), data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        message = f"not UTF-8 at byte {error.start}"
        raise ValueError(message) from None
