"""OpenAI's API, also as vLLM, SGLang and other servers speak it.

After OpenAI's API reference. Which paths are known: `openai.paths`; what texts are asked with: `openai.reading`; what
pictures, sound and moderation are asked with: `openai.media`.

Why batches, files and tuning are not opened: what they bring is a file, of any size and uploaded long before, so that
of a call which brings or uses one nothing is known. A policy that lets them through lets through what is in them.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from modelfence.core.call import Credential, Reading
from modelfence.core.charge import Balance
from modelfence.core.dialect import (
    Answer,
    Headers,
    Json,
    MalformedRequestError,
    Outgoing,
    Refusal,
    Request,
    UsageReader,
)
from modelfence.core.policy import Reshaping
from modelfence.dialects.openai.limits import limits
from modelfence.dialects.openai.media import read_media, reshape_media
from modelfence.dialects.openai.media_usage import media_reader
from modelfence.dialects.openai.paths import model_of, only_looks, operation_of
from modelfence.dialects.openai.reading import FIELDS, LOGPROBS_INCLUDE, choices_in, read_body
from modelfence.dialects.openai.refusal import refuse
from modelfence.dialects.openai.sizes import prompts_in
from modelfence.dialects.openai.usage import only_reports_usage, usage_reader
from modelfence.dialects.shared.credentials import credential
from modelfence.dialects.shared.fields import Body, json_object
from modelfence.dialects.shared.queries import parameters
from modelfence.dialects.shared.reading import UNKNOWN

_MEDIA = ("image", "audio", "moderation")
_UNOPENED = ("batch", "files", "tuning")
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class OpenAI:
    """The dialect `openai`."""

    name = "openai"

    def operation(self, method: str, path: str) -> str:
        """Return the operation a path stands for, `unknown` when it is none of those read here."""
        return operation_of(method, path)

    def credential(self, headers: Headers, query: str = "") -> Credential:
        """Return the caller's credential. Raises MalformedRequestError when two different ones are given."""
        return credential(headers, query)

    def credential_headers(self, secret: str, _outgoing: Outgoing) -> Headers:
        """Return the header that carries an API key."""
        return (("authorization", f"Bearer {secret}"),)

    def read(self, request: Request) -> Reading:
        """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
        operation = self.operation(request.method, request.path)
        if operation == "unknown":
            return UNKNOWN
        parameters(request.query)
        if operation == "models":
            return Reading(operation, model=model_of(request.path), output_tokens=0)
        if operation in _UNOPENED:
            looks = only_looks(request.method, request.path)
            return Reading(operation, output_tokens=0) if looks else replace(UNKNOWN, operation=operation)
        if operation in _MEDIA:
            return read_media(operation, request)
        return read_body(operation, json_object(request))

    def reshape(self, request: Request, reshaping: Reshaping) -> Json:
        """Return the body with fields removed and limits lowered; the given one is left as it was.

        `cap.output_tokens` is for the whole call, as the fact is, and the API's limits are for one choice: each
        choice may have its share, at least one token. `cap.choices` lowers what is asked for each prompt; prompts
        sent in one batch are all kept. Raises MalformedRequestError for what can't be reshaped.
        """
        operation = self.operation(request.method, request.path)
        if operation in _MEDIA:
            return reshape_media(operation, request, reshaping)
        if operation == "batch" and not only_looks(request.method, request.path):
            raise MalformedRequestError(
                "Batches are not available to you: what is in them can't be limited.", status=403
            )
        if operation not in FIELDS or not isinstance(request.json, dict):
            return request.json
        fields = FIELDS[operation]
        body = dict(request.json)
        if "logit_bias" in reshaping.remove:
            _remove(body, fields.biases)
        if "logprobs" in reshaping.remove:
            _remove(body, fields.logprobs)
            _remove_included(body)
        prompts = prompts_in(body, "prompt")[0] if operation == "completion" else 1
        if (most := reshaping.cap.get("choices")) is not None:
            _lower(body, fields.counts, max(1, most // prompts))
        if (most := reshaping.cap.get("output_tokens")) is not None:
            limit = max(1, most // (prompts * choices_in(body, fields)))
            if not _lower(body, fields.limits, limit):
                body[fields.limits[0]] = limit
            _lower(body, fields.least, limit)
        return body

    def asking_for_usage(self, request: Request) -> Json:
        """Return the body of a stream with its usage asked for, or None where that is asked already or can't be.

        Responses report their usage unasked.
        """
        body, operation = request.json, self.operation(request.method, request.path)
        if operation not in {"chat", "completion"} or not isinstance(body, dict) or body.get("stream") is not True:
            return None
        options = body.get("stream_options") or {}
        if not isinstance(options, dict) or options.get("include_usage") is True:
            return None
        return {**body, "stream_options": {**options, "include_usage": True}}

    def only_reports_usage(self, event: bytes) -> bool:
        """Say whether an event of a stream holds the usage that was asked for and nothing else."""
        return _NO_CHOICES.search(event) is not None and only_reports_usage(event)

    def usage_reader(self, operation: str, content_type: str) -> UsageReader:
        """Return a counter for an answer of that kind."""
        return media_reader(operation, content_type) or usage_reader(operation, content_type)

    def limits(self, balances: Sequence[Balance]) -> Headers:
        """Return the headers that tell an admitted caller what is left: of each kind of limit, the tightest bucket."""
        return limits(balances)

    def refuse(self, refusal: Refusal) -> Answer:
        """Return the refusal in the API's own shape."""
        return refuse(refusal)


def _remove(body: Body, names: tuple[str, ...]) -> None:
    for name in names:
        body.pop(name, None)


def _remove_included(body: Body) -> None:
    include = body.get("include")
    if isinstance(include, list):
        body["include"] = [entry for entry in include if entry != LOGPROBS_INCLUDE]


def _lower(body: Body, names: tuple[str, ...], most: int) -> bool:
    """Lower those of the fields that are given to at most that; say whether any was given."""
    given = {name: value for name in names if isinstance(value := body.get(name), int)}
    body.update({name: min(value, most) for name, value in given.items()})
    return bool(given)
