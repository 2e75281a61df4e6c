"""Finding one decision in audit logs, and what its line says, each name with its type."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelfence.adapters.audit.reading import chains_in, lines_in
from modelfence.audit.lines import MODEL_CHARACTERS
from modelfence.workbench.explaining.inquiry import InquiryError


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """One line of an audit log."""

    file: Path
    number: int
    values: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Return file and line."""
        return f"{self.file}:{self.number}"

    def text(self, name: str) -> str | None:
        """Return a text; None for null. Raises InquiryError for anything else."""
        return self._of(name, str)

    def number_of(self, name: str) -> float | None:
        """Return a number; None for null. Raises InquiryError for anything else."""
        found = self._of(name, int, float)
        return None if found is None else float(found)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts. Raises InquiryError for anything else."""
        found = self._of(name, list) or ()
        return tuple(self._checked(name, one, str) for one in found)

    def inner(self, name: str) -> "LoggedLine":
        """Return an object as a line of its own, empty for null. Raises InquiryError for anything else."""
        return LoggedLine(self.file, self.number, self._of(name, dict) or {})

    def each(self, name: str) -> tuple["LoggedLine", ...]:
        """Return a list of objects. Raises InquiryError for anything else."""
        found = self._of(name, list) or ()
        return tuple(LoggedLine(self.file, self.number, self._checked(name, one, dict)) for one in found)

    @property
    def model(self) -> str | None:
        """Return the model; None where it was unknown."""
        return self.text("model")

    @property
    def has_whole_model(self) -> bool:
        """Say whether the model stands there as the caller wrote it: longer names are cut."""
        return len(self.model or "") < MODEL_CHARACTERS

    def _of[T](self, name: str, *kinds: type[T]) -> T | None:
        value = self.values.get(name)
        return None if value is None else self._checked(name, value, *kinds)

    def _checked[T](self, name: str, value: object, *kinds: type[T]) -> T:
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise InquiryError(f"{self.place}: `{name}` is not what an audit log has there")
        return value


def find_decision(decision: str, paths: Sequence[Path]) -> LoggedLine:
    """Return the line of a decision. Raises InquiryError where there is none, UnreadableError for the files.

    Files are looked through from the newest: decisions that are asked about are mostly recent.
    """
    wanted = json.dumps({"id": decision}, separators=(",", ":"))[1:-1].encode()
    looked_at = 0
    for chain in chains_in(paths):
        for file in reversed(chain.files):
            looked_at += 1
            for number, line in enumerate(lines_in(file), 1):
                if wanted in line and (values := _object(line)).get("id") == decision:
                    return LoggedLine(file, number, values)
    files = f"{looked_at:,} file{'' if looked_at == 1 else 's'}"
    raise InquiryError(f"no decision `{decision}` is in the {files} of the audit log")


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
