"""What the value of a fact may be in a case file: what its reader checks, and what the schema for editors says."""

from collections.abc import Mapping

from modelfence.core import facts
from modelfence.core.facts import Fact, FactType
from modelfence.core.keys import Choice, Flag, Key, ListOf, MapOf, Number, OrNull, Record, Shape, Text, Whole
from modelfence.policy.keys import NAME

AMOUNT = Whole(0, 10**15)
SHARE = Number(0, 1)
SUM = Number(0, 1_000)
"""Of shares."""
WORDS_OF: Mapping[str, Choice] = {
    fact.name: Choice(fact.values) for fact in facts.FACTS if fact.values and fact.type is FactType.STRING
}
"""The facts that are one of few words."""
ADDRESS = Text(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[^/]+)?", examples=("192.0.2.1",))
_TEXT = Text(r"[\s\S]*")
_SHAPES: Mapping[FactType, Shape] = {
    FactType.STRING: _TEXT,
    FactType.INT: AMOUNT,
    FactType.DOUBLE: SUM,
    FactType.BOOL: Flag(),
    FactType.TIMESTAMP: Text(examples=("2026-01-31T12:00:00Z",)),
    FactType.STRINGS: ListOf(Text(may_be_empty=True)),
    FactType.TEXT_BY_NAME: MapOf(Text(may_be_empty=True), Text(may_be_empty=True)),
    FactType.SHARE_BY_COUNTRY: MapOf(SHARE, Text(may_be_empty=True)),
}
_TIER = Text(examples=("verified",))
_OWNED_BY = Text(rf"kyc\.owned_by\.{NAME.pattern}")


def _shape_of(fact: Fact) -> Shape:
    by_name: Mapping[str, Shape] = {**WORDS_OF, "client.ip": ADDRESS, "kyc.tier": _TIER, "extraction.score": SHARE}
    return by_name.get(fact.name, _SHAPES[fact.type])


def _several(fact: Fact) -> ListOf:
    shape = _shape_of(fact)
    return _differing(shape if fact.always else OrNull(shape))


def _differing(shape: Shape) -> ListOf:
    return ListOf(shape, may_be_empty=False, is_unique=True)


FACTS = Record(
    tuple(Key(fact.name, fact.description, value=_shape_of(fact), may_be_null=not fact.always) for fact in facts.FACTS),
    others=MapOf(OrNull(SUM), _OWNED_BY),
)
"""By name. Null is unknown, which a fact that is known for every call can't be."""
_VARIED: Mapping[str, Shape] = {"account": OrNull(Text()), "client_ip": ADDRESS, "method": Text(), "path": Text()}
VARIED = tuple(_VARIED)
"""The keys of a request that a matrix can vary."""
MATRIX = Record(
    (
        *(Key(fact.name, fact.description, value=_several(fact)) for fact in facts.FACTS),
        *(Key(name, f"`{name}` of the request", value=_differing(shape)) for name, shape in _VARIED.items()),
    ),
    others=MapOf(_differing(OrNull(SUM)), _OWNED_BY),
)
