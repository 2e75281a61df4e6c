"""What a condition may compute: the operators, functions and macros of CEL that work here, in one table.

Hints, the studio's completion and the reference read it. A test holds it to the evaluator, which it asks about every
name, with values of every type.

`forms` say how each is written, by the types of the values and the type of what comes of them. `number` is int, uint or
double, `ordered` is a number or string, timestamp, duration, bool or bytes, and `any` is any type; where one stands
twice, it is the same type both times. `x` is a name of the author's own for an item, or for a key of a map, while
`condition` or `value` is computed of it. What changes nothing, such as `int` of an int, is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    """What they are about, in the order in which they are best read."""

    OPERATORS = "Operators"
    TEXTS = "Texts"
    LISTS = "Lists and maps"
    TIMES = "Times and durations"
    CONVERSIONS = "Conversions"


@dataclass(frozen=True, slots=True)
class Function:
    """An operator, a function or a macro."""

    name: str
    group: Group
    what: str
    """What it gives, in words."""
    forms: tuple[str, ...]
    """All the ways in which it works."""

    @property
    def written(self) -> tuple[str, ...]:
        """Return the forms without what they give."""
        return tuple(form.partition(" -> ")[0] for form in self.forms)

    @property
    def follows_a_dot(self) -> bool:
        """Say whether it can be written behind a value, as in `request.model.startsWith(…)`."""
        return any(f".{self.name}(" in form for form in self.forms)

    @property
    def has_variable(self) -> bool:
        """Say whether it is a macro that goes over a list or map, with a name of the author's own for an item."""
        return any("(x, " in form for form in self.forms)


def _ordering(name: str, what: str) -> Function:
    return Function(name, Group.OPERATORS, what, (f"ordered {name} ordered -> bool",))


def _time(name: str, what: str) -> Function:
    return Function(name, Group.TIMES, what, (f"timestamp.{name}() -> int", f"timestamp.{name}(string) -> int"))


def _clock(name: str, what: str) -> Function:
    time = _time(name, what)
    return Function(name, Group.TIMES, what, (*time.forms, f"duration.{name}() -> int"))


def _search(name: str, what: str) -> Function:
    return Function(name, Group.TEXTS, what, (f"string.{name}(string) -> bool",))


def _macro(name: str, what: str) -> Function:
    forms = tuple(f"{kind}.{name}(x, condition) -> bool" for kind in ("list", "map"))
    return Function(name, Group.LISTS, what, forms)


def _conversion(name: str, what: str, types: tuple[str, ...]) -> Function:
    return Function(name, Group.CONVERSIONS, what, tuple(f"{name}({kind}) -> {name}" for kind in types))


OPERATORS: tuple[Function, ...] = (
    Function("&&", Group.OPERATORS, "whether both are true", ("bool && bool -> bool",)),
    Function("||", Group.OPERATORS, "whether one is true, or both", ("bool || bool -> bool",)),
    Function("!", Group.OPERATORS, "the opposite", ("!bool -> bool",)),
    Function("==", Group.OPERATORS, "whether both are the same; capital letters count", ("any == any -> bool",)),
    Function("!=", Group.OPERATORS, "whether they differ", ("any != any -> bool",)),
    _ordering("<", "whether the first is less, earlier, or before the other in the order of characters"),
    _ordering("<=", "whether the first is `<` the other, or equal"),
    _ordering(">", "whether the first is more, later, or behind the other in the order of characters"),
    _ordering(">=", "whether the first is `>` the other, or equal"),
    Function(
        "in",
        Group.OPERATORS,
        "whether a list has the item, or a map the key",
        ("any in list -> bool", "string in map -> bool"),
    ),
    Function(
        "+",
        Group.OPERATORS,
        "the sum; of texts and lists one behind the other",
        (
            "number + number -> number",
            "string + string -> string",
            "list + list -> list",
            "timestamp + duration -> timestamp",
            "duration + timestamp -> timestamp",
            "duration + duration -> duration",
            "bytes + bytes -> bytes",
        ),
    ),
    Function(
        "-",
        Group.OPERATORS,
        "the difference; of two times how long it is from the second to the first",
        (
            "number - number -> number",
            "timestamp - timestamp -> duration",
            "timestamp - duration -> timestamp",
            "duration - duration -> duration",
            "-int -> int",
            "-double -> double",
        ),
    ),
    Function("*", Group.OPERATORS, "the product", ("number * number -> number",)),
    Function(
        "/", Group.OPERATORS, "the quotient; of whole numbers a whole one, cut off", ("number / number -> number",)
    ),
    Function("%", Group.OPERATORS, "what a division leaves over", ("int % int -> int", "uint % uint -> uint")),
    Function(
        "? :", Group.OPERATORS, "the first of two values where it is so, else the other", ("bool ? any : any -> any",)
    ),
    Function(
        "[ ]",
        Group.OPERATORS,
        "an item of a list by its place, counted from 0, or the value of a map under a key",
        ("list[int] -> any", "map[string] -> any"),
    ),
    Function(".", Group.OPERATORS, "the value of a map under a key that is written as a name is", ("map.name -> any",)),
)

