"""What goes beside the fence under mitmproxy's stock runner: it keeps what can be kept there, and says what can't.

Under `mitmdump -s` nothing of the guard is in force: its classes are the guarded runner's. The stock one is for looking
at traffic by hand.
"""

import logging
from weakref import WeakSet

from mitmproxy import ctx, exceptions, http

from modelfence.wire.sanitise import closes_connection

log = logging.getLogger(__name__)

UNGUARDED = """\
modelfence runs under mitmproxy's stock runner, which it can't guard. Each call is judged, but mitmproxy
- reads heads leniently: bare line ends, folded headers and control characters pass as something else;
- holds heads, bodies and pipelined requests of any size in memory, and refuses only once a body is whole;
- answers what it can't read itself, in HTML, with its version and the upstream's address in it;
- answers a client with 502 for as long as it stays connected once a connection to the upstream failed;
- leaves a client waiting whose request or whose answer has trailers;
- ends connections on exit without settling what was reserved for them.
Use it to look at traffic by hand, and `modelfence run` for whatever strangers can reach."""


class StockRunner:
    """An addon for the stock runner, beside `FenceAddon`."""

    def __init__(self) -> None:
        self._closing: WeakSet[http.HTTPFlow] = WeakSet()

    def configure(self, updated: set[str]) -> None:
        """Refuse modes in which clients choose the destination: what they tunnel is not judged."""
        if "mode" in updated and not all(
            mode.startswith(("reverse:http:", "reverse:https:")) for mode in ctx.options.mode
        ):
            message = "modelfence runs in reverse mode only: give --mode reverse:URL with http or https"
            raise exceptions.OptionsError(message)

    def running(self) -> None:
        """Say what this runner can't guard."""
        log.warning(UNGUARDED)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Remember who wants the connection closed, before the header that says so is dropped."""
        if flow.request.http_version == "HTTP/1.0" or closes_connection(flow.request.data.headers.fields):
            self._closing.add(flow)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Tell such a client, and mitmproxy, that the connection closes after this answer."""
        if flow in self._closing and flow.response is not None:
            flow.response.headers["connection"] = "close"
