"""What came of each line of a recording, and how it is written."""

import json
from dataclasses import dataclass

from modelfence.core.call import Usage
from modelfence.core.decision import Effect
from modelfence.core.quick import quick
from modelfence.enforcement.ports import Judged
from modelfence.recording.lines import Line

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that says nothing that could be judged."""

    n: int
    error: str

    def as_json(self) -> str:
        """Return its line among the decisions."""
        return json.dumps({"n": self.n, "error": self.error})


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request that the live fence refuses before it judges: malformed, over a limit, or for no upstream."""

    n: int
    line: Line
    message: str
    status: int
    is_late: bool = False
    """It stands in the recording after one with a later time."""

    def as_json(self) -> str:
        """Return its line among the decisions."""
        return json.dumps(
            {
                "n": self.n,
                "ts": self.line.at_us / 1_000_000,
                "effect": Effect.REJECT,
                "rules": (),
                "account": None,
                "extraction": {"score": 0.0, "cohort": "", "signals": ()},
                "unknown": (),
                "retry_after": None,
                "would": None,
                "shadow_rules": (),
            }
        )


@quick
@dataclass(frozen=True, slots=True)
class Decided:
    """A call that was judged; `usage` is what it was charged for, None when it was not let in or nothing was served."""

    n: int
    line: Line
    judged: Judged
    usage: Usage | None = None
    is_late: bool = False
    """It was judged at the time of one before it that has a later time."""

    def as_json(self) -> str:
        """Return its line among the decisions."""
        decision, extraction, account = self.judged.decision, self.judged.extraction, self.judged.account
        return json.dumps(
            {
                "n": self.n,
                "ts": self.line.at_us / 1_000_000,
                "effect": decision.effect,
                "rules": decision.rules,
                "account": account.id if account else None,
                "extraction": {
                    "score": round(extraction.score, _DIGITS),
                    "cohort": extraction.cohort,
                    "signals": extraction.signals,
                },
                "unknown": decision.unknown,
                "retry_after": decision.retry_after,
                "would": decision.would,
                "shadow_rules": decision.shadow_rules,
            }
        )


type Outcome = Broken | Rejected | Decided
