"""One line of JSON as the nodes that YAML readers take, each with its place.

Why not as YAML, which reads most JSON: it knows nothing of the surrogate pairs by which JSON writes characters beyond
the first 65,536, and would read a line that only looks like JSON in some other way than its author's tools.
"""

import re
from json import JSONDecodeError, JSONDecoder

import yaml

from modelfence.document import Document, Node

_BLANKS = (" ", "\t")
_STRINGS = JSONDecoder()
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_UNFIT = re.compile("[\0\ud800-\udfff]")
"""Half of a surrogate pair is no character: nobody could write it on. Behind a NUL conditions would not read on."""
_MAX_DEPTH = 20
"""An account takes five."""


def json_node(document: Document) -> Node | None:
    """Return the object that a document of one line holds, or None after noting that it is none.

    No line is quoted that can't be understood: nobody knows what in it is a key.
    """
    text = document.text
    try:
        node, end = _value(text, _after_blanks(text, 0), depth=0)
        end = _after_blanks(text, end)
    except JSONDecodeError as error:
        node, end = None, error.pos
    if node is None or end < len(text):
        message = "this is not one JSON object"
        document.problem("json-syntax", message, line=document.first_line, column=end + 1, quote=False)
        return None
    return Node(document, node)


def _after_blanks(text: str, at: int) -> int:
    while text.startswith(_BLANKS, at):
        at += 1
    return at


def _mark(at: int) -> yaml.Mark:
    return yaml.Mark("", at, 0, at, None, 0)


def _value(text: str, at: int, *, depth: int) -> tuple[yaml.Node, int]:
    """Return the value that begins there, and where it ends. Raises JSONDecodeError."""
    first = text[at : at + 1]
    if first == '"':
        return _text(text, at)
    if first == "{":
        return _object(text, at, depth=depth)
    if first == "[":
        return _list(text, at, depth=depth)
    plain = _PLAIN.match(text, at)
    if plain is None:
        raise JSONDecodeError("no value", text, at)
    return yaml.ScalarNode("", plain[0], _mark(at), _mark(plain.end())), plain.end()


def _text(text: str, at: int) -> tuple[yaml.ScalarNode, int]:
    value, end = _STRINGS.raw_decode(text, at)
    if _UNFIT.search(value):
        raise JSONDecodeError("no text", text, at)
    return yaml.ScalarNode("", value, _mark(at), _mark(end), style='"'), end


def _list(text: str, start: int, *, depth: int) -> tuple[yaml.Node, int]:
    items: list[yaml.Node] = []
    at = _opened(text, start, "]", depth=depth)
    while text[at - 1] != "]":
        item, at = _value(text, at, depth=depth + 1)
        items.append(item)
        at = _next(text, at, "]")
    return yaml.SequenceNode("", items, _mark(start), _mark(at)), at


def _object(text: str, start: int, *, depth: int) -> tuple[yaml.Node, int]:
    pairs: list[tuple[yaml.Node, yaml.Node]] = []
    at = _opened(text, start, "}", depth=depth)
    while text[at - 1] != "}":
        if text[at : at + 1] != '"':
            raise JSONDecodeError("no name", text, at)
        name, at = _text(text, at)
        at = _after_blanks(text, at)
        if text[at : at + 1] != ":":
            raise JSONDecodeError("no colon", text, at)
        value, at = _value(text, _after_blanks(text, at + 1), depth=depth + 1)
        pairs.append((name, value))
        at = _next(text, at, "}")
    return yaml.MappingNode("", pairs, _mark(start), _mark(at)), at


def _opened(text: str, at: int, closing: str, *, depth: int) -> int:
    """Return where the first member begins, or right after the end when there is none."""
    if depth == _MAX_DEPTH:
        raise JSONDecodeError("too deep", text, at)
    at = _after_blanks(text, at + 1)
    return at + 1 if text[at : at + 1] == closing else at


def _next(text: str, at: int, closing: str) -> int:
    """Return where the next member begins, or right after the end when there is none."""
    at = _after_blanks(text, at)
    found = text[at : at + 1]
    if found == closing:
        return at + 1
    if found != ",":
        raise JSONDecodeError("no comma", text, at)
    at = _after_blanks(text, at + 1)
    if text[at : at + 1] == closing:
        raise JSONDecodeError("nothing after the comma", text, at)
    return at
