"""The calls of a case with a request: lines of a recording, replayed through the whole loop.

So API and credential are read, the account is found and extraction looked for as they are live. Databases of addresses
are the bundled one, and whatever the case gives of the caller's place comes before what that says.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from modelfence.adapters.accounts.file import AccountsFile
from modelfence.adapters.geo.databases import GeoDatabases
from modelfence.assembly import anywhere, replaying, requests_of
from modelfence.core.call import Credential, CredentialState
from modelfence.core.decision import Decision, Effect
from modelfence.core.facts import Facts
from modelfence.core.location import Location
from modelfence.core.policy import Policy
from modelfence.enforcement.gather import gather
from modelfence.enforcement.ports import Judged
from modelfence.parts import Parts
from modelfence.recording.lines import Line
from modelfence.replay.outcomes import Rejected
from modelfence.settings import Settings
from modelfence.source_files import Files
from modelfence.workbench.cases.calls import times
from modelfence.workbench.cases.model import Case, Given, Request, Step
from modelfence.workbench.cases.results import Came


class Places:
    """A `GeoDatabase` whose answers are overruled by what a case gives."""

    def __init__(self) -> None:
        self._databases = _bundled()
        self.given: Given = {}

    @property
    def country_built_s(self) -> int:
        """Return when the database of countries was built, in seconds since the epoch."""
        return self._databases.country_built_s

    def locate(self, ip: str) -> Location:
        """Return what is known of an address."""
        said = self._databases.locate(ip)
        given = {name.removeprefix("client."): value for name, value in self.given.items()}
        return replace(said, **given)  # type: ignore[arg-type]  # read by the types of the facts


async def asked(case: Case, policy: Policy, accounts: AccountsFile | None) -> AsyncIterator[Came]:
    """Yield what comes of each call; without accounts nobody has one."""
    places = Places()
    settings = Settings(upstreams=anywhere())
    requests = requests_of(settings)
    directory = AccountsFile(()) if accounts is None else accounts
    parts = Parts(policy, Path(), directory, _bundled(), None, (), Files())
    async with replaying(settings, parts, requests, geo=places) as replay:
        for number, (step, n, at_us) in enumerate(times(case)):
            request = step.request or Request()
            places.given = request.place
            read = requests.ask(number, _line(request, step, at_us))
            if isinstance(read, Rejected):
                yield Came(step, n, at_us, {}, Decision(Effect.REJECT, policy.hash, message=read.message))
                continue
            judged = (await replay.judge(read)).judged
            refused = frozenset(one.charge.throttle for one in judged.taken.shadow_refused)
            yield Came(step, n, at_us, _facts(judged, places, policy), judged.decision, refused)


@cache
def _bundled() -> GeoDatabases:
    """Return the databases that come with the fence, opened once."""
    return GeoDatabases()


def _line(request: Request, step: Step, at_us: int) -> Line:
    body = request.body.encode()
    by_id = None if request.account is None else Credential(CredentialState.PRESENTED, account=request.account)
    return Line(
        at_us=at_us,
        client_ip=request.client_ip,
        method=request.method,
        path=request.path,
        headers=tuple(request.headers.items()),
        credential=by_id,
        body=body,
        bytes=len(body),
        usage=step.usage,
    )


def _facts(judged: Judged, places: Places, policy: Policy) -> Facts:
    """Return what the loop has judged by."""
    location, built_s = places.locate(judged.call.client_ip), places.country_built_s
    found = judged.extraction
    return gather(judged.call, judged.account, location, policy, extraction=found, geo_built_s=built_s)
