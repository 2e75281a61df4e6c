"""From a line to a call: which upstream it is for, and as whom."""

import json
from dataclasses import replace

import pytest

from modelfence.core.call import Credential, Reading
from modelfence.core.dialect import MalformedRequestError
from modelfence.core.extraction import Fingerprint
from modelfence.core.upstream import Upstream
from modelfence.dialects.known import DIALECTS
from modelfence.dialects.openai.api import OpenAI
from modelfence.recording.lines import Line
from modelfence.recording.reading import CallReader

FIRST = Upstream("first", "openai", "https", "a.test", 443, prefix="/a", max_output_tokens=7)
SECOND = Upstream("second", "openai", "https", "b.test", 443, prefix="/a/b")
LINE = Line(at_us=1, client_ip="8.8.4.4", method="GET", path="/a/v1/models")


class Other(OpenAI):
    """Another API, with paths of its own."""

    def operation(self, method: str, path: str) -> str:
        return "models" if path == "/other/models" else "unknown"


def reader(*upstreams: Upstream) -> CallReader:
    return CallReader(
        upstreams,
        {"openai": OpenAI(), "other": Other()},
        check_head=lambda _method, _path, _headers: None,
        max_request_bytes=100,
    )


@pytest.mark.parametrize(
    ("changes", "provider", "path", "limit"),
    [
        ({}, "first", "/v1/models", 7),
        ({"path": "/a/b/v1/models?x=1"}, "second", "/v1/models", None),
        ({"provider": "second", "path": "/v1/models"}, "second", "/v1/models", None),
        ({"provider": "second", "path": "/v1/models", "max_output_tokens": 9}, "second", "/v1/models", None),
        ({"provider": "first", "path": "/a/v1/models"}, "first", "/a/v1/models", 7),
        ({"provider": "gone", "path": "/v1/models", "max_output_tokens": 9}, "gone", "/v1/models", 9),
    ],
)
def test_the_upstream_is_the_one_that_is_named_or_whose_path_it_is(changes, provider, path, limit):
    call = reader(FIRST, SECOND).call_of(replace(LINE, **changes), "0")
    assert (call.provider, call.path, call.max_output_tokens) == (provider, path, limit)


def test_what_is_for_no_upstream_is_malformed():
    with pytest.raises(MalformedRequestError) as raised:
        reader(FIRST, SECOND).call_of(replace(LINE, path="/c/v1/models"), "0")
    assert raised.value.status == 404


@pytest.mark.parametrize(
    ("path", "provider", "operation"),
    [("/v1/models", "openai", "models"), ("/other/models", "other", "models"), ("/none", "openai", "unknown")],
)
def test_of_several_apis_the_one_that_knows_the_path_is_meant(path, provider, operation):
    upstreams = [Upstream(name, name, "https", "upstream.invalid", 443) for name in ("openai", "other")]
    call = reader(*upstreams).call_of(replace(LINE, path=path), "0")
    assert (call.provider, call.reading.operation) == (provider, operation)


def test_a_fingerprint_counts_only_in_place_of_a_body():
    line = replace(LINE, fingerprint=Fingerprint(item=7))
    assert reader(FIRST).call_of(line, "0").fingerprint is None
    read = reader(FIRST).call_of(replace(line, reading=Reading("chat")), "0")
    assert (read.fingerprint, read.reading) == (Fingerprint(item=7), Reading("chat"))


def test_a_body_may_be_as_large_as_the_limit():
    assert reader(FIRST).call_of(replace(LINE, bytes=100), "0").bytes == 100
    with pytest.raises(MalformedRequestError) as raised:
        reader(FIRST).call_of(replace(LINE, bytes=101), "0")
    assert raised.value.status == 413


def test_a_key_and_a_model_in_the_query_are_read_as_the_live_fence_reads_them():
    read = reader(FIRST)
    assert read.call_of(replace(LINE, path="/a/v1/models?key=sk-acme"), "0").credential == Credential.of("sk-acme")
    with pytest.raises(MalformedRequestError):
        read.call_of(replace(LINE, path="/a/v1/models?model=other"), "0")


CALLS = {
    "openai": ("/v1/chat/completions", {"model": "m-1", "messages": []}),
    "anthropic": ("/v1/messages", {"model": "m-1", "max_tokens": 9, "messages": []}),
    "gemini": ("/v1beta/models/m-1:streamGenerateContent?alt=sse", {"contents": []}),
    "azure": ("/openai/deployments/m-1/chat/completions?api-version=2024-10-21", {"messages": []}),
    "bedrock": ("/model/m-1/converse", {"messages": []}),
    "cohere": ("/v2/chat", {"model": "m-1", "messages": []}),
    "ollama": ("/api/chat", {"model": "m-1", "messages": []}),
}


@pytest.mark.parametrize("name", CALLS)
def test_where_no_settings_name_the_api_a_path_tells_which_it_is(name):
    path, body = CALLS[name]
    anywhere = [Upstream(one, one, "https", "upstream.invalid", 443) for one in DIALECTS]
    read = CallReader(anywhere, DIALECTS, check_head=lambda *_: None, max_request_bytes=1_000)
    call = read.call_of(replace(LINE, method="POST", path=path, body=json.dumps(body).encode()), "0")
    assert (call.provider, call.reading.operation, call.reading.model) == (name, "chat", "m-1")
