"""The comparison: each line is read once, and judged by two fences that share nothing but the clock.

Each has buckets, evidence and learned lengths of answers of its own, so that whatever a policy refuses has its
consequences under that policy alone.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from modelfence.assembly import replaying, requests_of
from modelfence.parts import Parts
from modelfence.replay.outcomes import Broken, Rejected
from modelfence.replay.requests import Asked
from modelfence.replay.run import Replay
from modelfence.settings import Settings
from modelfence.workbench.comparing.changes import Pair, pair_of
from modelfence.workbench.comparing.comparison import Comparison
from modelfence.workbench.comparing.edits import edits
from modelfence.workbench.comparing.enforced import enforced
from modelfence.workbench.comparing.tally import Contender, Tally

type Compared = Broken | Rejected | Pair
"""What comes of a line: nothing, or the same under every policy, or what each of the two decides."""

_LINES_AT_A_TIME = 32
"""After so many others get their turn: a page that shows how far it is, or somebody who calls it off."""


def _look_away(_compared: Compared) -> None:
    """Watch nothing."""


async def compare(  # noqa: PLR0913 - the two, the recording and how, by keyword
    settings: Settings,
    old: Parts,
    new: Parts,
    lines: Iterable[bytes | None],
    *,
    as_enforced: bool = False,
    watch: Callable[[Compared], None] = _look_away,
) -> Comparison:
    """Return what changes for the requests of a recording when `new` takes the place of `old`.

    `old` and `new` differ in their policies and in nothing else; `as_enforced` takes the new one as if nothing in it
    were in shadow. Of a line that was too long to be read None is given. `watch` sees what comes of each.

    Buckets are in memory, whatever the settings say. Raises CannotStartError, and whatever the reading of lines raises.
    """
    settings = replace(settings, store="memory")
    differences = edits(old.policy, new.policy)
    if as_enforced:
        new = replace(new, policy=enforced(new.policy))
    requests = requests_of(settings)
    tally = Tally()
    async with replaying(settings, old, requests) as before, replaying(settings, new, requests) as after:
        for n, line in enumerate(lines):
            if n % _LINES_AT_A_TIME == 0:
                await asyncio.sleep(0)
            read = requests.read(n, line)
            compared: Compared = (
                await _judged(read, before, after, differences.renamed) if isinstance(read, Asked) else read
            )
            watch(compared)
            tally.add(compared)
    return tally.comparison(
        Contender(str(old.policy_path), old.policy),
        Contender(str(new.policy_path), new.policy, as_enforced=as_enforced),
        differences,
    )


async def _judged(asked: Asked, before: Replay, after: Replay, renamed: Mapping[str, str]) -> Pair:
    old = await before.judge(asked)
    # A prompt has one fingerprint, whoever looks at it, and taking it is a good part of all work.
    taken = replace(asked.call, fingerprint=old.judged.extraction.fingerprint)
    return pair_of(old, await after.judge(replace(asked, call=taken)), renamed)
