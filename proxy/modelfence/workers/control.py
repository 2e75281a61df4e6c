"""The line between the supervisor and a worker: the supervisor asks, the worker answers, each in a line of JSON.

    {"id": 7, "ask": "state", "with": null}
    {"id": 7, "answer": {…}}        or        {"id": 7, "error": "what is the matter"}

Answers come in any order. The first question, `start`, brings the worker's orders. When the line ends, the other
process is gone.
"""

import asyncio
import base64
import json
import logging
import pickle
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelfence.core.unavailable import UnavailableError
from modelfence.settings import Settings
from modelfence.workers.handing_on import Handed

log = logging.getLogger(__name__)

LINE_BYTES = 16 << 20
"""The longest line: what is known of ten thousand cohorts takes about a third."""
MOST_WAITING = 256
"""Questions to one worker that are not answered yet."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker has to know to begin."""

    settings: Settings
    slot: int
    """Its number among those that live at the same time, from 0."""
    folder: Path
    """Where all workers count, and hand files to each other."""
    files: Handed | None
    """What it is to run, as another one handed it on; None: what is on the disk."""

    def pack(self) -> str:
        """Return the orders as a text.

        They are pickled, because settings hold paths, networks and the like, and because both ends are one program of
        one version on a pair of sockets that nobody else has. They hold secrets, so they are no arguments of the
        process, and not in its environment.
        """
        return base64.b64encode(pickle.dumps(self)).decode()

    @classmethod
    def unpack(cls, text: str) -> "Orders":
        """Return the orders that a supervisor has packed."""
        orders = pickle.loads(base64.b64decode(text))  # noqa: S301 - from the process that started this one, see `pack`
        assert isinstance(orders, cls)  # noqa: S101 - likewise
        return orders


async def open_line(end: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return what reads from and writes to one end of a pair of sockets."""
    return await asyncio.open_unix_connection(sock=end, limit=LINE_BYTES)


class Asker:
    """The supervisor's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._asked = 0
        self._hearing = asyncio.create_task(self._hear())

    async def ask(self, what: str, *, within_s: float, bring: str | None = None) -> Any:
        """Return the worker's answer. Raises UnavailableError: it is silent, gone, or says why it has none."""
        if self._hearing.done() or len(self._waiting) >= MOST_WAITING:
            raise UnavailableError("the worker is gone" if self._hearing.done() else "the worker is asked too much")
        self._asked += 1
        number, answered = self._asked, asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            self._writer.write(json.dumps({"id": number, "ask": what, "with": bring}).encode() + b"\n")
            async with asyncio.timeout(within_s):
                return await answered
        except TimeoutError:
            raise UnavailableError(f"the worker did not answer within {within_s:g} s") from None
        finally:
            del self._waiting[number]

    async def close(self) -> None:
        """End the line. Questions that wait are answered by UnavailableError."""
        self._hearing.cancel()
        await asyncio.wait([self._hearing])
        self._writer.close()

    async def _hear(self) -> None:
        try:
            while line := await self._reader.readline():
                said = json.loads(line)
                answered = self._waiting.get(said["id"])
                if answered is None or answered.done():
                    continue  # it comes too late
                if "error" in said:
                    answered.set_exception(UnavailableError(said["error"]))
                else:
                    answered.set_result(said["answer"])
        except (OSError, ValueError) as error:
            log.warning("the line to a worker broke: %s", error)
        finally:
            for answered in self._waiting.values():
                if not answered.done():
                    answered.set_exception(UnavailableError("the worker is gone"))


type Answers = Mapping[str, Callable[[Any], Awaitable[object]]]
"""What answers each question, given what came with it. UnavailableError's text goes back as an error."""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Answers) -> None:
    """Answer what is asked, each question by itself, until the other end is gone."""
    under_way: set[asyncio.Task[None]] = set()
    try:
        while line := await reader.readline():
            question = json.loads(line)
            answering = asyncio.create_task(_answer(writer, question, answers[question["ask"]]))
            under_way.add(answering)
            answering.add_done_callback(under_way.discard)
    except OSError:
        pass  # the other end is gone
    finally:
        for answering in under_way:
            answering.cancel()
        writer.close()


async def _answer(
    writer: asyncio.StreamWriter, question: Mapping[str, Any], find: Callable[[Any], Awaitable[object]]
) -> None:
    said: dict[str, object] = {"id": question["id"]}
    try:
        said["answer"] = await find(question["with"])
    except UnavailableError as error:
        said["error"] = str(error)
    except Exception as error:
        log.exception("a question of the supervisor can't be answered: %s", question["ask"])
        said["error"] = f"the worker failed: {type(error).__name__}"
    writer.write(json.dumps(said).encode() + b"\n")
