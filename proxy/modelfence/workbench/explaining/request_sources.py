"""Where what was read in a request came from: its path, which fields of its body, or the settings."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelfence.core.call import Call
from modelfence.core.facts import FACTS
from modelfence.recording.lines import Line
from modelfence.workbench.explaining.explanation import Origin, Source
from modelfence.workbench.explaining.values import cut

_REQUEST = "request."
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class RequestRead:
    """A request, and which fields of its body were behind what was read in it."""

    line: Line
    call: Call
    fields: Mapping[str, tuple[str, ...]]
    names_upstreams: bool
    """The settings say which upstreams there are."""


def request_sources(read: RequestRead) -> Mapping[str, Source]:
    """Return where each fact of the request came from, or why it is unknown."""
    line, call = read.line, read.call
    known = {
        "request.provider": _of_provider(read),
        "request.method": Source(Origin.REQUEST, "its method"),
        "request.path": Source(Origin.REQUEST, "its path, without the upstream's prefix and the query"),
        "request.bytes": Source(Origin.REQUEST, "`bytes` of the line" if line.reading else "the size of its body"),
        "request.operation": Source(
            Origin.REQUEST,
            "`reading.operation` of the line" if line.reading else f"what {_asked(call)} stands for",
        ),
        "request.output_tokens": _of_limit(read),
    }
    others = [fact.name for fact in FACTS if fact.name.startswith(_REQUEST) and fact.name not in known]
    return {**known, **{name: _of_reading(name, read) for name in others}}


def _of_provider(read: RequestRead) -> Source:
    if read.line.provider is not None:
        return Source(Origin.REQUEST, "`provider` of the line")
    if read.names_upstreams:
        return Source(Origin.SETTINGS, "the upstream under `upstreams` whose prefix the path begins with")
    return Source(Origin.REQUEST, "the API that has such a path, as no settings name upstreams")


def _of_reading(fact: str, read: RequestRead) -> Source:
    name = fact.removeprefix(_REQUEST)
    if read.line.reading is not None:
        return Source(Origin.REQUEST, f"`reading.{name}` of the line")
    value = getattr(read.call.reading, name)
    fields = read.fields.get(name, ())
    if value is None:
        why = f"what {_fields(fields)} says can't be counted" if fields else "the request does not say it"
        return Source(Origin.NOWHERE, why)
    if name == "input_tokens" and fields:
        return Source(Origin.COMPUTED, f"estimated from {_fields(fields)} of the body")
    if fields:
        return Source(Origin.REQUEST, f"{_fields(fields)} of the body")
    if name == "model" and value:
        return Source(Origin.REQUEST, "its path")
    return Source(Origin.REQUEST, f"what {_asked(read.call)} means where the body says nothing of it")


def _of_limit(read: RequestRead) -> Source:
    if read.call.reading.output_tokens is not None:
        return _of_reading("request.output_tokens", read)
    if read.call.max_output_tokens is not None:
        return Source(
            Origin.SETTINGS, "`max_output_tokens` of the upstream, for each answer: the request sets no limit"
        )
    return Source(Origin.NOWHERE, "the request sets no limit, and no `max_output_tokens` of the upstream does")


def _asked(call: Call) -> str:
    return f"`{call.method} {cut(call.path, _SHOWN)}`"


def _fields(fields: tuple[str, ...]) -> str:
    return " and ".join(f"`{cut(one, _SHOWN)}`" for one in fields)
