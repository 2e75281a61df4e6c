"""What realtime sessions are read as, message by message."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Usage
from modelfence.core.decision import Effect
from modelfence.core.dialect import MalformedRequestError, Refusal, Request
from modelfence.core.realtime import RealtimeDialect, Session
from modelfence.dialects.gemini.realtime import GeminiRealtime
from modelfence.dialects.openai.realtime import OpenAIRealtime
from modelfence.dialects.openai.realtime_settings import MOST_UPDATES

LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
HANDSHAKES = {
    "openai": Request("GET", "/v1/realtime", (), query="model=gpt-realtime"),
    "gemini": Request("GET", LIVE, (), query="key=sk-1"),
}
DIALECTS: dict[str, RealtimeDialect] = {"openai": OpenAIRealtime(), "gemini": GeminiRealtime()}
NAMES = [
    "type", "session", "response", "item", "content", "text", "audio", "model", "instructions", "tools", "input",
    "max_output_tokens", "role", "setup", "clientContent", "realtimeInput", "toolResponse", "turns", "turnComplete",
    "generationConfig", "maxOutputTokens", "thinkingConfig", "thinkingBudget", "systemInstruction", "parts",
    "serverContent", "modelTurn", "usageMetadata", "id", "usage", "response_id", "delta", "inlineData", "data",
    "toolCall", "functionCalls",
]  # fmt: skip
KINDS = [
    "session.update", "session.updated", "response.create", "conversation.item.create", "response.done",
    "response.created",
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**17) | st.text(max_size=9) | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


def session(name: str) -> Session:
    opened = DIALECTS[name].session(HANDSHAKES[name])
    assert opened is not None
    return opened


def live(**config) -> Session:
    """Return a Gemini session that has been set up."""
    opened = session("gemini")
    opened.from_client(json.dumps({"setup": {"model": "models/m-1", "generationConfig": config}}))
    return opened


@pytest.mark.parametrize("name", DIALECTS)
@given(messages=st.lists(VALUES, max_size=4))
def test_any_message_is_read_or_refused_as_malformed(name, messages):
    opened = session(name)
    for message in messages:
        text = json.dumps(message)
        try:
            asked = opened.from_client(text)
        except MalformedRequestError:
            asked = None
        if asked is not None:
            assert asked.reading.operation == "realtime"
            assert asked.reading.model != ""
        said = opened.from_upstream(text)
        assert said.tokens >= 0
        assert opened.unasked().input_tokens >= 0


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.binary() | st.text())
def test_nothing_that_an_upstream_sends_raises(name, data):
    assert session(name).from_upstream(data).tokens >= 0


def test_a_refusal_is_openais_error_with_the_rules_words():
    told = session("openai").refuse(Refusal(Effect.DENY, 403, "Not for you.", "0123", help_url="https://example.com"))
    error = json.loads(told)["error"]
    assert error["message"] == "Not for you. See https://example.com for help. (request id 0123)"
    assert (json.loads(told)["type"], error["code"]) == ("error", "request_forbidden")


def test_google_says_why_only_when_it_closes():
    assert session("gemini").refuse(Refusal(Effect.THROTTLE, 429, "Slow down.", "0123")) == ""


@pytest.mark.parametrize(
    "message",
    [
        {"client_content": {"turn_complete": True}},
        {"clientContent": {"turnComplete": True}},
        {"client_content": {"turnComplete": True}},
    ],
)
def test_both_spellings_ask_for_a_turn(message):
    asked = live().from_client(json.dumps(message))
    assert asked is not None
    assert asked.is_answered


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/realtime"), ("GET", "/v1/realtime/"), ("GET", "/V1/realtime"), ("GET", LIVE + "Constrained")],
)
def test_other_paths_have_no_websocket(method, path):
    request = Request(method, path, (), query="model=m")
    assert [dialect.session(request) for dialect in DIALECTS.values()] == [None, None]


@pytest.mark.parametrize(
    ("session_limit", "response", "limit"),
    [
        (None, {}, None),
        (None, {"max_output_tokens": 50}, 50),
        (100, {}, 100),
        (100, {"max_output_tokens": 50}, 50),
        (100, {"max_output_tokens": "inf"}, None),
        (None, {"max_output_tokens": 50, "max_response_output_tokens": 70}, 70),
        (None, {"max_output_tokens": 50, "max_response_output_tokens": "inf"}, None),
    ],
)
def test_an_answer_is_limited_by_what_the_api_would_read(session_limit, response, limit):
    opened = session("openai")
    if session_limit is not None:
        update(opened, max_output_tokens=session_limit)
        updated(opened, max_output_tokens=session_limit)
    asked = opened.from_client(json.dumps({"type": "response.create", "response": response}))
    assert asked is not None
    assert (asked.is_answered, asked.reading.output_tokens) == (True, limit)


def update(opened: Session, **settings) -> None:
    """Have the client ask for settings."""
    opened.from_client(json.dumps({"type": "session.update", "session": settings}))


def updated(opened: Session, **settings) -> None:
    """Have the API say what it has set."""
    opened.from_upstream(json.dumps({"type": "session.updated", "session": settings}))


def test_a_limit_holds_once_the_api_says_so_and_a_higher_one_at_once():
    opened = session("openai")
    update(opened, max_output_tokens=100, voice="no such voice")
    opened.from_upstream(json.dumps({"type": "error", "error": {"message": "Invalid value: 'no such voice'."}}))
    assert opened.unasked().output_tokens is None
    update(opened, max_output_tokens=100)
    updated(opened, max_output_tokens=100)
    assert opened.unasked().output_tokens == 100
    update(opened, max_output_tokens=200)
    assert opened.unasked().output_tokens == 200
    updated(opened, max_output_tokens="inf")
    assert opened.unasked().output_tokens is None


def test_tools_are_offered_until_the_api_says_that_they_are_not():
    opened = session("openai")
    update(opened, tools=[{}])
    updated(opened, tools=[{}])
    update(opened, tools=[])
    assert opened.unasked().tools == 1
    updated(opened, tools=[])
    assert opened.unasked().tools == 0


@pytest.mark.parametrize(
    ("told", "model"),
    [
        ({"model": "m-1"}, "m-1"),
        ({"model": "m-1-2025-08-28"}, "m-1"),
        ({"model": "cheap"}, "cheap"),
        ({"model": "cheaper"}, None),
        ({}, None),
    ],
)
def test_which_model_answers_is_for_the_api_to_say(told, model):
    opened = session("openai")
    name = opened.unasked().model
    told = {field: value.replace("m-1", name) for field, value in told.items()}
    update(opened, model="cheap")
    assert opened.unasked().model is None
    updated(opened, **told)
    assert opened.unasked().model == (model and model.replace("m-1", name))


def test_updates_that_are_not_answered_end_the_session_some_time():
    opened = session("openai")
    for _ in range(MOST_UPDATES):
        update(opened, voice="no such voice")
    with pytest.raises(MalformedRequestError, match="not answered"):
        update(opened, voice="no such voice")


def test_what_was_said_is_input_and_known_to_detection():
    opened = session("openai")
    opened.from_client(json.dumps({"type": "session.update", "session": {"instructions": "be brief", "tools": [{}]}}))
    item = {"role": "user", "content": [{"type": "input_text", "text": "what is a monad"}]}
    opened.from_client(json.dumps({"type": "conversation.item.create", "item": item}))
    reading = opened.unasked()
    assert (tuple(reading.prompt.system), tuple(reading.prompt.user)) == (("be brief",), ("what is a monad",))
    assert reading.input_tokens > 10
    assert reading.tools == 1


def test_a_live_session_is_judged_by_its_setup():
    opened = session("gemini")
    assert opened.opening().model == ""
    asked = opened.from_client(
        json.dumps(
            {
                "setup": {
                    "model": "models/m-1",
                    "generationConfig": {"maxOutputTokens": 100, "thinkingConfig": {"thinkingBudget": 50}},
                    "systemInstruction": {"parts": [{"text": "be brief"}]},
                }
            }
        )
    )
    assert asked is not None
    assert (asked.reading.model, asked.reading.output_tokens, asked.is_answered) == ("m-1", 0, False)
    turn = {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "hi"}]}], "turnComplete": True}}
    answer = opened.from_client(json.dumps(turn).encode())
    assert answer is not None
    assert (answer.reading.output_tokens, answer.reading.reasoning, answer.is_answered) == (150, True, True)
    assert (tuple(answer.reading.prompt.system), tuple(answer.reading.prompt.user)) == (("be brief",), ("hi",))


@pytest.mark.parametrize(
    "message",
    [
        {"clientContent": {"turnComplete": True}},
        {"setup": {}},
        {"Setup": {"model": "m"}},
        {"setup": {"model": "m"}, "clientContent": {}},
        {"setup": {"model": "m", "generation_config": {}, "generationConfig": {}}},
        {"setup": {"model": "m", "GenerationConfig": {}}},
        {"setup": {"model": "m", "generationConfig": {"max_output_tokens": 9, "maxOutputTokens": 8}}},
        {"setup": {"model": "m", "generationConfig": {"maxOutputTokens": "9"}}},
        {"setup": {"model": "m", "Model": "n"}},
        {"other": 1},
        [],
    ],
)
def test_what_google_could_read_otherwise_is_refused(message):
    with pytest.raises(MalformedRequestError):
        session("gemini").from_client(json.dumps(message))


def test_a_turn_is_counted_and_costs_what_is_reported():
    opened = live()
    part = {"parts": [{"text": "well"}, {"inlineData": {"mimeType": "audio/pcm", "data": "A" * 5_120}}]}
    begun = opened.from_upstream(json.dumps({"serverContent": {"modelTurn": part}}))
    assert (begun.begins, begun.answer, begun.tokens) == (True, "turn 1", 11)
    again = opened.from_upstream(json.dumps({"serverContent": {"modelTurn": part}}).encode())
    assert (again.begins, again.answer) == (False, "turn 1")
    usage = {"promptTokenCount": 30, "responseTokenCount": 20, "thoughtsTokenCount": 5, "cachedContentTokenCount": 10}
    opened.from_upstream(json.dumps({"usageMetadata": usage}))
    ended = opened.from_upstream(json.dumps({"serverContent": {"turnComplete": True}}))
    assert ended.usage == Usage(30, 25, cached_tokens=10, reasoning_tokens=5)
    assert opened.from_upstream(json.dumps({"serverContent": {"turnComplete": True}})).answer == ""
    assert opened.from_upstream(json.dumps({"serverContent": {"modelTurn": part}})).answer == "turn 2"


def test_a_turn_that_only_calls_tools_is_one_and_is_counted():
    opened = live()
    call = {"functionCalls": [{"id": "1", "name": "save", "args": {"text": "all that was asked for " * 10}}]}
    called = opened.from_upstream(json.dumps({"toolCall": call, "usageMetadata": {"responseTokenCount": 70}}))
    assert (called.begins, called.answer) == (True, "turn 1")
    assert called.tokens > 50
    assert called.usage is not None
    assert called.usage.output_tokens == 70
    unreported = opened.from_upstream(json.dumps({"toolCall": call}))
    assert (unreported.begins, unreported.answer) == (True, "turn 2")
    assert unreported.usage == Usage(estimated=True)


def test_tools_that_are_called_amid_a_turn_end_it():
    opened = live()
    opened.from_upstream(json.dumps({"serverContent": {"modelTurn": {"parts": [{"text": "well"}]}}}))
    called = opened.from_upstream(json.dumps({"toolCall": {"functionCalls": [{"name": "f"}]}}))
    assert (called.begins, called.answer) == (False, "turn 1")
    assert called.usage is not None
    assert opened.from_upstream(json.dumps({"serverContent": {"modelTurn": {}}})).answer == "turn 2"


def test_a_turn_of_which_only_the_usage_passes_is_one():
    opened = live()
    opened.from_upstream(json.dumps({"usageMetadata": {"promptTokenCount": 3, "thoughtsTokenCount": 9}}))
    ended = opened.from_upstream(json.dumps({"serverContent": {"turnComplete": True}}))
    assert (ended.begins, ended.answer) == (True, "turn 1")
    assert ended.usage == Usage(3, 9, reasoning_tokens=9)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"promptTokenCount": 30}, Usage(estimated=True)),
        ({"promptTokenCount": 30, "totalTokenCount": 50}, Usage(30, 20)),
        ({"promptTokenCount": 30, "toolUsePromptTokenCount": 10, "totalTokenCount": 50}, Usage(40, 10)),
        ({"promptTokenCount": 30, "responseTokenCount": 25, "totalTokenCount": 50}, Usage(30, 25)),
    ],
)
def test_of_what_google_reports_of_a_turn_the_most_counts(reported, usage):
    opened = live()
    opened.from_upstream(json.dumps({"serverContent": {"modelTurn": {"parts": [{"text": "well"}]}}}))
    opened.from_upstream(json.dumps({"usageMetadata": reported}))
    assert opened.from_upstream(json.dumps({"serverContent": {"turnComplete": True}})).usage == usage


def test_code_that_the_model_runs_is_counted():
    part = {"executableCode": {"language": "PYTHON", "code": "print(1)" * 10}}
    said = live().from_upstream(json.dumps({"serverContent": {"modelTurn": {"parts": [part]}}}))
    assert said.tokens > 20
