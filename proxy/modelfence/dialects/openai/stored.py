"""What a call to the responses API has done beside what stands in it: with what is stored, and by other models.

After OpenAI's API reference, "Conversation state" and "Reusable prompts". Rule: what only the upstream can see is
unknown, never nothing.
"""

from modelfence.core.dialect import MalformedRequestError
from modelfence.dialects.shared.fields import Body, array, mapping, objects, string, wrong_type


def uses_stored_prompt(body: Body) -> bool:
    """Say whether a stored prompt is filled in, which brings instructions, tools and reasoning of its own."""
    return bool(mapping(body, "prompt"))


def uses_stored_input(body: Body) -> bool:
    """Say whether the model reads more than stands in the call: an earlier answer, a conversation or an item of one."""
    conversation = body.get("conversation")
    if not isinstance(conversation, str | dict | None):
        raise wrong_type("conversation", "a string or an object", conversation)
    items = objects(body, "input") if isinstance(body.get("input"), list) else []
    # An item that is only referred to may leave its type out.
    refers = any(
        item.get("type") == "item_reference" or ("id" in item and item.keys() <= {"type", "id"}) for item in items
    )
    return bool(string(body, "previous_response_id") or conversation or refers or uses_stored_prompt(body))


def refuse_other_models(body: Body) -> None:
    """Refuse a tool that is to ask another model, such as one that draws, since no policy would see which."""
    for place, tool in enumerate(array(body, "tools")):
        if isinstance(tool, dict) and tool.get("model") is not None:
            message = f"Tools that ask another model are not supported by this service: 'tools[{place}].model'."
            raise MalformedRequestError(message)
