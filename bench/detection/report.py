"""The page about detection, from scores: docs/detection.md. What it says in words stands here, its figures do not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.detection.scoring import (
    MOST_HIT,
    MOST_REFUSED,
    ClassScore,
    Moment,
    Scores,
    bar_of,
    is_held,
    worst_benign,
)

_SPEAKERS = 4
_SPEAKS = 0.005


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change to the weights or the policy makes of a recording."""

    name: str
    scores: Scores


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the page shows."""

    date: str
    policy: str
    given: Scores | None
    """Of the recording that was given; None when there was none."""
    own: Sequence[Scores]
    """Of the project's own scenario, one for each seed."""
    ablations: Sequence[Changed]
    sensitivity: Sequence[Changed]

    @property
    def main(self) -> Scores:
        """Return the scores that are shown first, and that were tried under changes."""
        return self.given or self.own[0]


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is not caught: why, and what an operator can do."""

    label: str
    """The class of the own scenario that measures it."""
    what: str
    why: str
    todo: str


GAPS = (
    Gap(
        "evades-no-template",
        "prompts without a template, over many accounts",
        "nothing is shared that could be seen; each account looks like a person with long questions",
        "limits for each account, and asking who the customer is: what an account may take before it is verified is "
        "the price of such a campaign; watch how many accounts are opened",
    ),
    Gap(
        "evades-short-template",
        "a template of a few words",
        "of five words that stay the same there is one shingle, and three are asked for; in long prompts, of which a "
        "part is looked at, it takes about a dozen words",
        "the same; a budget for output weighs more than one for requests",
    ),
    Gap(
        "evades-by-repeating",
        "every prompt asked several times, by different accounts",
        "repetition speaks for people, who ask the same; it costs the campaign as many times the tokens",
        "look at cohorts that are large and new, whatever their score: `extraction.cohort_accounts` in a rule of your "
        "own",
    ),
    Gap(
        "evades-in-conversation",
        "made-up conversations, each different, below a template in the system prompt",
        "a conversation below a scaffold is how agents look, and it is counted in favour",
        "verify accounts of agents; a budget for input tokens makes long made-up histories dear",
    ),
    Gap(
        "evades-by-paraphrase",
        "a template that is worded anew for each call",
        "shingles are of words, not of meaning",
        "as for prompts without a template; who pays a model to paraphrase pays twice",
    ),
    Gap(
        "evades-in-the-middle",
        "a template behind more than 1,000 characters of changing text, and before as many",
        "only both ends of a text are looked at, so that its cost has a bound",
        "a budget for input tokens, which the padding uses up",
    ),
    Gap(
        "evades-by-noise",
        "a needless word after every few of the template, another each time",
        "no five words in a row stay the same; a model reads past it",
        "as for prompts without a template",
    ),
    Gap(
        "evades-with-a-decoy",
        "a campaign of few accounts, and one more that asks one thing a thousand times, for a token of answer",
        "repetition speaks for people; of no account more than twice as much is heard as of the others, so it takes "
        "one in forty of the accounts, and a campaign of a thousand gains nothing by one",
        "suspend the account that repeats itself; a rule of your own for `extraction.cohort_accounts`",
    ),
)


def page(found: Findings) -> str:
    """Return the page."""
    parts = [_head(found)]
    if found.given is not None:
        parts.append(_section("The composed day", _GIVEN, found.given))
    parts.append(_section("The project's own scenario", _OWN, found.own[0]))
    parts += [_seeds(found.own), _gaps(found.own[0]), _changes(found), _END]
    return "\n".join(parts)


def _head(found: Findings) -> str:
    scores = found.main
    attacks = sum(one.is_attack for one in scores.values())
    accounts, calls = sum(one.accounts for one in scores.values()), sum(one.calls for one in scores.values())
    size = (
        f"{attacks} campaigns among {len(scores) - attacks} benign classes, {accounts:,} accounts, {calls:,} requests"
    )
    source = "TRAFFIC=DIR of a composed day" if found.given is not None else "the project's own scenario"
    command = "make detection TRAFFIC=DIR" if found.given is not None else "make detection"
    return f"""# How well extraction is detected

For those who answer for trust and safety. It says what the shipped policy does to campaigns that copy a model, what it
does to everybody else, and what it does not see. Written by `{command}`; not to be edited.

