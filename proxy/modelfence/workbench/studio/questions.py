"""Everything a page may ask, by name: where the studio's parts are put together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelfence.settings import Settings
from modelfence.workbench.studio.checking import Checking
from modelfence.workbench.studio.deciding import Deciding
from modelfence.workbench.studio.form import fields
from modelfence.workbench.studio.mapping import Mapped
from modelfence.workbench.studio.protection import Ask
from modelfence.workbench.studio.saving import Saving
from modelfence.workbench.studio.vocabulary import vocabulary
from modelfence.workbench.studio.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Starting:
    """What a page is told first."""

    workspace: Workspace

    async def start(self, _: Mapping[str, Any]) -> Mapping[str, object]:
        """Return the tables that the page's editor and form are made from."""
        return {
            "name": str(self.workspace.root),
            "may_save": self.workspace.may_save,
            "fields": fields(),
            "vocabulary": vocabulary(),
        }


def questions(workspace: Workspace, settings: Settings) -> Mapping[str, Ask]:
    """Return what answers each question."""
    saving = Saving(workspace)
    return {
        "start": Starting(workspace).start,
        "check": Checking(workspace).check,
        "decide": Deciding(workspace, settings.limits).decide,
        "map": Mapped(workspace).countries,
        "changes": saving.changes,
        "save": saving.save,
    }
