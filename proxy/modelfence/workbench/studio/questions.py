"""Everything a page may ask, by name: where the studio's parts are put together."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelfence.settings import Settings
from modelfence.workbench.studio.case_runs import CaseRuns
from modelfence.workbench.studio.checking import Checking
from modelfence.workbench.studio.compare_runs import CompareRuns
from modelfence.workbench.studio.deciding import Deciding
from modelfence.workbench.studio.form import fields
from modelfence.workbench.studio.mapping import Mapped
from modelfence.workbench.studio.pasting import Pasting
from modelfence.workbench.studio.saving import Saving
from modelfence.workbench.studio.vocabulary import vocabulary
from modelfence.workbench.studio.workspace import Workspace

if TYPE_CHECKING:
    from modelfence.workbench.studio.protection import Ask, AskLong


@dataclass(frozen=True, slots=True)
class Named:
    """What was named at the start."""

    workspace: Workspace
    settings: Settings
    recording: Path | None = None
    against: Path | None = None
    """The policy to compare with; None is the one that is edited, as it is on the disk."""

    async def start(self, _: Mapping[str, Any]) -> Mapping[str, object]:
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
        self._comparing = CompareRuns(workspace, named.settings, named.recording, named.against)
        self.short: Mapping[str, Ask] = {
            "start": named.start,
            "check": Checking(workspace, date.today).check,
            "decide": Deciding(workspace, named.settings.limits).decide,
            "paste": Pasting(workspace, named.settings).read,
            "map": Mapped(workspace).countries,
            "cases": self._cases.cases,
            "changes": saving.changes,
            "save": saving.save,
        }
        self.long: Mapping[str, AskLong] = {"compare": self._comparing.compare}

    def stop(self) -> None:
        """End what is under way."""
        self._comparing.stop()
        self._cases.stop()
