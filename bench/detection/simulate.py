"""A campaign simulator: from a scenario and prompts to a labelled recording and the accounts file that goes with it.

Run: python -m bench.detection.simulate OUT [SCENARIO] [PROMPTS]

The same scenario and prompts give the same bytes. Each account has a source of randomness of its own, so that a change
to one class leaves the others as they were. The recording is written in the first of the forms that
`modelfence.recording.lines` reads; README.md describes it, and the scenario.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from bench.detection.prompts import OWN as OWN_PROMPTS
from bench.detection.prompts import Prompts, read_prompts
from bench.detection.scenario import OWN as OWN_SCENARIO
from bench.detection.scenario import CallerClass, Frame, Scenario, read_scenario

# The first half of addresses that the bundled database places in these countries.
NETWORKS = {"US": "12.50", "GB": "81.128", "DE": "87.128", "JP": "126.10", "BR": "177.8", "IN": "49.32"}
BURST_GAP_S = 2.0
SPREAD = 0.8
"""Of the logarithm of an answer's length: half are between 0.6 and 1.7 times as long as the middle one."""
LONGEST = 4_000
MOST_TURNS = 6
_CHARACTERS_A_TOKEN = 4
_TRIES = 50

type Messages = list[dict[str, str]]
type Json = dict[str, Any]


def simulate(scenario: Scenario, prompts: Prompts) -> tuple[Sequence[Json], Sequence[Json]]:
    """Return the lines of the recording, in order of time, and the accounts."""
    lines: list[Json] = []
    accounts: list[Json] = []
    for kind in scenario.classes:
        asking = _Asking(kind, prompts, scenario.seed)
        for number in range(kind.accounts):
            caller = _Caller(kind, prompts, asking, number)
            accounts.append(caller.account)
            lines.extend(caller.calls(scenario))
    lines.sort(key=lambda line: (line["ts"], line["headers"]["authorization"]))
    return lines, accounts


