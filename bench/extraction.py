"""What detection adds to a call, by the length of its prompt: fingerprint, evidence in memory, and score.

Each call has another text around one of twenty templates, of 50,000 words that are as frequent as those of a language
(Zipf's law), and comes from one of a thousand accounts; so the tables are as full as in service. The columns are the
whole of `Detection.look`, and within it the fingerprint alone.

Run: python -m bench.extraction [--calls 2000]
"""

import argparse
import asyncio
import statistics
import time
from itertools import accumulate
from random import Random

from modelfence.adapters.memory.evidence import MemoryEvidence
from modelfence.core.call import Call, Credential, Reading
from modelfence.core.extraction import Caller, Prompt
from modelfence.extraction.common_phrases import common_phrases
from modelfence.extraction.detection import Detection
from modelfence.extraction.fingerprint import Fingerprints

CHARACTERS = (100, 1_000, 10_000, 100_000)
AIMS_US = {1_000: 300, 100_000: 1_000}
WORDS, TEMPLATES, TEMPLATE_WORDS, ACCOUNTS = 50_000, 20, 40, 1_000
AT_US = 1_780_000_000_000_000


class Prompts:
    """Prompts of a length, made up by chance: the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - it makes up texts, no secrets
        self._words = [
            "".join(self._random.choices("etaoinshrdlu", k=self._random.randint(2, 9))) for _ in range(WORDS)
        ]
        self._frequencies = list(accumulate(1 / rank for rank in range(1, WORDS + 1)))
        self._templates = [" ".join(self._random.choices(self._words, k=TEMPLATE_WORDS)) for _ in range(TEMPLATES)]

    def of(self, characters: int) -> Prompt:
        words = " ".join(self._random.choices(self._words, cum_weights=self._frequencies, k=characters // 5))
        return Prompt(user=(f"{self._random.choice(self._templates)} {words}"[:characters],))


async def measure(characters: int, calls: int) -> None:
    prompts, fingerprints = Prompts(1), Fingerprints(common=common_phrases())
    detection = Detection(MemoryEvidence(), fingerprints)
    whole: list[float] = []
    alone: list[float] = []
    for number in range(calls):
        prompt = prompts.of(characters)
        started = time.perf_counter()
        fingerprints.of(prompt)
        alone.append(time.perf_counter() - started)
        call = Call(
            str(number), AT_US + number * 100_000, "8.8.8.8", Credential.of("sk"), "openai", "POST",
            "/v1/chat/completions", characters, Reading("chat", "gpt-4o", prompt=prompts.of(characters)),
        )  # fmt: skip
        started = time.perf_counter()
        await detection.look(call, Caller(f"account-{number % ACCOUNTS}", "basic", is_verified=False, country="US"))
        whole.append(time.perf_counter() - started)
    quantiles = [statistics.quantiles(measured, n=100) for measured in (whole, alone)]
    (p50, p99), (alone50, _) = ((one[49] * 1e6, one[98] * 1e6) for one in quantiles)
    aim = f"{AIMS_US[characters]:>8}" if characters in AIMS_US else " " * 8
    print(f"{characters:>10,}{p50:>10.0f}{p99:>10.0f}{alone50:>14.0f}{aim}")


def main() -> None:
    parser = argparse.ArgumentParser(description="what detection adds to a call")
    parser.add_argument("--calls", type=int, default=2_000)
    options = parser.parse_args()
    print(f"{'characters':>10}{'p50 µs':>10}{'p99 µs':>10}{'fingerprint':>14}{'aim':>8}")
    for characters in CHARACTERS:
        asyncio.run(measure(characters, options.calls))


if __name__ == "__main__":
    main()
