"""How processes of the fence log: text for people, or a line of JSON for each record, always on stderr.

Rule: nobody logs a secret. Nothing here looks for any.
"""

import json
import logging
import sys
from types import TracebackType

log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """One line for each record, whatever it holds.

    `ts` is in seconds since the epoch, `worker` a slot or null; a traceback, where there is one, is in `exception`.
    """

    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": round(record.created, 3),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "worker": self._worker,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_as(form: str, *, worker: int | None = None) -> None:
    """Log to stderr from now on, as `text` or `json`. `worker` is the slot of the worker who does; None is none."""
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonLines(worker))
        sys.excepthook = _log_exception
    else:
        who = "" if worker is None else f" w{worker}"
        handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s{who} %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def say(text: str, level: int = logging.INFO) -> None:
    """Tell people something as it is; or, where the log is for machines, as a line of it."""
    if any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers):
        log.log(level, "%s", text)
    else:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _log_exception(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.critical("the process ends", exc_info=(kind, error, traceback))
