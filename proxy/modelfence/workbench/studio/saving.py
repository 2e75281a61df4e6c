"""What a save would change, and the save: nothing else of the studio writes.

A page says over which content it saves, by its digest. When the file holds something else by now, nothing is written.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelfence.workbench.studio.protection import BadRequestError
from modelfence.workbench.studio.workspace import Workspace, as_edited, as_written, digest_of
from modelfence.workbench.writing import ChangedMeanwhileError, replace_file

MAX_DIFF_LINES = 20_000
"""Of a file: comparing longer ones line by line takes too long."""
_CHANGED = "It has changed on the disk since it was opened here, so nothing was written."


class Saving:
    """Shows changes and writes them."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def changes(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Return for each of the page's texts how it differs from what is on the disk."""
        texts = self._workspace.texts_of(asked)
        found = (self._change(id_, text) for id_, text in texts.items())
        return {"changes": [change for change in found if change["lines"]], "may_save": self._workspace.may_save}

    def _change(self, id_: str, text: str) -> dict[str, object]:
        path = self._workspace.path_of(id_)
        data = self._read(path)
        disk = as_edited(data)
        return {"id": id_, "name": str(path), "digest": digest_of(data), "disk": disk, "lines": diff(disk, text)}

    def save(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Write one text, if its file still is what the page takes it to be."""
        workspace = self._workspace
        if not workspace.may_save:
            raise BadRequestError("This policy comes with modelfence. Copy it, and open the copy to change it.")
        path = workspace.path_of(asked.get("id"))
        [text] = workspace.texts_of({"texts": {asked.get("id"): asked.get("text")}}).values()
        before = self._read(path)
        if digest_of(before) != asked.get("digest"):
            return {"saved": False, "why": _CHANGED}
        data = as_written(text, before)
        try:
            replace_file(path, data, over=before)
        except ChangedMeanwhileError:
            return {"saved": False, "why": _CHANGED}
        except OSError as error:
            return {"saved": False, "why": f"It can't be written: {error.strerror}."}
        workspace.look()
        return {"saved": True, "digest": digest_of(data)}

    def _read(self, path: Path) -> bytes:
        """Return what a file holds. Raises BadRequestError, also for what has become a link to somewhere else."""
        try:
            data = self._workspace.sources({}).text(path)
            as_edited(data)
        except OSError as error:
            raise BadRequestError(f"{path} can't be read: {error.strerror}.") from None
        except ValueError:
            raise BadRequestError(f"{path} no longer holds a text that can be edited here.") from None
        return data


def diff(before: str, after: str) -> list[str]:
    """Return what changes as the lines of a unified diff without its head; none when nothing does."""
    old, new = before.split("\n"), after.split("\n")
    if old == new:
        return []
    if max(len(old), len(new)) > MAX_DIFF_LINES:
        return [f"@@ {len(old)} lines become {len(new)}: too many to show @@"]
    return list(difflib.unified_diff(old, new, lineterm=""))[2:]