FUNCTIONS: tuple[Function, ...] = (
    _search("startsWith", "whether the text begins with another"),
    _search("endsWith", "whether the text ends with another"),
    _search("contains", "whether the text has another in it"),
    Function(
        "matches",
        Group.TEXTS,
        "whether the text has something in it that a regular expression (RE2) describes",
        ("string.matches(string) -> bool", "matches(string, string) -> bool"),
    ),
    Function(
        "size",
        Group.LISTS,
        "how many characters (code points) a text has, how many items a list, how many keys a map",
        tuple(
            form
            for kind in ("string", "list", "map", "bytes")
            for form in (f"{kind}.size() -> int", f"size({kind}) -> int")
        ),
    ),
    _macro("exists", "whether the condition is true of one item at least; of a map, of one key"),
    _macro("all", "whether the condition is true of every item, or of every key; so it is of none"),
    _macro("exists_one", "whether the condition is true of exactly one item, or of one key"),
    Function(
        "filter",
        Group.LISTS,
        "a list of the items, or of the keys, of which the condition is true",
        ("list.filter(x, condition) -> list", "map.filter(x, condition) -> list"),
    ),
    Function(
        "map",
        Group.LISTS,
        "a list of what is computed of each item, or of each key; with a condition, only of those of which it is true",
        tuple(
            form
            for kind in ("list", "map")
            for form in (f"{kind}.map(x, value) -> list", f"{kind}.map(x, condition, value) -> list")
        ),
    ),
    Function("has", Group.LISTS, "whether a map has a key, which is written as a name is", ("has(map.name) -> bool",)),
    Function(
        "timestamp",
        Group.TIMES,
        "the time that a text (RFC 3339) says, or that is so many seconds after 1970",
        ("timestamp(string) -> timestamp", "timestamp(int) -> timestamp"),
    ),
    Function(
        "duration",
        Group.TIMES,
        "the length of time that a text says in `h`, `m`, `s` and `ms`",
        ("duration(string) -> duration",),
    ),
    _time("getFullYear", "the year"),
    _time("getMonth", "the month, 0 for January to 11"),
    _time("getDate", "the day of the month, from 1"),
    _time("getDayOfMonth", "the day of the month, from 0"),
    _time("getDayOfWeek", "the day of the week, 0 for Sunday to 6 for Saturday"),
    _time("getDayOfYear", "the day of the year, from 0"),
    _clock("getHours", "the hour of the day, 0 to 23; of a duration, all of its hours"),
    _clock("getMinutes", "the minute of the hour, 0 to 59; of a duration, all of its minutes"),
    _clock("getSeconds", "the second of the minute, 0 to 59; of a duration, all of its seconds"),
    _clock("getMilliseconds", "the milliseconds within the second, 0 to 999"),
    _conversion(
        "int", "a whole number; what is behind the point is cut off", ("double", "string", "timestamp", "uint")
    ),
    _conversion("double", "a decimal number", ("int", "string", "uint")),
    _conversion(
        "string",
        "the text that stands for a value",
        ("int", "double", "bool", "timestamp", "duration", "uint", "bytes"),
    ),
    _conversion("bool", "true or false, as a text says it", ("string",)),
    _conversion("uint", "a whole number that has no sign", ("int", "double", "string")),
    _conversion("bytes", "the bytes of a text in UTF-8", ("string",)),
    Function("type", Group.CONVERSIONS, "the type of a value", ("type(any) -> type",)),
    Function(
        "dyn", Group.CONVERSIONS, "the value, whose type is looked at only when a call comes in", ("dyn(any) -> dyn",)
    ),
)

ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "startsWith": ("beginsWith", "hasPrefix"),
    "endsWith": ("hasSuffix",),
    "contains": ("includes", "indexOf", "find"),
    "matches": ("regex", "regexp", "match", "like"),
    "size": ("len", "length", "count"),
    "exists": ("any", "some"),
    "all": ("every", "forall"),
    "filter": ("where",),
    "timestamp": ("date", "datetime", "time"),
    "getFullYear": ("year",),
    "getMonth": ("month",),
    "getDate": ("day",),
    "getDayOfWeek": ("weekday",),
    "getHours": ("hour", "hours"),
    "getMinutes": ("minute", "minutes"),
    "int": ("integer", "parseInt"),
    "double": ("float", "number"),
    "string": ("str", "text", "toString"),
}
"""What other languages call some of them."""
