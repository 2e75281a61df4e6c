"""Where every fact of a call came from.

The live loop gathers facts and does not note where from, which would cost each call something. Here it is told once
more from the same things: the request, the account's record, the databases, the settings.
"""

from collections.abc import Mapping

from modelfence.core.location import Location
from modelfence.enforcement.ports import Judged
from modelfence.workbench.explaining.account_sources import account_sources, credential_words
from modelfence.workbench.explaining.desk import Desk
from modelfence.workbench.explaining.explanation import Origin, Source
from modelfence.workbench.explaining.inquiry import Inquiry
from modelfence.workbench.explaining.place_sources import place_sources
from modelfence.workbench.explaining.request_sources import RequestRead, request_sources
from modelfence.workbench.explaining.values import cut

_SHOWN = 80


def sources_of(  # noqa: PLR0913 - what a call was judged by, by keyword
    inquiry: Inquiry, judged: Judged, location: Location, *, desk: Desk, read: RequestRead, lines_before: int
) -> Mapping[str, Source]:
    """Return the source of each fact by its name. `lines_before` of the recording were judged before this call."""
    credential = credential_words(inquiry, judged.call)
    found_by = "as given beside the request" if inquiry.account else f"by {credential}"
    return {
        "now": _of_time(inquiry),
        **place_sources(inquiry, location, desk.parts.geo),
        **account_sources(judged.found, judged.call, desk, found_by=found_by),
        **request_sources(read),
        **_of_extraction(judged, lines_before),
    }


def _of_time(inquiry: Inquiry) -> Source:
    if "ts" in inquiry.given:
        return Source(Origin.SAID, "given beside the request")
    if "ts" in inquiry.says:
        return Source(Origin.REQUEST, "`ts` of the request")
    return Source(Origin.CLOCK, "the time at which this was asked, as none was given")


def _of_extraction(judged: Judged, lines_before: int) -> Mapping[str, Source]:
    extraction = judged.extraction
    seen = f"this call and the {lines_before:,} lines before it" if lines_before else "this call alone"
    if judged.caller is None:
        seen = "this call alone, as callers who can't be let in are not watched"
    weighed = ", ".join(f"{name} {value:+.2f}" for name, value in extraction.contributions)
    sources = {
        "extraction.score": f"the sum of {cut(weighed, _SHOWN)}: {seen}" if weighed else f"{seen}: no signal fired",
        "extraction.signals": seen,
        "extraction.cohort": f"{seen}: {'accounts with the same template' if extraction.cohort else 'no cohort'}",
        "extraction.cohort_accounts": seen,
    }
    return {name: Source(Origin.EVIDENCE, words) for name, words in sources.items()}
