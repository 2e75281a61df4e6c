"""A request through the loop, and where each of its facts came from."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.workbench.explaining.explained_calls import KEYS, make, request

from modelfence.assembly import anywhere
from modelfence.core.facts import FACTS
from modelfence.dialects.known import DIALECTS
from modelfence.parts import read_parts
from modelfence.settings import Settings
from modelfence.workbench.explaining.as_text import as_text, body_of, colourful
from modelfence.workbench.explaining.desk import Desk, desk_of
from modelfence.workbench.explaining.explanation import Explanation, Origin, Role
from modelfence.workbench.explaining.inquiry import placed
from modelfence.workbench.explaining.judging import explained
from modelfence.workbench.explaining.requests import read_request
from modelfence.workbench.explaining.values import shown

GOLDEN = Path(__file__).parent / "golden"
CHAT = [{"role": "user", "content": "Hi there"}]
IN_EACH_DIALECT = {
    "openai": ("/v1/chat/completions", {"model": "gpt-4o", "messages": CHAT, "max_completion_tokens": 9, "n": 2, "stream": True}),
    "azure": ("/openai/deployments/mine/chat/completions?api-version=2024-10-21", {"messages": CHAT, "max_tokens": 9}),
    "mistral": ("/v1/chat/completions", {"model": "mistral-large", "messages": CHAT, "tools": [{"type": "function"}]}),
    "anthropic": ("/v1/messages", {"model": "claude-sonnet-4-5", "messages": CHAT, "max_tokens": 9, "system": "Be brief"}),
    "cohere": ("/v2/chat", {"model": "command-a", "messages": CHAT, "logprobs": True}),
    "gemini": (
        "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
        {"contents": [{"parts": [{"text": "Hi there"}]}], "generationConfig": {"maxOutputTokens": 9}},
    ),
    "bedrock": (
        "/model/anthropic.claude-3/converse",
        {"messages": [{"role": "user", "content": [{"text": "Hi there"}]}], "inferenceConfig": {"maxTokens": 9}},
    ),
    "ollama": ("/api/chat", {"model": "llama3", "messages": CHAT, "options": {"num_predict": 9}}),
}  # fmt: skip


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Desk:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    settings = Settings(accounts=Path("accounts.yaml"), policy=Path("policies/strict.yaml"))
    return desk_of(settings, read_parts(settings))


async def ask(desk: Desk, said: dict[str, object], **beside) -> Explanation:
    return await explained(placed(read_request(json.dumps(said).encode()), now_us=0, **beside), desk)


def fact(explanation: Explanation, name: str) -> tuple[object, str, str]:
    """Return the value of a fact, and where it came from."""
    found = next(one for one in explanation.facts if one.name == name)
    return found.value, found.source.origin, found.source.words


@pytest.mark.parametrize(
    ("said", "beside"),
    [
        (request(), {}),
        (request("nobody"), {"country": "NO"}),
        (request(client_ip="10.0.0.1", headers={}), {}),
        (request(client_ip=..., body=..., method="GET", path="/v1/models"), {"account": "beta"}),
        (request(body=..., reading={"operation": "chat", "model": "x"}), {}),
    ],
    ids=range(5),
)
async def test_every_fact_has_a_source_and_is_known_where_it_says_so(desk, said, beside):
    explanation = await ask(desk, said, **beside)
    lists = {f"kyc.owned_by.{name}" for name in desk.parts.policy.owned_by}
    assert {one.name for one in explanation.facts} == {one.name for one in FACTS} | lists
    for one in explanation.facts:
        is_stand_in = one.name == "client.ip" and one.source.origin is Origin.NOWHERE
        assert (one.value is None) == (one.source.origin is Origin.NOWHERE) or is_stand_in, one


async def test_sources_name_the_entry_the_database_and_the_field(desk):
    explanation = await ask(desk, request())
    assert fact(explanation, "kyc.tier") == (2, "record", "`tier` of the record `acme`, accounts.yaml:5")
    value, origin, words = fact(explanation, "account.id")
    assert (value, origin) == ("acme", "record")
    assert words.endswith("in the header `authorization`")
    assert KEYS["acme"] not in words
    assert fact(explanation, "kyc.owned_by.embargoed")[:2] == (0.5, "computed")
    assert fact(explanation, "kyc.purpose")[1:] == (
        "nowhere", "the record `acme` does not state `purpose`, accounts.yaml:2",
    )  # fmt: skip
    assert fact(explanation, "client.country")[0] == "US"
    assert "record of 8.8.8.8" in fact(explanation, "client.country")[2]
    assert fact(explanation, "client.tor")[1:] == ("nowhere", "no database under `geo` says it")
    assert fact(explanation, "request.logprobs") == (True, "request", "`logprobs` of the body")
    assert fact(explanation, "request.choices")[2].startswith("what `POST /v1/chat/completions` means")


async def test_a_verification_that_ran_out_is_why_the_tier_is_the_lowest(desk):
    explanation = await ask(desk, request(ts=1_900_000_000))
    assert fact(explanation, "kyc.tier")[2].startswith("the lowest, because the verification ran out on 2027-01-10")


async def test_settings_are_named_where_facts_come_from_them(desk):
    [upstream] = anywhere(("openai",))
    settings = replace(desk.settings, upstreams=(replace(upstream, name="mine", max_output_tokens=7),))
    explanation = await ask(replace(desk, settings=settings), request(body={"model": "gpt-4o", "messages": []}))
    assert fact(explanation, "request.output_tokens")[:2] == (7, "settings")
    assert fact(explanation, "request.provider")[:2] == ("mine", "settings")


async def test_rules_that_matter_most_come_first_and_say_what_they_lacked(desk):
    explanation = await ask(desk, request("nobody"))
    roles = [rule.role for rule in explanation.rules]
    assert roles == sorted(roles, key=list(Role).index)
    [lacking] = [rule for rule in explanation.rules if rule.explained.rule.id == "active-customers"]
    assert lacking.missing == ('kyc.status == "active"', "kyc.tier >= tier.basic")


async def test_each_dialect_says_which_of_its_fields_were_read_and_refuses_in_its_own_words(desk):
    assert set(IN_EACH_DIALECT) == set(DIALECTS)
    lines = []
    for name, (path, body) in IN_EACH_DIALECT.items():
        own = replace(desk, settings=replace(desk.settings, upstreams=anywhere((name,))))
        explanation = await ask(own, request("nobody", path=path, body=body))
        lines += [name, explanation.answer, body_of(explanation.told)]
        lines += [
            f"  {one.name} = {shown(one.value)}: {one.source.words}"
            for one in explanation.facts
            if one.name.startswith("request.")
        ]
    assert "\n".join(lines) + "\n" == (GOLDEN / "dialects.txt").read_text()


async def test_colours_change_no_word(desk):
    explanation = await ask(desk, request())
    coloured = as_text(explanation, paint=colourful)
    assert "\x1b[32mtrue\x1b[0m" in coloured
    bare = coloured
    for code in ("1", "2", "31", "32", "33", "0"):
        bare = bare.replace(f"\x1b[{code}m", "")
    assert bare == as_text(explanation)
