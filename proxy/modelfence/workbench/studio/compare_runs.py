"""The policy as a page has it beside the one it would replace, on the recording that was named at the start."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
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
from modelfence.workbench.studio.workspace import Workspace

PROGRESS_S = 0.25


@dataclass(slots=True)
class CompareRuns:
    """Compares for a page, one comparison at a time: a new one ends that before it."""

    workspace: Workspace
    settings: Settings
    recording: Path | None
    against: Path | None = None
    """The policy to compare with; None is the one that is edited, as it is on the disk."""
    _running: asyncio.Task[Comparison] | None = field(default=None, init=False)

    async def compare(self, asked: Mapping[str, Any]) -> AsyncGenerator[Answer]:
        """Yield how far it is, again and again, and in the end what changes. Raises BadRequestError."""
        if self.recording is None:
            raise BadRequestError("No recording was named: start the studio with --recording FILE.")
        texts = self.workspace.texts_of(asked)
        self.stop()
        try:
            old, new = self._parts(texts)
            lines = RecordingLines.of(self.recording)
        except CannotStartError as error:
            raise BadRequestError(sentence(error)) from None
        except UnreadableError as error:
            raise BadRequestError(f"{self.recording} can't be read: {error}.") from None
        counted = _Counted()
        run = compare(
            self._settings(), old, new, lines, as_enforced=asked.get("as_enforced") is True, watch=counted.see
        )
        self._running = running = asyncio.create_task(run)
        try:
            while not running.done():
                share = lines.read_bytes / lines.size_bytes if lines.size_bytes else None
                yield {"lines": counted.lines, "share": share}
                await asyncio.wait((running,), timeout=PROGRESS_S)
            yield {"comparison": as_json(await running)}
        except (CannotStartError, UnreadableError) as error:
            raise BadRequestError(f"The comparison can't go on: {error}.") from None
        except asyncio.CancelledError:
            raise BadRequestError("The comparison was called off.") from None
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, CannotStartError, UnreadableError):
                await running
            lines.close()

    def stop(self) -> None:
        """Call off what is under way."""
        if self._running is not None:
            self._running.cancel()

    def _settings(self) -> Settings:
        upstreams = self.settings.upstreams or anywhere()
        return replace(self.settings, upstreams=upstreams, store="memory", policy=self.against or self.workspace.root)

    def _parts(self, texts: Mapping[str, str]) -> tuple[Parts, Parts]:
        """Return what both are judged by. Raises CannotStartError and BadRequestError."""
        compiled = compiled_of(self.workspace, texts)
        if compiled.policy is None:
            raise BadRequestError("The policy has errors. Mend them to compare it.")
        settings = self._settings()
        old = read_parts(settings)
        new = with_policy(settings, old, (compiled.policy, compiled.problems), self.workspace.root)
        return old, new


@dataclass(slots=True)
class _Counted:
    lines: int = 0

    def see(self, _: Compared) -> None:
        self.lines += 1
