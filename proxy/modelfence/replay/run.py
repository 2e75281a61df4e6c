"""The replay: each line of a recording in turn to the loop, at the line's own time, and settled at once.

An answer is settled in the moment its call is judged: a recording says what it cost, not how long it took. So what live
calls hold while they are under way, and the steps in which a stream pays, do not show in a replay; what each costs in
the end does.

What an answer cost that the recording knows nothing of is estimated: the input as the request's size says, the output
as what this account was answered before by the same operation (at first `limits.assumed_tokens`), for each choice, and
no more than the call's own limit.

Rule: a store or a directory that fails ends the replay. Live, the policy says what then becomes of a call; here
decisions would depend on the weather.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace

from modelfence.core.account import Account, Found
from modelfence.core.call import Usage
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Taken
from modelfence.core.decision import Effect
from modelfence.core.dialect import Answer, Refusal
from modelfence.enforcement.expected_usage import ExpectedUsage
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.ports import AccountDirectory, BucketStore, Judged, UnavailableError
from modelfence.recording.lines import Line
from modelfence.replay.outcomes import Decided, Outcome, Rejected
from modelfence.replay.requests import Asked, Requests


class StoreFailedError(Exception):
    """The store did not do its part, so the replay is over. The text says what it said."""


class DirectoryFailedError(Exception):
    """The directory of accounts did not answer, so the replay is over. The text says what it said."""


class Replay:
    """One replay. `fence` is on the clock of the requests; `expected` learns what answers cost."""

    def __init__(self, fence: Fence, requests: Requests, *, expected: ExpectedUsage) -> None:
        self._fence = fence
        self._requests = requests
        self._expected = expected

    async def outcomes(self, lines: Iterable[bytes | None]) -> AsyncIterator[Outcome]:
        """Yield what comes of each line, in order; of one that was too long to be read, None is given.

        Raises StoreFailedError and DirectoryFailedError.
        """
        for n, line in enumerate(lines):
            read = self._requests.read(n, line)
            yield await self.judge(read) if isinstance(read, Asked) else read

    async def judge(self, asked: Asked) -> Decided:
        """Return what comes of a request. Raises StoreFailedError and DirectoryFailedError."""
        line = asked.line
        judged = await self._fence.judge(asked.call)
        usage = self._usage(line, judged) if judged.decision.admitted and line.was_served else None
        if judged.decision.admitted:
            await self._fence.settle(judged, usage, status=line.status)
        return Decided(asked.n, line, judged, usage, is_late=asked.is_late)

    def answer_to(self, outcome: Decided | Rejected, decision_id: str) -> Answer | None:
        """Return what the caller is told, in the words of the API; None where the call is let in."""
        if isinstance(outcome, Rejected):
            refusal = Refusal(Effect.REJECT, outcome.status, outcome.message, decision_id)
        elif outcome.judged.decision.admitted:
            return None
        else:
            refusal = replace(self._fence.refusal(outcome.judged), call_id=decision_id)
        return self._requests.dialect_of(outcome.line).refuse(refusal)

    def _usage(self, line: Line, judged: Judged) -> Usage:
        reading = judged.call.reading
        choices = max(1, reading.choices or 1)
        account = judged.account.id if judged.account else ""
        if line.usage is not None:
            if not line.usage.estimated:
                self._expected.learn(account, reading.operation, line.usage.output_tokens // choices)
                return line.usage
            # As the loop does: what the fence counted itself has no input in it.
            return replace(line.usage, input_tokens=line.usage.input_tokens or reading.least_input_tokens)
        caps = (reading.output_tokens, judged.decision.reshaping.cap.get("output_tokens"))
        limits = [cap for cap in caps if cap is not None]
        output = min((self._expected.of(account, reading.operation) * choices, *limits))
        return Usage(reading.least_input_tokens, output, estimated=True)


class UnfailingDirectory:
    """An `AccountDirectory` that answers, or ends the replay."""

    def __init__(self, accounts: AccountDirectory) -> None:
        self._accounts = accounts

    async def find(self, digest: str, at_us: int) -> Found:
        """Return what is known of a credential. Raises DirectoryFailedError."""
        try:
            return await self._accounts.find(digest, at_us)
        except UnavailableError as error:
            raise DirectoryFailedError(str(error)) from error

    async def get(self, account_id: str) -> Account | None:
        """Return the account of that id, or None. Raises DirectoryFailedError."""
        try:
            return await self._accounts.get(account_id)
        except UnavailableError as error:
            raise DirectoryFailedError(str(error)) from error


class UnfailingStore:
    """A `BucketStore` that answers, or ends the replay."""

    def __init__(self, store: BucketStore) -> None:
        self._store = store

    async def take(
        self, charges: Sequence[Charge], *, lease: Lease | None = None, after: Sequence[Adjustment] = ()
    ) -> Taken:
        """Take all enforced charges or none, then each shadow charge that fits. Raises StoreFailedError."""
        try:
            return await self._store.take(charges, lease=lease, after=after)
        except UnavailableError as error:
            raise StoreFailedError(str(error)) from error

    async def settle(self, adjustments: Sequence[Adjustment]) -> None:
        """End holds. Raises StoreFailedError."""
        try:
            await self._store.settle(adjustments)
        except UnavailableError as error:
            raise StoreFailedError(str(error)) from error

    async def renew(self, holds: Sequence[Hold], lasts_us: int) -> None:
        """Let leases run from now on. Raises UnavailableError."""
        await self._store.renew(holds, lasts_us)