| | |
| --- | --- |
| measured | {found.date} |
| policy | policies/default.yaml as shipped, hash `{found.policy}` |
| on | {source}: {size} |

**How to read it.** A campaign *leaks* the share of its output tokens that the policy let through: lower is better. A
benign class is judged by the share of its calls that was *refused*, and of its accounts that were *hit* by any refusal.
The worst benign class counts, never the average.

**What it is worth.** Prompts, accounts and times were put together by a program: no public recording holds all three.
So the figures are evidence that the mechanism works as meant, no forecast for your customers. Run the policy with
`mode: shadow` on your own traffic, and replay your own recordings, before you trust it.

Nothing that only watches can prevent extraction. The aim is that it becomes slow and dear, and is seen."""


_GIVEN = "A folder with `recording.jsonl` and `accounts.yaml`, whose labels say which class each request is of."
_OWN = (
    "Simulated by `bench/detection`, from prompts of the project's own making. Classes called `hard` and `evades` are\n"
    "there to show where it ends; see below."
)


def _section(title: str, what: str, scores: Scores) -> str:
    return "\n".join([f"\n## {title}\n", what, "", *_bars(scores), "", *_classes(scores), "", *_seen(scores)])


def _bars(scores: Scores) -> Iterator[str]:
    yield "| held to | it is | |"
    yield "| --- | --- | --- |"
    for one in scores.values():
        bar = bar_of(one.label) if one.is_attack else None
        if bar is not None:
            reached = f"call {one.furthest}" if bar.most > 1 else f"{one.leaked:.1%}"
            yield f"| `{one.label}`: {bar.says} | {reached} | {_verdict(one)} |"
    for one in scores.values():
        if not one.is_attack:
            limits = f"at most {MOST_REFUSED:.0%} of calls refused, {MOST_HIT:.0%} of accounts hit"
            yield f"| `{one.label}`: {limits} | {one.refused_share:.2%}, {one.accounts_hit:.1%} | {_verdict(one)} |"


def _verdict(one: ClassScore) -> str:
    return "pass" if is_held(one) else "**FAIL**"


def _classes(scores: Scores) -> Iterator[str]:
    yield "| class | accounts | calls | refused | accounts hit | output tokens | leaked | what spoke, on average |"
    yield "| --- | --: | --: | --: | --: | --: | --: | --- |"
    for one in scores.values():
        leaked = f"{one.leaked:.1%}" if one.is_attack else ""
        yield (
            f"| `{one.label}` | {one.accounts:,} | {one.calls:,} | {one.refused_share:.2%} | {one.accounts_hit:.1%} "
            f"| {one.tokens:,} | {leaked} | {_spoke(one)} |"
        )


def _spoke(one: ClassScore) -> str:
    means = [(name, value / one.calls) for name, value in one.spoke.items()]
    loud = sorted((mean for mean in means if abs(mean[1]) >= _SPEAKS), key=lambda mean: (-abs(mean[1]), mean[0]))
    return ", ".join(f"{name} {value:+.2f}" for name, value in loud[:_SPEAKERS])


def _seen(scores: Scores) -> Iterator[str]:
    yield "How long each campaign went unseen, from its first call on:"
    yield ""
    yield "| campaign | leaked | cohort first suspected after | first refusal after |"
    yield "| --- | --: | --- | --- |"
    for one in scores.values():
        if one.is_attack:
            suspected, refused = _moment(one.suspected_first), _moment(one.refused_first)
            yield f"| `{one.label}` | {one.leaked_tokens:,} tokens | {suspected} | {refused} |"


def _moment(moment: Moment | None) -> str:
    if moment is None:
        return "never"
    return f"{moment.calls:,} calls, {moment.tokens:,} tokens, {moment.hours:.1f} h"


def _seeds(own: Sequence[Scores]) -> str:
    labels = [label for label in own[0] if label.startswith("attack:")]
    benign = [label for label in own[0] if not label.startswith("attack:")]
    lines = [
        "\n## The same with other seeds\n",
        f"The own scenario, simulated {len(own)} times. Least and most of each class:",
        "",
        "| campaign | leaked | | benign class | refused | accounts hit |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for n in range(max(len(labels), len(benign))):
        attack = f"`{labels[n]}` | {_range(own, labels[n], 'leaked')}" if n < len(labels) else " | "
        other = " | | "
        if n < len(benign):
            refused, hit = _range(own, benign[n], "refused_share"), _range(own, benign[n], "accounts_hit")
            other = f"`{benign[n]}` | {refused} | {hit}"
        lines.append(f"| {attack} | | {other} |")
    return "\n".join(lines)


def _range(own: Sequence[Scores], label: str, figure: str) -> str:
    values = [float(getattr(scores[label], figure)) for scores in own]
    return f"{min(values):.1%} to {max(values):.1%}"


def _gaps(own: Scores) -> str:
    lines = [
        "\n## What is not caught, and what to do about it\n",
        "Measured on the own scenario. A share far below 100 % is no promise: who knows the trick can do it better.",
        "",
        "| trick | leaked | why | what an operator can do |",
        "| --- | --: | --- | --- |",
    ]
    for gap in GAPS:
        one = own.get(f"attack:{gap.label}")
        if one is not None:
            lines.append(f"| {gap.what} | {one.leaked:.0%} | {gap.why} | {gap.todo} |")
    return "\n".join([*lines, _BENIGN_GAPS])


_BENIGN_GAPS = """
And what is caught and should not be:

