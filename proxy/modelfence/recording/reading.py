"""From what a line says to a call, judged as the live fence judges a request: by the same checks, in the same order.

A line says which path was asked for; which upstream that is for, the settings say. One that the live fence wrote names
the upstream itself, and its path is without the upstream's prefix.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from modelfence.core.call import Call, Credential, Reading
from modelfence.core.dialect import Dialect, Headers, MalformedRequestError, Request
from modelfence.core.strict_json import parse
from modelfence.core.upstream import Upstream, choose
from modelfence.recording.lines import Line

type HeadCheck = Callable[[str, str, Headers], None]
"""Checks method, target and headers of a request. Raises MalformedRequestError."""


class CallReader:
    """Reads calls to these upstreams, of which there is at least one.

    Where several have the same prefix, a path is for the first whose dialect knows it.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        dialects: Mapping[str, Dialect],
        *,
        check_head: HeadCheck,
        max_request_bytes: int,
    ) -> None:
        self._upstreams = upstreams
        self._alike: dict[str, list[Upstream]] = {}
        """Those with the same prefix, by that prefix."""
        for one in upstreams:
            self._alike.setdefault(one.prefix, []).append(one)
        self._first_of_each = [alike[0] for alike in self._alike.values()]
        self._dialects = dialects
        self._check_head = check_head
        self._max_request_bytes = max_request_bytes

    def call_of(self, line: Line, call_id: str) -> Call:
        """Return the call of a line. Raises MalformedRequestError for one that the live fence refuses unjudged."""
        self._check_head(line.method, line.path, line.headers)
        if line.bytes > self._max_request_bytes:
            raise MalformedRequestError("The body is too large.", status=413)
        upstream, path = self._upstream_of(line)
        dialect = self._dialects[upstream.dialect]
        reading = line.reading or _read(line, dialect, path)
        return Call(
            id=call_id,
            at_us=line.at_us,
            client_ip=line.client_ip,
            credential=_credential(line, dialect),
            provider=upstream.name,
            method=line.method,
            path=path,
            bytes=line.bytes,
            reading=reading,
            max_output_tokens=upstream.max_output_tokens,
            fingerprint=line.fingerprint if line.reading else None,
        )

    def dialect_of(self, line: Line) -> Dialect:
        """Return the API in whose words the caller is answered: the first where the path is for none."""
        try:
            upstream, _ = self._upstream_of(line)
        except MalformedRequestError:
            upstream = self._upstreams[0]
        return self._dialects[upstream.dialect]

    def _upstream_of(self, line: Line) -> tuple[Upstream, str]:
        """Return the upstream, and the path it receives."""
        path = line.path.partition("?")[0]
        if line.provider is not None:
            named = next((one for one in self._upstreams if one.name == line.provider), None)
            if named is not None:
                return named, path
            known = self._knowing(self._upstreams, line.method, path)
            return replace(known, name=line.provider, max_output_tokens=line.max_output_tokens), path
        chosen = choose(self._first_of_each, path)
        if chosen is None:
            raise MalformedRequestError("Nothing is served under this path.", status=404)
        upstream, rest = chosen
        return self._knowing(self._alike[upstream.prefix], line.method, rest), rest

    def _knowing(self, upstreams: Sequence[Upstream], method: str, path: str) -> Upstream:
        knowing = (one for one in upstreams if self._dialects[one.dialect].operation(method, path) != "unknown")
        return next(knowing, upstreams[0])


def _read(line: Line, dialect: Dialect, path: str) -> Reading:
    known = dialect.operation(line.method, path) != "unknown"
    # A form is for the dialect to read, as in the live fence.
    declared = next((value for name, value in line.headers if name == "content-type"), "")
    is_form = declared.strip().lower().startswith("multipart/form-data")
    json = parse(line.body) if known and line.body and not is_form else None
    return dialect.read(Request(line.method, path, line.headers, line.body, json, _query(line)))


def _credential(line: Line, dialect: Dialect) -> Credential:
    return dialect.credential(line.headers, _query(line)) if line.credential is None else line.credential


def _query(line: Line) -> str:
    return line.path.partition("?")[2]
