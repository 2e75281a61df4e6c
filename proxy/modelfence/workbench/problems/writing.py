"""A page on a code, as text for a terminal and as Markdown.

What the checker says of the wrong example is not kept anywhere: it is asked.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping

from modelfence.workbench.problems.page import MEANINGS, Page

WIDTH = 100
LONGEST = 200
"""Characters of a line of an example that are shown."""


def as_text(page: Page) -> str:
    """Return a page for a terminal."""
    parts = [f"{page.code}: {MEANINGS[page.code]}", page.more, *_example_in_words(page)]
    return "\n\n".join(part if "\n" in part else textwrap.fill(part, WIDTH) for part in parts) + "\n"


def as_markdown(page: Page, heading: str = "##") -> str:
    """Return a page below a heading."""
    parts = [f"{heading} `{page.code}`", f"{MEANINGS[page.code]} {page.more}"]
    parts += [_fenced(text, "yaml", name) for name, text in page.beside.items()]
    parts += ["This is wrong:", _fenced(page.wrong, "yaml", _name(page)), _fenced(_said(page), "text")]
    parts += ["This is right:", *(_fenced(text, "yaml", name) for name, text in page.beside_right.items())]
    parts += [_fenced(page.right, "yaml", _name(page))]
    return "\n\n".join(parts) + "\n"


def _example_in_words(page: Page) -> Iterator[str]:
    yield from _files(page.beside)
    yield f"This is wrong ({page.file}):"
    yield _indented(page.wrong)
    yield "The check says:"
    yield _indented(_said(page))
    yield from _files(page.beside_right)
    yield "This is right:"
    yield _indented(page.right)


def _files(files: Mapping[str, str]) -> Iterator[str]:
    for name, text in files.items():
        yield f"{name}:"
        yield _indented(text)


def _name(page: Page) -> str | None:
    """Return the file's name where there are others to tell it from."""
    return page.file if page.beside or page.beside_right else None


def _said(page: Page) -> str:
    return "\n\n".join(problem.render() for problem in page.said_of_wrong() if problem.code == page.code)


def _fenced(text: str, language: str, name: str | None = None) -> str:
    head = [f"# {name}"] if name else []
    return "\n".join((f"```{language}", *head, *_cut(text), "```"))


def _indented(text: str) -> str:
    return textwrap.indent("\n".join(_cut(text)), "    ", lambda _line: True)


def _cut(text: str) -> Iterable[str]:
    return (line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in text.rstrip("\n").split("\n"))
