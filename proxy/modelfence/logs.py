"""How processes of the fence log: text for people, or a line of JSON for each record, always on stderr.

Rule: nobody logs a secret. Nothing here looks for any.
"""

import json
import logging
import sys
import threading
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
            "message": _message_of(record),
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
        # What Python would write by itself, as text.
        logging.captureWarnings(capture=True)
        sys.excepthook = _log_exception
        sys.unraisablehook = _log_ignored
        threading.excepthook = _log_end_of_thread
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


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - logging would print a traceback in its place, and the record is lost
        return f"{record.msg} {record.args}"


def _log_exception(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.critical("the process ends", exc_info=(kind, error, traceback))


def _log_ignored(ignored: "sys.UnraisableHookArgs") -> None:
    error = ignored.exc_value
    told = None if error is None else (ignored.exc_type, error, ignored.exc_traceback)
    log.error("%s %r", ignored.err_msg or "an exception is ignored in", ignored.object, exc_info=told)


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    error = ended.exc_value
    told = None if error is None else (ended.exc_type, error, ended.exc_traceback)
    log.error("a thread ends: %s", ended.thread and ended.thread.name, exc_info=told)
