"""Which countries get which effect, for a call that is otherwise the same."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from modelfence.core.continents import CONTINENT_OF
from modelfence.core.countries import EU
from modelfence.core.decision import Decision, Effect
from modelfence.core.facts import Facts, FactValue
from modelfence.core.policy import Policy
from modelfence.workbench.studio.checking import compiled_of
from modelfence.workbench.studio.deciding import effect_of
from modelfence.workbench.studio.form import CODES, facts_of
from modelfence.workbench.studio.protection import BadRequestError
from modelfence.workbench.studio.worker import Worker
from modelfence.workbench.studio.workspace import Workspace

DEADLINE_S = 20.0
COUNTRY, REGION = "client.country", "client.region"


class Mapped:
    """Decides once for each country, apart from what else a page asks: 250 decisions may take long."""

    def __init__(self, workspace: Workspace, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._workspace = workspace
        self._clock_s = clock_s
        self._worker = Worker("map")

    async def countries(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Return each country's effect and rules; null while the policy has errors. Raises BadRequestError."""
        until_s = self._clock_s() + DEADLINE_S
        return await self._worker.do_for_page(
            lambda is_left: self._decided(asked, lambda: is_left() or self._clock_s() > until_s)
        )

    def stop(self) -> None:
        """Take no more."""
        self._worker.stop()

    def _decided(self, asked: Mapping[str, Any], is_over: Callable[[], bool]) -> Mapping[str, object]:
        compiled = compiled_of(self._workspace, self._workspace.texts_of(asked))
        if compiled.policy is None:
            return {"countries": None}
        facts = facts_of(asked, compiled.policy)
        decided = {}
        for code in CODES:
            if is_over():
                raise BadRequestError("The map takes too long: its conditions are asked for every country.")
            decided[code] = country(compiled.policy, calling_from(facts, code))
        return {"countries": decided}


def calling_from(facts: Facts, code: str) -> Facts:
    """Return the facts of the same call from an address of that country, registered there.

    A region is kept in its own country only; elsewhere it is taken for one that no rule names.
    """
    changed: dict[str, FactValue] = {
        **facts,
        COUNTRY: code,
        "client.registered_country": code,
        "client.continent": CONTINENT_OF[code],
        "client.eu": code in EU,
    }
    region = facts.get(REGION)
    if isinstance(region, str) and not region.startswith(f"{code}-"):
        changed[REGION] = ""
    return changed


def country(policy: Policy, facts: Facts) -> dict[str, object]:
    """Return what becomes of one country's call, and by which rules."""
    decision = effect_of(policy, facts)
    return {
        "outcome": outcome_of(decision),
        "rules": list(decision.rules),
        "shadow_rules": list(decision.shadow_rules),
        "unknown": list(decision.unknown),
        "message": decision.message,
    }


def outcome_of(decision: Decision) -> str:
    """Return what a map shows: allowed, changed, would (be refused, but for the shadow) or refused."""
    if decision.effect is Effect.DENY:
        return "refused"
    if decision.would is Effect.DENY:
        return "would"
    return "changed" if decision.reshaping else "allowed"
