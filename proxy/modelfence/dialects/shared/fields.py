"""Typed fields of a JSON request. `null` means absent, and a wrong type is refused naming the field.

Why refuse: some upstreams turn "true", 1 or 1.0 into what they expected and others don't, so that the fence could
not say what was asked for.
"""

from collections.abc import Collection

from modelfence.core.dialect import Json, MalformedRequestError, Request

type Body = dict[str, Json]

MOST = 1_000_000_000
"""The largest limit or count a field may name: above any model's, and far inside what every reader can hold."""
_TYPE_NAMES = {
    bool: "a boolean", int: "an integer", float: "a decimal number", str: "a string", list: "an array",
    dict: "an object", type(None): "null",
}  # fmt: skip


def json_object(request: Request) -> Body:
    """Return the body of a call that must be a JSON object and say so; a missing content type is taken for JSON."""
    declared = {value.strip() for name, value in request.headers if name == "content-type"}
    if not all(map(_is_json, declared)):
        message = "The Content-Type of this request must be application/json in UTF-8."
        raise MalformedRequestError(message, status=415)
    if not isinstance(request.json, dict):
        message = "The request body must be a JSON object."
        raise MalformedRequestError(message)
    return request.json


def refuse_other_cases(body: Body, names: Collection[str]) -> None:
    """Refuse `Model` for `model`: some upstreams, those in Go among them, read it all the same."""
    given = "".join(body)
    if given.isascii() and given.islower():
        return
    for name in body:
        if name not in names and name.casefold() in names:
            message = f"Unknown parameter: '{name}'. Did you mean '{name.casefold()}'?"
            raise MalformedRequestError(message)


def boolean(body: Body, name: str) -> bool:
    """Return a flag, False when absent."""
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise wrong_type(name, "a boolean", value)
    return value


def integer(body: Body, name: str, *, least: int) -> int | None:
    """Return a whole number from `least` to MOST, None when absent. True is no number."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, "an integer", value)
    if not least <= value <= MOST:
        message = f"Invalid value for '{name}': expected an integer from {least} to {MOST}, but got {value} instead."
        raise MalformedRequestError(message)
    return value


def string(body: Body, name: str) -> str | None:
    """Return a text, None when absent."""
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong_type(name, "a string", value)


def array(body: Body, name: str) -> list[Json]:
    """Return a list, empty when absent."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong_type(name, "an array", value)
    return value


def objects(body: Body, name: str) -> list[Body]:
    """Return a list of objects, empty when absent."""
    found: list[Body] = []
    for place, entry in enumerate(array(body, name)):
        if not isinstance(entry, dict):
            where = f"{name}[{place}]"
            raise wrong_type(where, "an object", entry)
        found.append(entry)
    return found


def mapping(body: Body, name: str) -> Body | None:
    """Return an object, None when absent."""
    value = body.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise wrong_type(name, "an object", value)


def model(body: Body) -> str:
    """Return the model asked for, in whose absence OpenAI's own words are used."""
    if name := string(body, "model"):
        if not name.isprintable() or name != name.strip():
            # An upstream that trims a name would read another model than the policy did.
            message = "Invalid value for 'model': it holds control characters, or spaces around it."
            raise MalformedRequestError(message)
        return name
    message = "you must provide a model parameter"
    raise MalformedRequestError(message)


def wrong_type(name: str, expected: str, value: Json) -> MalformedRequestError:
    """Return the refusal of a field's type, in OpenAI's words."""
    return MalformedRequestError(
        f"Invalid type for '{name}': expected {expected}, but got {_TYPE_NAMES[type(value)]} instead."
    )


def _is_json(content_type: str) -> bool:
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [part for part in parameters if part.startswith("charset")]
    return kind == "application/json" and all(charset in {"charset=utf-8", 'charset="utf-8"'} for charset in charsets)
