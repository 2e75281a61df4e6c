"""Refusing a call as Azure OpenAI would: its gateway says an error's status as the code, and no type.

The headers are OpenAI's, since Azure sends them too and the `openai` SDK waits by them for both. `apim-request-id` is
what Azure's support asks for.
"""

import json

from modelfence.core.dialect import Answer, Refusal
from modelfence.dialects.openai.refusal import refuse as refuse_as_openai
from modelfence.dialects.shared.refusing import message_of


def refuse(refusal: Refusal) -> Answer:
    """Return the refusal as JSON, with the headers that the SDK reads."""
    error = {"code": str(refusal.status), "message": message_of(refusal)}
    headers = (*refuse_as_openai(refusal).headers, ("apim-request-id", refusal.call_id))
    return Answer(refusal.status, headers, json.dumps({"error": error}, ensure_ascii=False).encode())
