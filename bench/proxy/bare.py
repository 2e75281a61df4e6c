"""mitmproxy alone, embedded as the fence embeds it: the same options, no guard, no addon but what relays streams.

Run: python -m bench.proxy.bare PORT UPSTREAM_PORT
"""

import asyncio
import sys
from typing import Any

from bench.proxy.streaming import Streaming
from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from modelfence.listening import listen


class Options:
    """The options of mitmproxy's server, without the server."""

    def load(self, loader: Any) -> None:
        Proxyserver().load(loader)


async def serve(port: int, upstream_port: int) -> None:
    """Serve until cancelled."""
    master = Master(options.Options())
    master.addons.add(Options(), Streaming())
    master.options.update(
        connection_strategy="lazy",
        http2=False,
        websocket=False,
        rawtcp=False,
        keep_host_header=True,
        validate_inbound_headers=True,
    )
    mode = mode_specs.ProxyMode.parse("reverse:http://upstream.invalid")

    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = ProxyConnectionHandler(master, reader, writer, master.options, mode)
        context = handler.layer.context
        context.server.address = ("127.0.0.1", upstream_port)
        handler.layer = HttpLayer(context, HTTPMode.transparent)
        await handler.handle_client()

    server = await asyncio.start_server(on_client, sock=listen("127.0.0.1", port))
    async with server:
        await master.run()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
