"""The loop's `Detector`: fingerprint a call, take it into account, and score what is known then.

When the evidence can't be had, a caller that was lately seen in a cohort keeps what was said of it then: taking the
store away must not take a campaign out of its bucket. Of the others only the call itself is scored.

A call without text is scored by itself, too, and draws on no cohort. It is seen all the same: where an account is used
from is told by its listing of models as well as by what it asks.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from modelfence.core.call import Call, Usage
from modelfence.core.extraction import Caller, Extraction, Fingerprint
from modelfence.core.unavailable import UnavailableError
from modelfence.extraction import score
from modelfence.extraction.evidence import CohortRecord, EvidenceStore, Seen, Sighting
from modelfence.extraction.fingerprint import Fingerprints
from modelfence.extraction.phrases import REQUEST_PHRASES
from modelfence.extraction.templates import is_exempt
from modelfence.extraction.weights import SUSPICIOUS, WEIGHTS, Weight

log = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Callers in cohorts, of whom what was said last is kept in this process."""
_COMPLAIN_EVERY_US = 10_000_000
_SECOND_US = 1_000_000


class Detection:
    """A `Detector` over one store of evidence."""

    def __init__(
        self,
        store: EvidenceStore,
        fingerprints: Fingerprints,
        *,
        exempt: Sequence[str] = (),
        weights: Mapping[str, Weight] = WEIGHTS,
    ) -> None:
        self._store = store
        self._fingerprints = fingerprints
        self.exempt = exempt
        """Fingerprints of templates (`templates.fingerprint`) whose cohorts are of no interest; may be exchanged."""
        self._weights = weights
        self._remembered: dict[str, Extraction] = {}
        self._complained_us: int | None = None

    async def look(self, call: Call, caller: Caller | None) -> Extraction:
        """Take a call into account, and return what it looks like. Without a caller only the call itself is scored."""
        print_ = call.fingerprint or self._fingerprints.of(call.reading.prompt)
        own = score.weighed(score.of_call(call.reading, print_), self._weights)
        alone = Extraction(score.total(own), own, fingerprint=print_)
        if caller is None:
            return alone
        try:
            seen = await self._store.see(_sighting(call, caller, print_))
        except UnavailableError as error:
            self._complain(error, call.at_us)
            return self._from_memory(alone, caller)
        if print_.is_empty:
            return replace(alone, recent_countries=seen.countries)
        found = self._judged(seen, alone)
        self._remember(caller, found)
        return found

    async def answered(self, caller: Caller, extraction: Extraction, usage: Usage) -> None:
        """Take into account what an admitted call was answered with. What can't be is left out."""
        try:
            await self._store.answered(caller.id, extraction.cohort, usage.output_tokens)
        except UnavailableError as error:
            log.debug("the length of an answer is no evidence: %s", error)

    def _judged(self, seen: Seen, alone: Extraction) -> Extraction:
        """Return the whole, with one of the cohorts that the call draws on.

        Then its phrases say nothing more: they may be the template's, which the cohort is scored for.

        Of several that are suspicious it is the oldest, so that all variants of a campaign's template that are not one
        cohort yet draw on one bucket where they can; else the one that weighs most.
        """
        account = score.weighed(score.of_account(seen.tally), self._weights)
        cohorts = [cohort for cohort in score.belongs_to(seen) if not is_exempt(cohort.template, self.exempt)]
        weighed = [(score.weighed(score.of_cohort(cohort), self._weights), cohort) for cohort in cohorts]
        shared, cohort = _drawn_on(weighed) if weighed else ((), None)
        own = [one for one in alone.contributions if cohort is None or one[0] not in REQUEST_PHRASES]
        contributions = (*own, *account, *shared)
        return Extraction(
            score.total(contributions),
            contributions,
            cohort.id if cohort else "",
            cohort.accounts if cohort else 0,
            alone.fingerprint,
            recent_countries=seen.countries,
        )

    def _remember(self, caller: Caller, found: Extraction) -> None:
        self._remembered.pop(caller.id, None)
        if found.cohort:
            self._remembered[caller.id] = found
            if len(self._remembered) > REMEMBERED:
                del self._remembered[next(iter(self._remembered))]

    def _from_memory(self, alone: Extraction, caller: Caller) -> Extraction:
        known = self._remembered.get(caller.id)
        if known is None or known.score < alone.score or alone.fingerprint.is_empty:
            known = alone
        return replace(known, fingerprint=alone.fingerprint, was_measured=False, recent_countries=None)

    def _complain(self, error: UnavailableError, now_us: int) -> None:
        """Log that evidence can't be had, now and then."""
        if self._complained_us is None or now_us - self._complained_us >= _COMPLAIN_EVERY_US:
            self._complained_us = now_us
            log.warning("calls are scored by themselves, because the evidence can't be had: %s", error)


def _drawn_on(weighed: Sequence[tuple[score.Contributions, CohortRecord]]) -> tuple[score.Contributions, CohortRecord]:
    suspicious = [one for one in weighed if score.total(one[0]) >= SUSPICIOUS]
    if suspicious:
        return min(suspicious, key=lambda one: (one[1].first_at_s, one[1].id))
    return max(weighed, key=lambda one: (sum(value for _, value in one[0]), one[1].id))


def _sighting(call: Call, caller: Caller, print_: Fingerprint) -> Sighting:
    return Sighting(
        at_s=call.at_us // _SECOND_US,
        caller=caller.id,
        tier=caller.tier,
        is_verified=caller.is_verified,
        country=caller.country,
        fingerprint=print_,
        is_probe=score.is_probe(call.reading),
        control=caller.control,
    )
