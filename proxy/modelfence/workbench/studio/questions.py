"""Everything a page may ask, by name: where the studio's parts are put together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from modelfence.settings import Settings
from modelfence.workbench.studio.case_runs import CaseRuns
from modelfence.workbench.studio.checking import Checking
from modelfence.workbench.studio.compare_runs import CompareRuns
from modelfence.workbench.studio.deciding import Deciding
from modelfence.workbench.studio.form import fields
from modelfence.workbench.studio.mapping import Mapped
from modelfence.workbench.studio.pasting import Pasting
from modelfence.workbench.studio.protection import Answer, Ask, AskLong
from modelfence.workbench.studio.saving import Saving
from modelfence.workbench.studio.vocabulary import vocabulary
from modelfence.workbench.studio.worker import Worker
from modelfence.workbench.studio.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Named:
    """What was named at the start."""

    workspace: Workspace
    settings: Settings
    recording: Path | None = None
    against: Path | None = None
    """The policy to compare with; None is the one that is edited, as it is on the disk."""

    def start(self, _: Mapping[str, Any]) -> Mapping[str, object]:
        """Return the tables that the page's editor and form are made from."""
        return {
            "name": str(self.workspace.root),
            "may_save": self.workspace.may_save,
            "recording": None if self.recording is None else str(self.recording),
            "against": None if self.against is None else str(self.against),
            "fields": fields(),
            "vocabulary": vocabulary(),
        }


class Questions:
    """What answers each question of a page."""

    def __init__(self, named: Named) -> None:
        workspace = named.workspace
        saving = Saving(workspace)
        self._cases = CaseRuns(workspace)
        self._mapped = Mapped(workspace)
        self._comparing = CompareRuns(workspace, named.settings, named.recording, named.against)
        answering: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
            "start": named.start,
            "check": Checking(workspace, date.today).check,
            "decide": Deciding(workspace, named.settings.limits).decide,
            "paste": Pasting(workspace, named.settings).read,
            "changes": saving.changes,
            "save": saving.save,
        }
        self._worker = Worker("questions")
        self.short: Mapping[str, Ask] = {
            **{name: _asking(self._worker, answer) for name, answer in answering.items()},
            "cases": self._cases.cases,
            "map": self._mapped.countries,
        }
        self.long: Mapping[str, AskLong] = {"compare": self._comparing.compare}

    def stop(self) -> None:
        """End what is under way."""
        self._comparing.stop()
        self._cases.stop()
        self._mapped.stop()
        self._worker.stop()


def _asking(worker: Worker, answer: Callable[[Mapping[str, Any]], Answer]) -> Ask:
    """Return what has a question answered apart from the serving, one after the other."""
    return lambda asked: worker.do(lambda: answer(asked))
