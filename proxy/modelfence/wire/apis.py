"""The APIs behind the fence, and what every way to them does alike.

A request becomes a call, whoever read it; what never becomes one is refused in the words of the API that it is for.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modelfence.core.call import Call, Credential, Reading
from modelfence.core.client_address import FORWARDED_FOR, Network, client_address
from modelfence.core.decision import Effect
from modelfence.core.dialect import Answer, Dialect, MalformedRequestError, Refusal, Request
from modelfence.core.hiding import Hidden
from modelfence.core.upstream import Upstream, choose
from modelfence.enforcement.ports import Observer

NO_UPSTREAM = "none"
FAULT = "The service can't check this request right now; try again shortly."
_FIRST_STATUS_OF_OURS = 500


@dataclass(frozen=True, slots=True)
class Apis:
    """Some upstreams, of which there is at least one. `clock_us` gives the time of calls."""

    upstreams: Sequence[Upstream]
    dialects: Mapping[str, Dialect]
    trusted_proxies: Sequence[Network]
    observers: Sequence[Observer]
    clock_us: Callable[[], int]
    hidden: Mapping[str, Hidden] = field(default_factory=dict)
    """Where the answers of each dialect show reasoning; one that is missing can't hide it."""
    client_header: str = FORWARDED_FOR
    """By which trusted proxies say who called them, in lower case."""

    def chosen(self, path: str) -> tuple[Upstream, Dialect, str]:
        """Return the upstream a path is for, its dialect, and the path it receives. Raises MalformedRequestError."""
        chosen = choose(self.upstreams, path)
        if chosen is None:
            raise MalformedRequestError("Nothing is served under this path.", status=404)
        upstream, rest = chosen
        return upstream, self.dialects[upstream.dialect], rest

    def credential_of(self, upstream: Upstream, request: Request) -> Credential:
        """Return what the caller proves himself with. Raises MalformedRequestError."""
        return self.dialects[upstream.dialect].credential(request.headers, request.query)

    def client_ip(self, peer: str, request: Request) -> str:
        """Return the caller's address. Raises MalformedRequestError."""
        values = [value for name, value in request.headers if name == self.client_header]
        return client_address(peer, values, self.trusted_proxies, self.client_header)

    def call(  # noqa: PLR0913 - what a call is made of, by keyword
        self,
        upstream: Upstream,
        request: Request,
        reading: Reading,
        *,
        client_ip: str,
        credential: Credential,
        body: bytes | None = None,
    ) -> Call:
        """Return the call that a request is. `body` is kept for those who record it."""
        return Call(
            id=new_id(),
            at_us=self.clock_us(),
            client_ip=client_ip,
            credential=credential,
            provider=upstream.name,
            method=request.method,
            path=request.path,
            bytes=len(request.body),
            reading=reading,
            max_output_tokens=upstream.max_output_tokens,
            body=body,
        )

    def refusal(self, status: int, message: str, path: str, call_id: str | None = None) -> Answer:
        """Return a refusal in the shape of the API that a path is for, or else of the first.

        Without a call it has an id of its own.
        """
        chosen = choose(self.upstreams, path)
        dialect = self.dialects[(chosen[0] if chosen else self.upstreams[0]).dialect]
        effect = Effect.REJECT if status < _FIRST_STATUS_OF_OURS else Effect.ERROR
        return dialect.refuse(Refusal(effect, status, message, call_id or new_id()))

    def unjudged(self, provider: str, operation: str, effect: Effect) -> None:
        """Tell of a request that was refused without a judgement."""
        for observer in self.observers:
            observer.unjudged(provider, operation, effect)

    def hook_failed(self) -> None:
        """Tell of a failure of the fence itself."""
        for observer in self.observers:
            observer.hook_failed()


def new_id() -> str:
    """Return a fresh decision id: 16 random bytes in hexadecimal."""
    return secrets.token_hex(16)
