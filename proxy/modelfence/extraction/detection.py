"""The loop's `Detector`: fingerprint a call, take it into account, and score what is known then."""

from modelfence.core.call import Call, Usage
from modelfence.core.extraction import Caller, Extraction
from modelfence.extraction import score
from modelfence.extraction.evidence import EvidenceStore, Sighting
from modelfence.extraction.fingerprint import Fingerprints

SECOND_US = 1_000_000


class Detection:
    """A `Detector` over one store of evidence."""

    def __init__(self, store: EvidenceStore, fingerprints: Fingerprints) -> None:
        self._store = store
        self._fingerprints = fingerprints

    async def look(self, call: Call, caller: Caller) -> Extraction:
        """Take a call into account, and return what it looks like."""
        print_ = call.fingerprint or self._fingerprints.of(call.reading.prompt)
        own = score.of_call(call.reading, print_)
        if print_.is_empty:
            return Extraction(score.total(own), tuple(own.items()), fingerprint=print_)
        seen = await self._store.see(
            Sighting(
                call.at_us // SECOND_US, caller.id, caller.tier, caller.is_verified, caller.country, print_,
                score.is_probe(call.reading),
            )
        )  # fmt: skip
        account = score.of_account(seen.tally)
        cohort, shared = score.drawn_on(seen)
        return Extraction(
            score.total(own, account, shared),
            (*own.items(), *account.items(), *shared.items()),
            cohort=cohort.id if cohort else "",
            cohort_accounts=cohort.accounts if cohort else 0,
            fingerprint=print_,
        )

    async def answered(self, caller: Caller, extraction: Extraction, usage: Usage) -> None:
        """Take into account what an admitted call was answered with."""
        await self._store.answered(caller.id, extraction.cohort, usage.output_tokens)