* **A group that shares a prompt, asks nothing twice and writes it into the user's message**: pupils with their
  teacher's prompt (`benign:hard-class-of-pupils`), tenants of a framework that nobody knows
  (`benign:hard-nothing-twice`), all who translate with one wording (`benign:hard-translations`). In form they are a
  campaign. Find the cohort, see who they are, and exempt the template by its fingerprint (`extraction: {exempt: […]}`),
  or verify the accounts. What popular frameworks ship is left out of
  fingerprints from the start.
* **Completions in an editor** (`benign:hard-completions`): a scaffold in the system prompt, answers longer than in
  conversation, never two alike, and no conversation that would speak for them. Exempt the editor's template.
* **A prompt that all pass on** and fill with something of their own (`benign:hard-passed-on`). Those calls are charged;
  the other calls of who tried it once are not.
* **The first half hour.** With few calls nobody knows yet whether people repeat themselves, or how uneven they are. A
  framework that has just arrived can lose a call or two."""


def _changes(found: Findings) -> str:
    campaigns = [label for label, one in found.main.items() if one.is_attack and bar_of(label) is not None]
    shipped = [Changed("as shipped", found.main)]
    return "\n".join(
        [
            "\n## What each signal is good for\n",
            "Each row leaves out one signal, or all of one kind. A row that looks like the first says that the others",
            "would do without it on this day: it does not say that they would on another.",
            "",
            *_table([*shipped, *found.ablations], campaigns),
            "\n## How much the thresholds matter\n",
            "Thresholds and weights were set for reasons, which `extraction/weights.py` gives, and then adjusted by",
            "hand on this day and on made-up ones; no search was made. The rows show how much room there is to either",
            "side. A lower threshold, or heavier weights, can look better on a day whose benign classes stay far below",
            "it; groups that share a prompt, as the hard classes above, pay for it.",
            "",
            *_table([*shipped, *found.sensitivity], campaigns),
        ]
    )


def _table(rows: Iterable[Changed], campaigns: Sequence[str]) -> Iterator[str]:
    names = " | ".join(campaign.removeprefix("attack:") for campaign in campaigns)
    yield f"| | {names} | worst benign class | refused | accounts hit |"
    yield f"| --- |{' --: |' * len(campaigns)} --- | --: | --: |"
    for row in rows:
        leaked = " | ".join(f"{row.scores[campaign].leaked:.1%}" for campaign in campaigns)
        worst = worst_benign(row.scores)
        benign = "| |" if worst is None else _worst(worst)
        yield f"| {row.name} | {leaked} | {benign} |"


def _worst(one: ClassScore) -> str:
    if not one.refused:
        return "none is refused | 0.00% | 0.0%"
    return f"`{one.label}` | {one.refused_share:.2%} | {one.accounts_hit:.1%}"


_END = """
## Repeat it

```sh
make detection                  # the project's own scenario; a few minutes
make detection TRAFFIC=DIR      # besides, a folder with recording.jsonl and accounts.yaml
```

`bench/detection/README.md` says what the files hold, how to write a scenario, and how labels say what a campaign is
held to. The same input gives the same figures."""


def failures(scores: Mapping[str, ClassScore]) -> list[str]:
    """Return the labels of the classes that are not held."""
    return [label for label, one in scores.items() if not is_held(one)]
