"""Do what docs/tutorial.md says, as a reader would, and write into it what came of each command.

Usage: python tools/write_tutorial.py (a test fails when the committed page is not what this writes)

A step of the page is one of four: "Write `FILE`:" and "Add to the end of `FILE`:" with a block beneath, "In `FILE`,
replace `THIS` with `THAT`", and a `console` block, whose lines after `$ ` are run and whose others are what came.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).parent.parent / "docs" / "tutorial.md"

_STEP = re.compile(
    r"""
      (?P<how>Write|Add\ to\ the\ end\ of)\ `(?P<file>[\w.]+)`[^`\n]*:\n\n```\w+\n(?P<content>.*?)^```$
    | In\s+`(?P<changed>[\w.]+)`,\s+replace\s+`(?P<this>[^`]+)`\s+with\s+`(?P<that>[^`]+)`
    | ^```console\n(?P<console>.*?)^```$
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_TIME = re.compile(r"\bin \d+\.\d+ s\b")
_LONGEST_S = 60


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        TARGET.write_text(page(Path(folder)))


def page(folder: Path) -> str:
    """Return the page's text with what came of each command, done in an empty folder.

    How long a command took is written as `in 0.1 s`, whatever it was.

    Raises:
        ValueError: What is to be replaced does not stand in its file exactly once.
        OSError: A file can't be written, or a command not be run.
    """

    def done(step: re.Match[str]) -> str:
        if commands := step["console"]:
            lines = re.findall(r"^\$ (.*)$", commands, re.MULTILINE)
            return "```console\n" + "".join(f"$ {line}\n{_run(line, folder)}" for line in lines) + "```"
        if name := step["changed"]:
            _replace(folder / name, step["this"], step["that"])
        else:
            with (folder / step["file"]).open("w" if step["how"] == "Write" else "a") as file:
                file.write(step["content"])
        return step[0]

    return _STEP.sub(done, TARGET.read_text())


def _replace(file: Path, this: str, that: str) -> None:
    text = file.read_text()
    if text.count(this) != 1:
        message = f"`{this}` stands {text.count(this)} times in {file.name}"
        raise ValueError(message)
    file.write_text(text.replace(this, that))


def _run(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    environment = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "COLUMNS": "80"}
    said = subprocess.run(  # noqa: S603 - the commands of the page, in a shell as a reader runs them
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_LONGEST_S,
        text=True,
        check=False,
    ).stdout
    return _TIME.sub("in 0.1 s", said)


if __name__ == "__main__":
    main()
