"""The shape of a value as a JSON Schema, draft 2020-12.

Why a text may be a number or a truth: readers take every value as it is written, so `message: 12` is a text to them,
while editors hand `12` to a schema as a number. And why a number may be a text: to readers `"12"` is a number, too.
Of an unquoted `null` a schema can't tell whether the word or nothing is written, so it takes it for nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from modelfence.core.keys import (
    Anything,
    Choice,
    Date,
    Either,
    Flag,
    Key,
    ListOf,
    MapOf,
    Number,
    OrNull,
    Record,
    Shape,
    Text,
    Whole,
)

type Schema = dict[str, Any]

_FILLED = r"\S"
_WHOLE = r"^[+\-]?[0-9]{1,18}$"
_NUMBER = r"^[+\-]?[0-9]{1,18}(\.[0-9]{1,18})?$"
_DATE = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"


def schema_of_shape(shape: Shape) -> Schema:  # noqa: C901, PLR0911 - a table, one line a shape
    """Return what accepts the values of a shape."""
    match shape:
        case Text():
            return _text(shape)
        case Choice(options):
            return {"enum": [value for option in options for value in _read_as(option)]}
        case Whole(least, most):
            return {
                "type": ["integer", "string"],
                "minimum": least,
                "maximum": most,
                **_fitting(_WHOLE, "a whole number"),
            }
        case Number(least, most):
            return {"type": ["number", "string"], "minimum": least, "maximum": most, **_fitting(_NUMBER, "a number")}
        case Flag():
            return {"type": ["boolean", "string"], **_fitting("^(true|false)$", "true or false")}
        case Date():
            return {"type": "string", **_fitting(_DATE, "a date like 2026-01-31"), "examples": ["2026-01-31"]}
        case ListOf(item):
            few = {} if shape.may_be_empty else {"minItems": 1}
            return {"type": "array", "items": schema_of_shape(item), **few, **_if(shape.is_unique, "uniqueItems")}
        case MapOf(value, name):
            names = {key: said for key, said in _text(name).items() if key != "type"}
            return {"type": "object", "additionalProperties": schema_of_shape(value), "propertyNames": names}
        case Record():
            return _record(shape)
        case Either(shapes):
            return {"anyOf": [schema_of_shape(one) for one in shapes]}
        case OrNull(one):
            return _or_null(schema_of_shape(one))
        case Anything():
            return {}


def properties_of(keys: Sequence[Key]) -> Schema:
    """Return the schemas of the values of keys, by their names."""
    return {key.name: _described(key) for key in keys}


def _described(key: Key) -> Schema:
    schema = schema_of_shape(key.value)
    return {"description": key.what, **(_or_null(schema) if key.may_be_null else schema)}


def _record(shape: Record) -> Schema:
    required = [key.name for key in shape.keys if key.required]
    return {
        **({"title": shape.title} if shape.title else {}),
        "type": "object",
        "properties": properties_of(shape.keys),
        **({"required": required} if required else {}),
        **_one_of("oneOf", shape.exactly_one),
        **_one_of("anyOf", shape.at_least_one),
        **_others(shape.others),
        "additionalProperties": False,
    }


def _others(shape: MapOf | None) -> Schema:
    return {"patternProperties": {_whole(shape.name): schema_of_shape(shape.value)}} if shape else {}


def _whole(shape: Text) -> str:
    """Return the pattern of a whole text."""
    return _FILLED if shape.pattern is None else f"^(?:{shape.pattern})$"


def _one_of(how: str, names: Sequence[str]) -> Schema:
    return {how: [{"required": [name]} for name in names]} if names else {}


def _or_null(schema: Schema) -> Schema:
    """Return what accepts null as well."""
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "type" not in schema or "oneOf" in schema or "anyOf" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    types = schema["type"]
    return {**schema, "type": [*([types] if isinstance(types, str) else types), *_if_new("null", types)]}


def _if_new(name: str, types: str | Sequence[str]) -> list[str]:
    return [] if name in types else [name]


def _text(shape: Text) -> Schema:
    pattern = f"^$|{_whole(shape)}" if shape.may_be_empty else _whole(shape)
    return {
        "type": _types(shape),
        **({"minimum": 0 if shape.admits("0") else 1} if shape.admits("1") and not shape.admits("-1") else {}),
        **({} if shape.may_be_empty and shape.pattern is None else _fitting(pattern, _in_words(shape))),
        **({"maxLength": shape.longest} if shape.longest else {}),
        **({"not": {"enum": list(shape.without)}} if shape.without else {}),
        **({"examples": list(shape.examples)} if shape.examples else {}),
    }


def _in_words(shape: Text) -> str:
    if shape.pattern is None:
        return "a value"
    return f"something like {' or '.join(f'`{example}`' for example in shape.examples)}" if shape.examples else ""


def _fitting(pattern: str, what: str) -> Schema:
    """Return what a text has to match, and what editors say of one that does not in place of the pattern.

    That key is their own (https://code.visualstudio.com/docs/languages/json); a schema may have any besides.
    """
    return {"pattern": pattern, **({"patternErrorMessage": f"{what} is expected here"} if what else {})}


def _types(shape: Text) -> list[str]:
    """Return as what editors may read a text that fits."""
    number = "number" if shape.admits("1.5") else "integer"
    fits = {
        "string": True,
        number: shape.admits("1"),
        "boolean": shape.admits("true"),
        "null": shape.may_be_empty,
    }
    return [name for name, does in fits.items() if does]


def _read_as(option: str) -> Sequence[str | int]:
    return (int(option), option) if option.isdecimal() else (option,)


def _if(said: bool, key: str) -> Mapping[str, bool]:  # noqa: FBT001 - reads well where it is used
    return {key: True} if said else {}