def write(scenario: Scenario, prompts: Prompts, folder: Path) -> None:
    """Write `recording.jsonl` and `accounts.yaml` into a folder."""
    lines, accounts = simulate(scenario, prompts)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "recording.jsonl").open("w", encoding="utf8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    # JSON is YAML, too.
    with (folder / "accounts.yaml").open("w", encoding="utf8") as file:
        file.write("accounts:\n")
        file.writelines(f"  - {json.dumps(account)}\n" for account in accounts)


@dataclass(slots=True)
class _Asking:
    """What the accounts of a class ask, together: a campaign's work is divided, so it asks nothing twice."""

    kind: CallerClass
    prompts: Prompts
    seed: int
    asked: set[str] = field(default_factory=set)

    def next(self, random: Random) -> str:
        """Return what is asked now."""
        if self.kind.distinct:
            number = random.randrange(self.kind.distinct)
            return self.prompts.one_of(self.kind.asks, self.randomness(f"item/{number}"))
        for _ in range(_TRIES):
            text = self.prompts.one_of(self.kind.asks, random)
            if not self.kind.is_attack or text not in self.asked:
                self.asked.add(text)
                return text
        raise ValueError(f"{self.kind.asks} has too few texts for {self.kind.label}")

    def framed(self, frame: Frame, number: int, random: Random) -> str:
        """Return the text of a frame for a call of the account with that number."""
        texts = self.prompts.texts[frame.of]
        texts = texts[: frame.variants or len(texts)]
        match frame.per:
            case "class":
                chosen, filling = self.prompts.named(frame.of, frame.name).text, self.randomness(frame.of)
            case "account":
                chosen, filling = texts[number % len(texts)].text, self.randomness(f"{frame.of}/{number}")
            case "call":
                chosen = random.choice(texts).text
                filling = self.randomness(chosen)
            case "time":
                return " ".join(self.prompts.one_of(frame.of, random) for _ in range(frame.times))
        return " ".join(self.prompts.filled(chosen, filling) for _ in range(frame.times))

    def randomness(self, what: str) -> Random:
        """Return a source that gives the same for the same thing of this class."""
        return Random(f"{self.seed}/{self.kind.label}/{what}")  # noqa: S311 - of the repeatable kind


class _Talk:
    """What one account says: a question at a time, or on in the conversation that it is in."""

    def __init__(self, asking: _Asking, number: int, random: Random) -> None:
        self._asking, self._number, self._random = asking, number, random
        self._said: Messages = []
        self._system = ""

    def next(self) -> Messages:
        """Return the messages of the next call."""
        kind, random = self._asking.kind, self._random
        if not self._said or len(self._said) > 2 * MOST_TURNS or random.random() >= kind.continues:
            self._system = "\n\n".join(self._frames("system"))
            self._said = []
            for _ in range(random.randint(*kind.made_up_turns)):
                self._say("user", self._asking.prompts.one_of("chat", random))
                self._reply()
        else:
            self._reply()
        asked = self._asking.next(random)
        for message in (*self._frames("first"), self._framed(asked), *self._frames("last")):
            self._say("user", message)
        return [{"role": "system", "content": self._system}, *self._said] if self._system else list(self._said)

    def _framed(self, asked: str) -> str:
        return "\n\n".join((*self._frames("before"), asked, *self._frames("after")))

    def _reply(self) -> None:
        self._say("assistant", self._asking.prompts.one_of("replies", self._random))

    def _say(self, role: str, content: str) -> None:
        self._said.append({"role": role, "content": content})

    def _frames(self, place: str) -> list[str]:
        frames = (frame for frame in self._asking.kind.frames if frame.place == place)
        return [self._asking.framed(frame, self._number, self._random) for frame in frames]


class _Caller:
    """One account: its record, and its calls."""

    def __init__(self, kind: CallerClass, prompts: Prompts, asking: _Asking, number: int) -> None:
        random = asking.randomness(f"account/{number}")
        self._kind, self._random = kind, random
        digest = sha256(f"{asking.seed}/{kind.label}/{number}".encode()).hexdigest()
        self._key = f"sk-{digest[:40]}"
        self._country = random.choice(sorted(NETWORKS))
        self._addresses = [
            f"{NETWORKS[self._country]}.{random.randint(1, 250)}.{random.randint(1, 250)}"
            for _ in range(kind.addresses)
        ]
        self._talk = _Talk(asking, number, random)
        self._small_talk: _Talk | None = None
        if kind.mix:
            label, asks, continues = f"{kind.label}/mix", kind.mix.asks, kind.mix.continues
            other = CallerClass(label, kind.accounts, kind.calls, asks, continues=continues)
            self._small_talk = _Talk(
                _Asking(replace(other, label=f"benign:{label}"), prompts, asking.seed), number, random
            )
        self.account: Json = {
            "id": f"acct-{digest[40:52]}",
            "keys": [f"sha256:{sha256(self._key.encode()).hexdigest()}"],
            "status": "active",
            "tier": kind.tier,
            "country": self._country,
            "screening": "clear",
        }
        if kind.tier in ("verified", "enhanced"):
            self.account["owners"] = [{"country": self._country, "share": 1.0}]

    def calls(self, scenario: Scenario) -> Iterator[Json]:
        """Yield its calls, as lines of a recording."""
        for offset_s in arrivals(self._kind, scenario.hours, self._random):
            messages = self._messages()
            size = sum(len(message["content"]) for message in messages)
            answer = self._random.lognormvariate(math.log(self._kind.answer), SPREAD)
            yield {
                "ts": round(scenario.start.timestamp() + offset_s, 3),
                "client_ip": self._random.choice(self._addresses),
                "method": "POST",
                "path": "/v1/chat/completions",
                "headers": {"authorization": f"Bearer {self._key}"},
                "body": {"model": self._kind.model, "messages": messages, **(self._kind.body or {})},
                "usage": {
                    "input_tokens": math.ceil(size / _CHARACTERS_A_TOKEN),
                    "output_tokens": 1 + min(LONGEST, round(answer)),
                },
                "label": self._kind.label,
            }

    def _messages(self) -> Messages:
        mix = self._kind.mix
        if mix and self._small_talk and self._random.random() < mix.share:
            return self._small_talk.next()
        return self._talk.next()


def arrivals(kind: CallerClass, hours: int, random: Random) -> list[float]:
    """Return when an account calls, in seconds from the start, in order."""
    calls, first_s = _number_of_calls(kind.calls, random), kind.begins * 3_600
    span_s = hours * 3_600 - first_s
    match kind.arrival:
        case "even":
            return [first_s + (number + random.random()) * span_s / calls for number in range(calls)]
        case "burst":
            gap_s = min(BURST_GAP_S, span_s / (2 * calls))
            start_s = first_s + random.random() * span_s / 2
            return [start_s + (number + random.random() / 2) * gap_s for number in range(calls)]
        case "person":
            noon_s = random.random() * 86_400
            return sorted(_waking(first_s, span_s, noon_s, random) for _ in range(calls))


def _waking(first_s: float, span_s: float, noon_s: float, random: Random) -> float:
    """Return a moment in somebody's day, most likely at their noon and never at their midnight."""
    while True:
        at_s = first_s + random.random() * span_s
        if random.random() < (1 + math.cos((at_s - noon_s) / 86_400 * 2 * math.pi)) / 2:
            return at_s


def _number_of_calls(calls: int | Sequence[int], random: Random) -> int:
    """Return a number between two, small ones more often than large ones: as likely in each doubling."""
    if isinstance(calls, int):
        return calls
    fewest, most = calls
    return round(math.exp(random.uniform(math.log(fewest), math.log(most))))


def main(out: str, scenario: str = str(OWN_SCENARIO), prompts: str = str(OWN_PROMPTS)) -> None:
    write(read_scenario(Path(scenario)), read_prompts(Path(prompts)), Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
