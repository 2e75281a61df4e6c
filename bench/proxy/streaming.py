"""What mitmproxy needs to relay a stream at all: without it, it would keep the events until the last has come."""

from mitmproxy import http


class Streaming:
    """An addon that lets answers pass that are streams of events."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        if flow.response is not None and flow.response.headers.get("content-type", "").startswith("text/event-stream"):
            flow.response.stream = True


addons = [Streaming()]
