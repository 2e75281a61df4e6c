"""The loop's `Detector`: fingerprint a call, take it into account, and score what is known then."""

from modelfence.core.call import Call, Usage
from modelfence.core.extraction import Caller, Extraction
from modelfence.extraction.fingerprint import Fingerprints


class Detection:
    """A `Detector`."""

    def __init__(self, fingerprints: Fingerprints) -> None:
        self._fingerprints = fingerprints

    async def look(self, call: Call, caller: Caller) -> Extraction:
        """Take a call into account, and return what it looks like."""
        return Extraction(fingerprint=call.fingerprint or self._fingerprints.of(call.reading.prompt))

    async def answered(self, caller: Caller, extraction: Extraction, usage: Usage) -> None:
        """Take into account what an admitted call was answered with."""
