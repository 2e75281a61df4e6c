"""A request that somebody pasted, judged by the policy as a page has it: what was read in it, and from where.

The page fills its form with what was found, so that an author can go on from there.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from modelfence.assembly import anywhere
from modelfence.core.dialect import Answer as Told
from modelfence.core.facts import FactValue
from modelfence.parts import Parts, read_parts, with_policy
from modelfence.policy.compile import Compiled
from modelfence.settings import CannotStartError, Settings
from modelfence.workbench.explaining.desk import Desk, parts_for_logs
from modelfence.workbench.explaining.explanation import Explanation
from modelfence.workbench.explaining.inquiry import Inquiry, InquiryError, placed
from modelfence.workbench.explaining.judging import explained
from modelfence.workbench.explaining.requests import read_request
from modelfence.workbench.studio.checking import compiled_of
from modelfence.workbench.studio.form import TIER
from modelfence.workbench.studio.protection import BadRequestError
from modelfence.workbench.studio.tracing import shown_value
from modelfence.workbench.studio.workspace import Workspace

MAX_TOLD = 4_000
"""Characters of an answer that are shown."""
_BESIDE = ("country", "account", "client_ip")


@dataclass(frozen=True, slots=True)
class Pasting:
    """Reads requests for a page."""

    workspace: Workspace
    settings: Settings

    def read(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Return what is known of a request, what becomes of it, and what its caller is told."""
        compiled = compiled_of(self.workspace, self.workspace.texts_of(asked))
        if compiled.policy is None:
            raise BadRequestError("The policy has errors. Mend them to see what it decides.")
        inquiry = _inquiry(asked)
        settings = replace(self.settings, upstreams=self.settings.upstreams or anywhere(), store="memory")
        try:
            desk = Desk(settings, self._parts(settings, compiled), compiled.written)
            explanation = asyncio.run(explained(inquiry, desk))
        except (InquiryError, CannotStartError) as error:
            raise BadRequestError(sentence(error)) from None
        return as_json(explanation, compiled.policy.tiers)

    def _parts(self, settings: Settings, compiled: Compiled) -> Parts:
        """Return what to judge by, also where no accounts were named. Raises CannotStartError."""
        assert compiled.policy is not None  # noqa: S101 - who asks has looked
        settings = replace(settings, policy=self.workspace.root)
        if settings.accounts is None:
            return replace(parts_for_logs(settings), policy=compiled.policy, policy_path=self.workspace.root)
        read = (compiled.policy, compiled.problems)
        return with_policy(settings, read_parts(settings), read, self.workspace.root)


def _inquiry(asked: Mapping[str, Any]) -> Inquiry:
    request = asked.get("request")
    beside = {name: asked.get(name) or None for name in _BESIDE}
    if not isinstance(request, str) or not all(value is None or isinstance(value, str) for value in beside.values()):
        raise BadRequestError("The request is not what the page sends.")
    if not request.strip():
        raise BadRequestError("Paste a request first: a curl command, HTTP, a JSON object or a line of a recording.")
    try:
        return placed(read_request(request.encode("utf-8", "replace")), **beside)
    except InquiryError as error:
        raise BadRequestError(sentence(error)) from None


def as_json(explanation: Explanation, tiers: Sequence[str]) -> dict[str, object]:
    """Return an explanation as the page shows it."""
    facts = [fact for fact in explanation.facts if not fact.name.startswith("kyc.owned_by.")]
    return {
        "answer": explanation.answer,
        "about": [list(row) for row in explanation.about],
        "notes": list(explanation.notes),
        "told": None if explanation.told is None else _told(explanation.told),
        "facts": {fact.name: _of_form(fact.name, fact.value, tiers) for fact in facts},
        "sources": [
            {
                "name": fact.name,
                "value": None if fact.value is None else shown_value(_of_form(fact.name, fact.value, tiers)),
                "source": fact.source.words,
                "read_by": list(fact.read_by),
            }
            for fact in explanation.facts
        ],
    }


def _of_form(name: str, value: FactValue | None, tiers: Sequence[str]) -> object:
    """Return a fact as the form takes it."""
    if name == TIER and isinstance(value, int):
        return tiers[value]
    if isinstance(value, datetime):
        return value.replace(tzinfo=None, microsecond=0).isoformat()
    return dict(value) if isinstance(value, Mapping) else value


def _told(told: Told) -> dict[str, object]:
    return {
        "status": told.status,
        "headers": [f"{name}: {value}" for name, value in told.headers],
        "body": told.body.decode("utf-8", "replace")[:MAX_TOLD],
    }


def sentence(error: CannotStartError | InquiryError) -> str:
    """Return an error as a sentence, with the first of the problems behind it."""
    problems = error.problems if isinstance(error, CannotStartError) else ()
    first = f" ({problems[0].file}:{problems[0].line}: {problems[0].message})" if problems else ""
    words = str(error).removesuffix(".")
    return f"{words[:1].upper()}{words[1:]}{first}."
