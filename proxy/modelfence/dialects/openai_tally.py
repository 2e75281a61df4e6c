"""Adding up what one answer of OpenAI's API costs: the last report, and an estimate of what came after it."""

from collections.abc import Mapping
from dataclasses import replace

from modelfence.core.call import Usage
from modelfence.dialects.tokens import tokens_in

MAX_TOKENS = 1_000_000_000
"""More than any answer costs: a report beyond it is a fault and is ignored."""
_REPORTS = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))


class Tally:
    """What is known of one answer's cost."""

    def __init__(self) -> None:
        self.tokens = 0
        """Tokens of text that no report covers yet, counted one by one."""
        self.size = 0
        """Bytes of further such text."""
        self.served = False
        """Something of an answer has passed, if only its beginning."""
        self._reported: Usage | None = None

    @property
    def output_tokens(self) -> int:
        reported = self._reported.output_tokens if self._reported else 0
        return reported + self.tokens + tokens_in(self.size)

    def take(self, message: Mapping[str, object]) -> None:
        """Take what a plain answer or an event reports, which covers all text up to here."""
        response = message.get("response")
        if isinstance(response, dict):
            self.served = True
            self._report(response.get("usage"))
            return
        self.served = self.served or not (message.get("error") or message.get("type") == "error")
        self._report(message.get("usage"))

    def usage(self) -> Usage | None:
        """Return the last report and an estimate of what it does not cover; None when nothing was served."""
        unreported = bool(self.tokens or self.size)
        if self._reported is None:
            return Usage(output_tokens=self.output_tokens, estimated=True) if self.served or unreported else None
        return (
            replace(self._reported, output_tokens=self.output_tokens, estimated=True) if unreported else self._reported
        )

    def _report(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        for read, written in _REPORTS:
            input_tokens, output_tokens = _count(usage, read), _count(usage, written)
            if input_tokens is None and output_tokens is None:
                continue
            # A report that does not grow, as some servers send with every piece, covers nothing new.
            before = self._reported.output_tokens if self._reported else 0
            if output_tokens is not None and output_tokens > before:
                self.tokens = self.size = 0
            self._reported = Usage(
                input_tokens=input_tokens or 0,
                output_tokens=max(before, output_tokens or 0),
                cached_tokens=min(input_tokens or 0, _detail(usage, f"{read}_details", "cached_tokens")),
                reasoning_tokens=min(output_tokens or 0, _detail(usage, f"{written}_details", "reasoning_tokens")),
                # Whoever settles puts in what the request was read as: no input is no fact that was reported.
                estimated=input_tokens is None,
            )
            return


def _count(usage: Mapping[str, object], name: str) -> int | None:
    value = usage.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_TOKENS else None


def _detail(usage: Mapping[str, object], name: str, detail: str) -> int:
    details = usage.get(name)
    return (_count(details, detail) or 0) if isinstance(details, dict) else 0
