"""The policy as a page has it beside the one it would replace, on the recording that was named at the start."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelfence.adapters.recording.lines import RecordingLines, UnreadableError
from modelfence.assembly import anywhere
from modelfence.parts import Parts, read_parts, with_policy
from modelfence.settings import CannotStartError, Settings
from modelfence.workbench.comparing import Compared, Comparison, as_json, compare
from modelfence.workbench.studio.checking import compiled_of
from modelfence.workbench.studio.pasting import sentence
from modelfence.workbench.studio.protection import Answer, BadRequestError
from modelfence.workbench.studio.worker import Worker
from modelfence.workbench.studio.workspace import Workspace

PROGRESS_S = 0.25


class _CalledOffError(Exception):
    """Nobody wants to know any more."""


@dataclass(slots=True)
class CompareRuns:
    """Compares for a page, one comparison at a time and apart from what else it asks: a new one ends that before it."""

    workspace: Workspace
    settings: Settings
    recording: Path | None
    against: Path | None = None
    """The policy to compare with; None is the one that is edited, as it is on the disk."""
    _worker: Worker = field(default_factory=lambda: Worker("comparison"), init=False)
    _turn: int = field(default=0, init=False)

    async def compare(self, asked: Mapping[str, Any]) -> AsyncGenerator[Answer]:
        """Yield how far it is, again and again, and in the end what changes. Raises BadRequestError."""
        if self.recording is None:
            raise BadRequestError("No recording was named: start the studio with --recording FILE.")
        texts = self.workspace.texts_of(asked)
        self._turn += 1
        turn = self._turn
        run = _Run(
            self, self.recording, as_enforced=asked.get("as_enforced") is True, is_over=lambda: turn != self._turn
        )
        running = asyncio.ensure_future(self._worker.do(lambda: run.done(texts)))
        try:
            while not running.done():
                yield {"lines": run.lines, "share": run.share}
                await asyncio.wait((running,), timeout=PROGRESS_S)
            yield {"comparison": as_json(running.result())}
        except _CalledOffError:
            raise BadRequestError("The comparison was called off, for another one was begun.") from None
        finally:
            running.cancel()
            if turn == self._turn:
                self._turn += 1  # it ends with the line it is at

    def stop(self) -> None:
        """Call off what is under way, and take no more."""
        self._turn += 1
        self._worker.stop()

    def replayed(self) -> Settings:
        """Return by what settings both are replayed."""
        upstreams = self.settings.upstreams or anywhere()
        return replace(self.settings, upstreams=upstreams, store="memory", policy=self.against or self.workspace.root)


@dataclass(slots=True)
class _Run:
    of: CompareRuns
    recording: Path
    as_enforced: bool
    is_over: Callable[[], bool]
    lines: int = 0
    share: float | None = None
    """Of the recording's bytes that are read, 0 to 1."""

    def done(self, texts: Mapping[str, str]) -> Comparison:
        """Return what changes. Raises BadRequestError and _CalledOffError."""
        try:
            old, new = self._parts(texts)
            lines = RecordingLines.of(self.recording)
        except CannotStartError as error:
            raise BadRequestError(sentence(error)) from None
        except UnreadableError as error:
            raise BadRequestError(f"{self.recording} can't be read: {error}.") from None
        try:
            run = compare(
                self.of.replayed(),
                old,
                new,
                lines,
                as_enforced=self.as_enforced,
                watch=lambda one: self._see(one, lines),
            )
            return asyncio.run(run)
        except (CannotStartError, UnreadableError) as error:
            raise BadRequestError(f"The comparison can't go on: {error}.") from None
        finally:
            lines.close()

    def _see(self, _: Compared, lines: RecordingLines) -> None:
        if self.is_over():
            raise _CalledOffError
        self.lines += 1
        self.share = lines.read_bytes / lines.size_bytes if lines.size_bytes else None

    def _parts(self, texts: Mapping[str, str]) -> tuple[Parts, Parts]:
        """Return what both are judged by. Raises CannotStartError and BadRequestError."""
        compiled = compiled_of(self.of.workspace, texts)
        if compiled.policy is None:
            raise BadRequestError("The policy has errors. Mend them to compare it.")
        settings = self.of.replayed()
        old = read_parts(settings)
        new = with_policy(settings, old, (compiled.policy, compiled.problems), self.of.workspace.root)
        return old, new
