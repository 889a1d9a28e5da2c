"""What is left of a client that has gone: nothing that only the cycle collector would find."""

import asyncio
import gc
import weakref
from typing import Any

import pytest
from mitmproxy import options
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode
from mitmproxy.proxy.layers.http._http2 import Http2Server
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.test import tflow

from wsinspect.proxy.seams.http1 import RelayHttp1Server
from wsinspect.proxy.seams.release import forget_cancelling, release

SETTINGS = options.Options()
for name in ("proxy_debug", "validate_inbound_headers"):
    SETTINGS.add_option(name, bool, False, "")


class Handler(ConnectionHandler):
    """A client of no server."""

    async def handle_hook(self, hook: commands.StartHook) -> None:
        return


def handler_with(http1: type[layer.Layer]) -> Handler:
    """A client whose request is read by a layer of this kind."""
    handler = Handler(Context(tflow.tclient_conn(), SETTINGS))
    first = handler.layer
    assert isinstance(first, layer.NextLayer)
    first.layer = http = HttpLayer(first.context, HTTPMode.transparent)
    http.connections[first.context.client] = http1(first.context.fork())
    return handler


@pytest.fixture
def by_hand() -> Any:
    """The cycle collector does not run."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(("kind", "is_let_go"), [(RelayHttp1Server, True), (Http2Server, False)])
def test_layers_of_a_client_that_has_gone(by_hand: None, kind: Any, is_let_go: bool) -> None:
    async def run() -> weakref.ref[Any]:
        handler = handler_with(kind)
        reading = next(iter(handler.layer.layer.connections.values()))  # type: ignore[attr-defined]
        list(reading.handle_event(events.Start()) if kind is RelayHttp1Server else ())
        release(handler)
        return weakref.ref(reading)

    assert (asyncio.run(run())() is None) is is_let_go


@pytest.mark.asyncio
async def test_what_still_comes_for_a_client_that_has_gone_has_nowhere_to_go() -> None:
    handler = handler_with(RelayHttp1Server)
    release(handler)
    await handler.server_event(events.DataReceived(handler.client, b"late"))


def test_a_loop_that_is_cancelled_is_not_kept_by_its_traceback(by_hand: None) -> None:
    class Reading(Handler):
        async def handle_connection(self, connection: Any) -> None:
            cancelled = None
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                cancelled = error
            if cancelled:
                raise cancelled

    async def run() -> weakref.ref[Any]:
        handler = Reading(Context(tflow.tclient_conn(), SETTINGS))
        release(handler)
        forget_cancelling(handler)
        task = asyncio.ensure_future(handler.handle_connection(handler.client))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del vars(handler)["handle_connection"]
        return weakref.ref(handler)

    assert asyncio.run(run())() is None
