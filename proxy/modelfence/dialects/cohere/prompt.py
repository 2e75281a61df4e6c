"""The texts in a request to Cohere's API, by who speaks: what detection looks at.

Messages are made of the same parts as OpenAI's, so they are read by the same rules. Rule: types have been checked
before (`cohere.reading`); what is of another shape is passed over here, never refused.

Why documents count as something the user said first: a caller could put there what is to be done with each message.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from modelfence.core.dialect import Json
from modelfence.core.extraction import Prompt
from modelfence.dialects.openai.prompt import prompt_in
from modelfence.dialects.shared.fields import Body

_MOST_DOCUMENTS = 32
_MOST_FIELDS = 64
"""Of one document."""
_ROLES = {"SYSTEM": "system", "CHATBOT": "assistant", "TOOL": "tool"}


def prompt_of_chat(body: Body) -> Prompt:
    """Return the texts that a body of version 2 asks the model with."""
    return _with_documents(prompt_in("chat", body), body.get("documents"))


def prompt_of_old_chat(body: Body) -> Prompt:
    """Return the texts that a body of version 1 asks the model with."""
    preamble, history, message = body.get("preamble"), body.get("chat_history"), body.get("message")
    messages: list[Json] = [{"role": "system", "content": preamble}] if preamble else []
    for said in history if isinstance(history, list) else ():
        if isinstance(said, dict):
            role, calls = said.get("role"), said.get("tool_calls") or said.get("tool_results")
            spoken = _ROLES.get(role.upper(), "user") if isinstance(role, str) else "user"
            messages.append({"role": spoken, "content": said.get("message"), "tool_calls": calls})
    if results := body.get("tool_results"):
        messages.append({"role": "tool", "tool_calls": results})
    if message:
        messages.append({"role": "user", "content": message})
    asked: Body = {"messages": messages, "response_format": body.get("response_format")}
    return _with_documents(prompt_in("chat", asked), body.get("documents"))


def _with_documents(prompt: Prompt, documents: Json) -> Prompt:
    texts = list(_texts_of(documents)) if isinstance(documents, list) else []
    return replace(prompt, user=("\n".join(texts), *prompt.user)) if texts else prompt


def _texts_of(documents: list[Json]) -> Iterator[str]:
    """Yield the texts of documents: of version 2 a text or an object with `data`, of version 1 an object of texts."""
    for document in islice(documents, _MOST_DOCUMENTS):
        if isinstance(document, str):
            yield document
        elif isinstance(document, dict):
            data = document.get("data")
            fields = data if isinstance(data, dict) else document
            yield from (text for text in islice(fields.values(), _MOST_FIELDS) if isinstance(text, str))
