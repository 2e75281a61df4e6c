"""What is written of calls, from settings: the recording, and the audit log."""

from collections.abc import Callable, Mapping
from pathlib import Path

from modelfence.adapters.audit import log as audit_log
from modelfence.adapters.audit.file import AuditFile, BrokenChainError
from modelfence.adapters.audit.log import AuditLog
from modelfence.adapters.key_file import KeyFileError, read_key
from modelfence.adapters.recording import recorder
from modelfence.adapters.recording.file import RecordingFile
from modelfence.adapters.recording.recorder import Recorder
from modelfence.audit.chain import Seals
from modelfence.audit.files import ChainFiles
from modelfence.audit.lines import Lines
from modelfence.settings import CannotStartError, Settings

_HOUR_S = 3_600


def recorder_of(settings: Settings, *, slot: int, count: Callable[[recorder.Outcome], None]) -> Recorder | None:
    """Return what records the calls of a worker, None where none are to be. Raises CannotStartError."""
    record = settings.record
    if record.path is None:
        return None
    path = _of_slot(record.path, slot)
    try:
        file = RecordingFile(path, max_bytes=record.max_bytes, keep=record.keep)
    except OSError as error:
        raise CannotStartError(f"calls can't be recorded in {path}: {error.strerror}") from None
    return Recorder(file, prompts=record.prompts, count=count)


def audit_log_of(
    settings: Settings,
    *,
    slot: int,
    geo_built_s: Callable[[], Mapping[str, float]],
    count: Callable[[audit_log.Outcome, int], None],
) -> AuditLog | None:
    """Return what keeps the audit log of a worker, None where none is to be kept. Raises CannotStartError.

    `geo_built_s` says at any time when the databases in use were built, in seconds since the epoch.
    """
    audit = settings.audit
    if audit.path is None:
        return None
    try:
        key = None if audit.key_file is None else read_key(audit.key_file)
        if audit.addresses == "hashed" and key is None:
            raise CannotStartError(
                "`audit.addresses: hashed` needs a key: name a file that holds one in `audit.key_file`"
            )
        file = AuditFile(
            ChainFiles.of(audit.path, slot),
            Seals(key),
            max_bytes=audit.max_bytes,
            max_age_s=audit.rotate_hours * _HOUR_S,
            keep=audit.keep,
        )
    except OSError as error:
        raise CannotStartError(f"the audit log {audit.path} can't be written: {error.strerror}") from None
    except (BrokenChainError, KeyFileError) as error:
        raise CannotStartError(str(error)) from None
    lines = Lines(slot, key if audit.addresses == "hashed" else None)
    return AuditLog(file, lines, geo_built_s=geo_built_s, count=count)


def _of_slot(path: Path, slot: int) -> Path:
    """Return the file of a worker's own: `calls.jsonl` for the first slot, then `calls.w1.jsonl` and so on."""
    return path.with_name(f"{path.stem}.w{slot}{path.suffix}") if slot else path
