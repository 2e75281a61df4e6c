"""For each operator, function and macro what comes of some expressions, and what surprises about them.

What comes of an expression is written as CEL writes it; or it is `UNKNOWN`; or the code of the problem that the check
finds in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

UNKNOWN = "unknown"

CALL = """\
client.ip: 203.0.113.9
account.labels: {plan: gold}
account.recent_countries: [DE, NO]
kyc.tier: basic
kyc.ownership: {CN: 0.4, NO: 0.6}
request.model: gpt-4o-mini
request.choices: 2
request.output_tokens: 4096
extraction.score: 0.25
now: 2026-01-31T22:30:15.250Z
"""
"""The call that expressions are asked about, as a case gives it: a Saturday night, from nobody knows where."""

type Shown = tuple[str, str]
"""An expression, and what comes of it."""


@dataclass(frozen=True, slots=True)
class Surprise:
    """Something that is otherwise than many would think."""

    what: str
    shown: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """A kind of value that an expression can state itself."""

    what: str
    type: str
    written: tuple[str, ...]


LITERALS: tuple[Literal, ...] = (
    Literal("a text", "string", ('"NO"', "'NO'")),
    Literal("a text in which a backslash is nothing but that", "string", (r'r"gpt-\d"',)),
    Literal("a whole number", "int", ("60", "-1", "0x1F")),
    Literal("a decimal number", "double", ("0.5", "1.0", "1e-3")),
    Literal("true or false", "bool", ("true", "false")),
    Literal("a list", "list", ('["NO", "SE"]', "[]")),
    Literal("a map", "map", ('{"NO": 0.6, "SE": 0.4}',)),
    Literal("a whole number without sign", "uint", ("7u",)),
    Literal("bytes", "bytes", ('b"NO"',)),
    Literal("nothing", "null_type", ("null",)),
)

FUNCTION_EXAMPLES: Mapping[str, tuple[Shown, ...]] = {
    "&&": (
        ('client.country == "NO" && kyc.tier >= tier.verified', "false"),
        ('client.country == "NO" && kyc.tier >= tier.basic', UNKNOWN),
    ),
    "||": (('client.country == "NO" || kyc.tier >= tier.basic', "true"),),
    "!": (('!("KP" in account.recent_countries)', "true"), ('!(client.country == "KP")', UNKNOWN)),
    "==": (('request.model == "gpt-4o-mini"', "true"), ('request.model == "GPT-4o-mini"', "false")),
    "!=": (('request.model != "gpt-4o"', "true"),),
    "<": (("kyc.tier < tier.verified", "true"), ('now < timestamp("2026-02-01T00:00:00Z")', "true")),
    "<=": (("request.choices <= 2", "true"),),
    ">": (("request.output_tokens > 4096", "false"),),
    ">=": (("extraction.score >= 0.25", "true"),),
    "in": (('"NO" in account.recent_countries', "true"), ('"plan" in account.labels', "true")),
    "+": (
        ('account.labels.plan + "/" + request.model', '"gold/gpt-4o-mini"'),
        ("1.0 + 9.0 * extraction.score", "3.25"),
    ),
    "-": (('now - timestamp("2026-01-31T00:00:00Z") > duration("22h")', "true"),),
    "*": (("request.choices * request.output_tokens", "8192"),),
    "/": (("7 / 2", "3"), ("7.0 / 2.0", "3.5")),
    "%": (("7 % 2", "1"),),
    "? :": (("kyc.tier < tier.verified ? 2.0 : 1.0", "2.0"),),
    "[ ]": (('kyc.ownership["CN"]', "0.4"), ("account.recent_countries[0]", '"DE"'), ('kyc.ownership["KP"]', UNKNOWN)),
    ".": (("account.labels.plan", '"gold"'), ("account.labels.region", UNKNOWN)),
    "startsWith": (('request.model.startsWith("gpt-4o")', "true"),),
    "endsWith": (('request.model.endsWith("-mini")', "true"),),
    "contains": (('request.model.contains("4o")', "true"),),
    "matches": (('request.model.matches("^gpt-4o(-mini)?$")', "true"), ('request.model.matches("(?i)GPT")', "true")),
    "size": (("account.recent_countries.size()", "2"), ("size(request.model)", "11")),
    "exists": (
        ("kyc.ownership.exists(c, c in lists.embargoed)", "false"),
        ('lists.embargoed.exists(c, c == "KP")', "true"),
    ),
    "all": (('account.recent_countries.all(c, c in ["DE", "NO", "SE"])', "true"), ("[].all(c, false)", "true")),
    "exists_one": (('account.recent_countries.exists_one(c, c == "NO")', "true"),),
    "filter": (("kyc.ownership.filter(c, kyc.ownership[c] > 0.5)", '["NO"]'),),
    "map": (
        ('account.recent_countries.map(c, c + "!")', '["DE!", "NO!"]'),
        ('account.recent_countries.map(c, c != "DE", c)', '["NO"]'),
    ),
    "has": (("has(account.labels.plan)", "true"), ("has(account.labels.region)", "false")),
    "timestamp": (
        ('now > timestamp("2026-01-31T00:00:00+01:00")', "true"),
        ('timestamp("2026-01-31")', "bad-constant"),
    ),
    "duration": (('duration("1h30m") == duration("90m")', "true"), ('duration("1d")', "bad-constant")),
    "getFullYear": (("now.getFullYear()", "2026"),),
    "getMonth": (("now.getMonth()", "0"),),
    "getDate": (("now.getDate()", "31"), ('now.getDate("Asia/Tokyo")', "1")),
    "getDayOfMonth": (("now.getDayOfMonth()", "30"),),
    "getDayOfWeek": (("now.getDayOfWeek()", "6"), ('now.getDayOfWeek("Asia/Tokyo")', "0")),
    "getDayOfYear": (("now.getDayOfYear()", "30"),),
    "getHours": (("now.getHours()", "22"), ('now.getHours("Europe/Oslo")', "23"), ('duration("90m").getHours()', "1")),
    "getMinutes": (("now.getMinutes()", "30"), ('duration("90m").getMinutes()', "90")),
    "getSeconds": (("now.getSeconds()", "15"), ('duration("90m").getSeconds()', "5400")),
    "getMilliseconds": (("now.getMilliseconds()", "250"),),
    "int": (("int(2.9)", "2"), ('int("42")', "42"), ('int("many")', UNKNOWN)),
    "double": (("double(request.output_tokens) * 0.5", "2048.0"),),
    "string": (('string(kyc.tier) + "/" + client.ip', '"1/203.0.113.9"'),),
    "bool": (('bool("true")', "true"), ('bool("yes")', UNKNOWN)),
    "uint": (("uint(7) == 7u", "true"),),
    "bytes": (('bytes("é").size()', "2"),),
    "type": (("type(kyc.tier) == int", "true"),),
    "dyn": (("dyn(kyc.tier) == 1.0", "true"),),
}
"""By name."""

SURPRISES: tuple[Surprise, ...] = (
    Surprise(
        "**A key that a map lacks is unknown**, and neither empty nor zero nor false: a deny would refuse everybody"
        " whose map lacks it. Ask first whether it is there, or `kyc.owned_by` of a list, which is then 0.",
        (
            ('account.labels.region == "eu"', UNKNOWN),
            ('has(account.labels.region) && account.labels.region == "eu"', "false"),
            ('kyc.ownership["KP"] > 0.5', UNKNOWN),
            ('"KP" in kyc.ownership && kyc.ownership["KP"] > 0.5', "false"),
            ("kyc.owned_by.embargoed > 0.5", "false"),
        ),
    ),
    Surprise(
        "**Whole and decimal numbers do not mix.** Write `1.0` where the other side is a double, or convert.",
        (
            ("extraction.score > 0", "type-mismatch"),
            ("extraction.score > 0.0", "true"),
            ("double(kyc.tier) * 0.5", "0.5"),
        ),
    ),
    Surprise(
        "**Whole numbers are divided without what is left over**, towards zero. A division of one by zero is unknown.",
        (("7 / 2", "3"), ("-7 / 2", "-3"), ("7 / 0", UNKNOWN)),
    ),
    Surprise(
        "**Decimal numbers are not exact.** Compare them by `<` and `>`, not by `==`.",
        (("0.1 + 0.2 == 0.3", "false"),),
    ),
    Surprise(
        "**`in` looks for an item of a list or a key of a map**, and never for a part of a text: that is `contains`.",
        (
            ('"gpt" in request.model', "type-mismatch"),
            ('request.model.contains("gpt")', "true"),
            ('"CN" in kyc.ownership', "true"),
        ),
    ),
    Surprise(
        "**`!` holds only what is right behind it.** Put brackets around the rest.",
        (
            ('!"KP" in account.recent_countries', "type-mismatch"),
            ('!("KP" in account.recent_countries)', "true"),
        ),
    ),
    Surprise(
        "**`&&` holds closer than `||`.** Put brackets where both stand.",
        (
            ("kyc.tier >= tier.basic || kyc.tier >= tier.verified && extraction.score > 0.5", "true"),
            ("(kyc.tier >= tier.basic || kyc.tier >= tier.verified) && extraction.score > 0.5", "false"),
        ),
    ),
    Surprise(
        "**Comparisons make no chains**, and a tier is no text.",
        (
            ("0 < kyc.tier < 3", "type-mismatch"),
            ("0 < kyc.tier && kyc.tier < 3", "true"),
            ('kyc.tier >= "basic"', "type-mismatch"),
        ),
    ),
    Surprise(
        "**Capital letters count**, and no function makes small ones of them: `matches` with `(?i)` passes them over."
        " Texts of digits are compared as texts.",
        (
            ('request.model.startsWith("GPT")', "false"),
            ('request.model.matches("(?i)^gpt")', "true"),
            ('"10" < "9"', "true"),
        ),
    ),
    Surprise(
        "**`matches` is content with a part of the text.** `^` and `$` hold it to the whole. What a `.` of the text may"
        " not stand for any character is written `[.]`. RE2 has no looking ahead or behind.",
        (
            ('request.model.matches("4o")', "true"),
            ('request.model.matches("^4o$")', "false"),
            ('client.ip.matches("^203[.]0[.]113[.]")', "true"),
            ('request.model.matches("gpt(?!-3)")', "bad-constant"),
        ),
    ),
    Surprise(
        '**A backslash in a text begins an escape** such as `\\n`, `\\"` or `\\u00e9`. For a pattern put an `r` before'
        " the quotes, or double it.",
        (
            (r'request.model.matches("gpt-\d")', "condition-syntax"),
            (r'request.model.matches(r"gpt-\d")', "true"),
            (r'request.model.matches("gpt-\\d")', "true"),
        ),
    ),
    Surprise(
        "**`size` counts code points**, so that a letter with an accent of its own counts as two.",
        (('"é".size()', "1"), (r'"e\u0301".size()', "2")),
    ),
    Surprise(
        "**Times are UTC** unless a zone is named, as in `Europe/Oslo` or `+02:00`. Months, days of the month by"
        " `getDayOfMonth` and days of the week are counted from 0, and 0 is Sunday; `getDate` counts from 1.",
        (
            ("now.getHours()", "22"),
            ('now.getHours("+02:00")', "0"),
            ("now.getDate()", "31"),
            ("now.getDayOfMonth()", "30"),
            ('now.getHours("Europe/Atlantis")', "bad-constant"),
        ),
    ),
    Surprise(
        "**A time is written whole**, with its zone, and the longest unit of a duration is the hour.",
        (
            ('timestamp("2026-01-31")', "bad-constant"),
            ('now < timestamp("2026-02-01T00:00:00Z")', "true"),
            ('duration("1d")', "bad-constant"),
            ('duration("24h") > duration("90m")', "true"),
        ),
    ),
    Surprise(
        "**Of a map, macros name the keys.** The value is looked up.",
        (("kyc.ownership.exists(c, kyc.ownership[c] > 0.5)", "true"),),
    ),
)
