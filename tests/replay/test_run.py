"""The replay itself, in this process: a recording that keeps no prompts replays like the one that does."""

import json
import random
from dataclasses import replace

import pytest

from modelfence.assembly import anywhere, replaying
from modelfence.core.call import key_digest
from modelfence.core.location import Location
from modelfence.parts import read_parts
from modelfence.recording.lines import END, beginning_of, end_of
from modelfence.replay.outcomes import Broken, Decided, Rejected
from modelfence.replay.requests import TOO_LONG
from modelfence.settings import Settings

TEMPLATE = (
    "You rewrite what you are given so that it becomes a little harder to answer, and say nothing else. Given: {}"
)
WORDS = [
    "red",
    "blue",
    "old",
    "new",
    "large",
    "small",
    "round",
    "tall",
    "house",
    "river",
    "stone",
    "letter",
    "engine",
    "garden",
    "winter",
    "song",
    "bread",
    "glass",
]


@pytest.fixture
def settings(tmp_path):
    account: dict[str, object] = {"status": "active", "tier": "basic", "country": "US"}
    accounts = [account | {"id": f"account-{n}", "keys": [key_digest(f"sk-{n}")]} for n in range(12)]
    (tmp_path / "accounts.yaml").write_text(json.dumps({"accounts": accounts}))
    return Settings(accounts=tmp_path / "accounts.yaml", upstreams=anywhere())


def recording() -> list[bytes]:
    """Twelve accounts, of which nine work through one list with one template."""
    dice = random.Random(3)  # noqa: S311 - a test's dice
    lines = []
    for n in range(600):
        account = dice.randrange(12)
        words = " ".join(dice.choices(WORDS, k=12))
        content = TEMPLATE.format(words) if account < 9 else words
        line = {
            "ts": 1_772_409_600 + 30 * n,
            "client_ip": f"8.8.4.{account}",
            "method": "POST",
            "path": dice.choice(["/v1/chat/completions"] * 9 + ["/v1/elsewhere"]),
            "headers": {"authorization": f"Bearer sk-{account}"},
            "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": content}], "stream": account % 2 == 0},
            "usage": {"input_tokens": 40, "output_tokens": dice.randrange(2_000)},
        }
        lines.append(json.dumps(line).encode())
    return lines


async def outcomes(settings, lines):
    async with replaying(settings, read_parts(settings)) as replay:
        return [outcome async for outcome in replay.outcomes(lines)]


async def test_without_prompts_a_recording_replays_as_with_them(settings):
    whole = await outcomes(settings, recording())
    assert {one.judged.decision.effect for one in whole} == {"allow", "deny", "throttle"}
    for prompts in (True, False):
        written = []
        for one in whole:
            call = replace(one.judged.call, body=one.line.body if prompts else None)
            beginning = beginning_of(call, one.judged.extraction.fingerprint, prompts=prompts)
            written.append(beginning + end_of(one.line.usage, None) + END)
        again = await outcomes(settings, written)
        assert [one.as_json() for one in again] == [one.as_json() for one in whole]


async def test_one_line_does_not_touch_the_next(settings):
    fine, *_ = recording()
    rejected = fine.replace(b'"model": "gpt-4o"', b'"model": 7')
    seen = await outcomes(settings, [None, rejected, b"{", fine])
    too_long, malformed, broken, decided = seen
    assert too_long == Broken(0, TOO_LONG)
    assert isinstance(malformed, Rejected)
    assert "'model'" in malformed.message
    assert isinstance(broken, Broken)
    assert isinstance(decided, Decided)
    assert (decided.n, decided.judged.call.id) == (3, "3")


async def test_every_replay_begins_anew(settings):
    lines = recording()[:100]
    once, again = [await outcomes(settings, lines) for _ in range(2)]
    assert [one.as_json() for one in once] == [one.as_json() for one in again]


async def test_a_late_line_is_judged_at_the_time_of_the_one_before(settings):
    first, second, *_ = recording()
    late, early = await outcomes(settings, [second, first])
    assert (late.is_late, early.is_late) == (False, True)
    assert early.judged.call.at_us == late.judged.call.at_us == late.line.at_us
    assert early.line.at_us < late.line.at_us


async def test_what_an_answer_cost_is_learned_from_those_before(settings):
    known, *_ = recording()
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    line = json.loads(known) | {"body": body}
    unknown = {name: value for name, value in line.items() if name != "usage"}
    lines = [
        unknown,
        line | {"usage": {"output_tokens": 3_000}},
        unknown,
        unknown | {"body": body | {"max_tokens": 50}},
    ]
    seen = await outcomes(settings, [json.dumps(one).encode() for one in lines])
    assert [one.usage.output_tokens for one in seen] == [1_024, 3_000, 3_000, 50]
    assert [one.usage.estimated for one in seen] == [True, False, True, True]


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({}, None, None),
        ({"headers": {"authorization": "Bearer sk-nobody"}}, 401, "invalid_api_key"),
        ({"body": "{"}, 400, "invalid_request_error"),
        ({"path": "/anthropic/v1/messages", "headers": {"x-api-key": "sk-nobody"}}, 401, "authentication_error"),
        ({"path": "//"}, 400, "invalid_request_error"),
    ],
)
async def test_a_caller_that_is_refused_is_told_so_in_the_words_of_its_api(settings, changes, status, said):
    settings = replace(
        settings, upstreams=(anywhere(["openai"])[0], replace(anywhere(["anthropic"])[0], prefix="/anthropic"))
    )
    line = json.loads(recording()[0]) | changes
    async with replaying(settings, read_parts(settings)) as replay:
        [outcome] = [one async for one in replay.outcomes([json.dumps(line).encode()])]
        assert not isinstance(outcome, Broken)
        answer = replay.answer_to(outcome, "decision-7")
    assert (answer and answer.status) == status
    if answer is not None:
        assert said in answer.body.decode()
        assert "decision-7" in answer.body.decode()


async def test_another_may_say_where_callers_are(settings):
    class Nowhere:
        country_built_s = 0

        def locate(self, ip: str) -> Location:
            return Location()

    async with replaying(settings, read_parts(settings), geo=Nowhere()) as replay:
        [outcome] = [one async for one in replay.outcomes(recording()[:1])]
    assert isinstance(outcome, Decided)
    assert outcome.judged.decision.unknown == ("client.country",)
