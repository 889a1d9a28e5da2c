"""The start-up self-check: is this a mitmproxy that the seams know?

Two questions, both answered before anything is patched: is the version in the range that was tested (see
pyproject), and does every name, signature and source line that a seam leans on still exist? A wrong answer
is a `LocalError` that names what is missing: a proxy that silently falls back to stock behaviour would
falsify what it shows.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from types import CodeType, SimpleNamespace
from typing import Any

from wsinspect.errors import LocalError

#: (from, before) pairs of the versions whose sources the seams were checked against.
KNOWN_VERSIONS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((11, 0, 2), (11, 1)),
    ((12, 2), (12, 4)),
)


def parse_version(text: str) -> tuple[int, ...]:
    """'12.2.3' -> (12, 2, 3); stops at the first part that is not a number."""
    parts: list[int] = []
    for part in text.split("."):
        if not part.isdigit():
            break
        parts.append(int(part))
    return tuple(parts)


def is_known_version(text: str) -> bool:
    version = parse_version(text)
    return any(low <= version < high for low, high in KNOWN_VERSIONS)


def verify() -> None:
    """Check version and names.

    Raises:
        LocalError: with the version, or with the first name that is not as expected.
    """
    from mitmproxy import version

    if not is_known_version(version.VERSION):
        raise LocalError(
            f"mitmproxy {version.VERSION} is not supported by the relay",
            hint="install mitmproxy 12.3 or 12.2 (Python 3.12 or newer) or 11.0.2 (Python 3.11)",
        )
    for what, check in _CHECKS:
        try:
            fine = check()
        except (AttributeError, ImportError, TypeError, ValueError, OSError) as error:
            raise _unknown(f"{what} ({error})") from error
        if not fine:
            raise _unknown(what)


def _unknown(what: str) -> LocalError:
    return LocalError(
        f"mitmproxy has changed where the relay is attached: {what}",
        hint="install a mitmproxy version that pyproject.toml allows",
    )


def _source_has(function: Any, *needles: str) -> bool:
    source = _source(inspect.unwrap(function).__code__)
    return all(needle in source for needle in needles)


def _source(code: CodeType) -> str:
    """The lines of a function.

    `inspect.getsource` goes through tokens to find where a function ends: 20 ms of each start for all checks.

    Raises:
        OSError: there is no source.
    """
    lines = linecache.getlines(code.co_filename)
    if not lines:
        raise OSError(f"no source of {code.co_qualname}")
    return "".join(lines[code.co_firstlineno - 1 : _last_line(code)])


def _last_line(code: CodeType) -> int:
    own = (line for _, line, _, _ in code.co_positions() if line is not None)
    return max(*own, *(_last_line(each) for each in code.co_consts if isinstance(each, CodeType)), 0)


def _layer_lookup() -> bool:
    from mitmproxy.proxy.layers import http, websocket

    return _source_has(http.HttpStream.flow_done, "websocket.WebsocketLayer(self.context, self.flow)") and (
        vars(http)["websocket"] is websocket
    )


def _http1_lookup() -> bool:
    from mitmproxy.proxy.layers import http

    return _source_has(http.HttpLayer._handle_event, "Http1Server(self.context.fork())") and _source_has(
        http.HttpClient._handle_event, "Http1Client(self.context)"
    )


def _http1_shape() -> bool:
    from mitmproxy.proxy.layers.http import _http1

    names = ("read_headers", "read_body", "wait", "make_pipe", "passthrough", "mark_done", "send")
    return all(hasattr(_http1.Http1Server, name) and hasattr(_http1.Http1Client, name) for name in names)


def _receive_buffer() -> bool:
    from h11._receivebuffer import ReceiveBuffer

    return _source_has(
        ReceiveBuffer.maybe_extract_lines, "search(self._data, self._multiple_lines_search)"
    ) and _source_has(ReceiveBuffer._extract, "self._multiple_lines_search = 0")


def _http2_lookup() -> bool:
    from mitmproxy.proxy.layers import http
    from mitmproxy.proxy.layers.http import _http2

    return (
        _source_has(http.HttpLayer._handle_event, "Http2Server(self.context.fork())")
        and _source_has(http.HttpClient._handle_event, "Http2Client(self.context)")
        and _source_has(_http2.Http2Server.handle_h2_event, "RequestReceived")
        and _source_has(_http2.Http2Client.handle_h2_event, "RemoteSettingsChanged")
    )


def _http2_shape() -> bool:
    from h2.connection import H2Connection
    from h2.frame_buffer import FrameBuffer
    from h2.stream import H2Stream
    from mitmproxy.proxy.layers import http
    from mitmproxy.proxy.layers.http import _http2, _http_h2

    return (
        _source_has(
            H2Connection.__init__,
            "GoAwayFrame: self._receive_goaway_frame",
            "AltSvcFrame: self._receive_alt_svc_frame",
            "self._data_to_send = bytearray()",
            "self._inbound_flow_control_window_manager = WindowManager(",
        )
        and _source_has(H2Stream.__init__, "self._inbound_window_manager", "self._expected_content_length")
        and _source_has(FrameBuffer.__init__, "self._headers_buffer")
        and hasattr(H2Connection, "_terminate_connection")
        and _source_has(_http2.Http2Connection.handle_h2_event, "acknowledge_received_data")
        and hasattr(H2Connection, "_prepare_for_sending")
        and _source_has(_http_h2.BufferedH2Connection.receive_data, "self.connection_window_updated()")
        and _source_has(_http2.Http2Client._handle_event, "self._handle_event2(event)")
        and _source_has(http.HttpLayer.event_to_child, "self.connections[command.connection]")
        and _source_has(http.HttpStream.passthrough, "yield command")
    )


def _handler_shape() -> bool:
    from mitmproxy.proxy import server

    handler = server.ConnectionHandler
    return (
        list(inspect.signature(handler.close_connection).parameters) == ["self", "connection", "half_close"]
        and list(inspect.signature(handler.drain_writers).parameters) == ["self"]
        and _source_has(handler.handle_connection, "await self.drain_writers()", "reader.read(65535)")
        and _source_has(server.TimeoutWatchdog.watch, "self.timeout")
    )


def _hooks_shape() -> bool:
    from mitmproxy import addonmanager
    from mitmproxy.proxy import commands, mode_servers, server

    manager = addonmanager.AddonManager
    return (
        _source_has(server.ConnectionHandler.hook_task, "await self.handle_hook(hook)", "HookCompleted(hook)")
        and _source_has(mode_servers.ProxyConnectionHandler.handle_hook, "addons.handle_lifecycle(hook)")
        and _source_has(manager.handle_lifecycle, "self.trigger_event(hooks.UpdateHook([message]))")
        and all(hasattr(manager, name) for name in ("register", "add", "remove", "clear"))
        and commands.StartHook.blocking is True
    )


def _message_shape() -> bool:
    from mitmproxy import http

    check = vars(http.MessageData).get("__post_init__")
    # Under `python -O` there is none.
    return check is None or check.__module__ != http.__name__ or _source_has(check, "check_option_type(")


def _waste_shape() -> bool:
    from mitmproxy import hooks, http, options, optmanager
    from mitmproxy.net.http import url
    from mitmproxy.proxy import context, events

    client: Any = SimpleNamespace(transport_protocol="tcp")
    checked = (hooks.Hook.__new__, events.CommandCompleted.__new__)
    return (
        set(vars(context.Context(client, options.Options()))) == {"client", "options", "server", "layers"}
        and {"value", "_default"} <= set(optmanager._Option.__slots__)
        and hasattr(optmanager, "unset")
        and all(one.__name__ == "_new" or _source_has(one, "is_dataclass(cls)") for one in checked)
        and (
            http.Headers.get_all.__name__ == "_get_all"
            or (
                _source_has(http.Headers.get_all, "_always_bytes(name)")
                and _source_has(http.Headers._kconv, "key.lower()")
            )
        )
        and list(inspect.signature(url.parse_authority).parameters) == ["authority", "check"]
    )


def _tls_shape() -> bool:
    from mitmproxy.proxy import tunnel
    from mitmproxy.proxy.layers import tls

    return _source_has(tls.TLSLayer.receive_close, "RECEIVED_SHUTDOWN") and _source_has(
        tunnel.TunnelLayer.receive_close, "ConnectionClosed(self.conn)"
    )


def _proxyserver_shape() -> bool:
    from mitmproxy.addons.proxyserver import Proxyserver
    from mitmproxy.proxy.server import TimeoutWatchdog

    return _source_has(
        Proxyserver.register_connection, "self.connections[connection_id] = handler"
    ) and _source_has(TimeoutWatchdog.__init__, "self.callback = callback")


def _layer_shape() -> bool:
    from mitmproxy.proxy import layer

    return (
        {"_paused", "_paused_event_queue"}
        <= set(vars(layer.Layer).get("__annotations__", ())) | set(layer.Layer.__init__.__code__.co_names)
        and _source_has(layer.Layer.handle_event, "._paused_event_queue.append(")
        and _source_has(vars(layer.Layer)["_Layer__continue"], "._paused_event_queue.popleft()")
        and _source_has(layer.NextLayer._handle_event, "mevents.DataReceived", "self._ask()")
    )


def _next_layer_shape() -> bool:
    from mitmproxy.addons import next_layer

    stock = next_layer.NextLayer
    return (
        list(inspect.signature(stock._ignore_connection).parameters)
        == list(inspect.signature(stock._next_layer).parameters)
        == ["self", "context", "data_client", "data_server"]
        and list(inspect.signature(stock._is_destination_in_hosts).parameters) == ["context", "hosts"]
        and issubclass(next_layer.NeedsMoreData, Exception)
        and _source_has(stock.next_layer, "nextlayer.layer = self._next_layer(")
        and _source_has(stock._next_layer, "starts_like_tls_record(data_client)", 'data_client.find(b"\\n")')
    )


def _openssl_shape() -> bool:
    from OpenSSL import SSL

    names = (
        *("SSL_get_verify_result", "X509_verify_cert_error_string"),
        *("SSL_read", "SSL_get_error", "SSL_ERROR_WANT_READ", "BIO_read"),
    )
    return (
        all(hasattr(SSL._lib, name) for name in names)  # type: ignore[attr-defined]
        and all(hasattr(SSL._ffi, name) for name in ("string", "buffer", "new_allocator"))  # type: ignore[attr-defined]
        and {"_ssl", "_from_ssl"} <= set(SSL.Connection.__init__.__code__.co_names)
        and hasattr(SSL.Connection, "_raise_ssl_error")
    )


def _streams_shape() -> bool:
    import asyncio
    from asyncio import selector_events, streams

    protocol = asyncio.StreamReaderProtocol
    reader = asyncio.StreamReader(loop=_NoLoop())  # type: ignore[arg-type]
    return (
        all(hasattr(protocol, name) for name in ("_drain_helper", "pause_writing", "resume_writing"))
        and {"_waiter", "_buffer", "_eof"} <= set(vars(reader))
        and "_paused" in streams.FlowControlMixin.__init__.__code__.co_names
        and "_sock" in selector_events._SelectorTransport.__init__.__code__.co_names  # type: ignore[attr-defined]
    )


def _arrival_shape() -> bool:
    from mitmproxy.proxy import mode_servers, server
    from mitmproxy.proxy.layers import http

    instance = mode_servers.AsyncioServerInstance
    return (
        _source_has(instance.listen, "asyncio.start_server(self.handle_stream, host, port)")
        and _source_has(instance.handle_stream, "self.make_top_layer(", "self.manager.register_connection(")
        and list(inspect.signature(server.ConnectionHandler.__init__).parameters) == ["self", "context"]
        and _source_has(server.ConnectionHandler.server_event, "async with self._server_event_lock")
        and _source_has(server.ConnectionHandler.handle_client, "await self.server_event(events.Start())")
        and _source_has(http.HttpLayer.__init__, "self.streams = {}", "self.connections = {}")
        and _source_has(http.HttpStream.state_wait_for_request_headers, "HttpRequestHeadersHook(self.flow)")
    )


class _NoLoop:
    """Enough of a loop to make a StreamReader outside of one."""

    def get_debug(self) -> bool:
        return False


_CHECKS: tuple[tuple[str, Callable[[], bool]], ...] = (
    ("HttpStream.flow_done looks up WebsocketLayer at call time", _layer_lookup),
    ("HttpLayer looks up Http1Server and Http1Client at call time", _http1_lookup),
    ("Http1Connection's states", _http1_shape),
    ("h11's receive buffer", _receive_buffer),
    ("HttpLayer looks up Http2Server and Http2Client at call time", _http2_lookup),
    ("h2's frames, and where Http2Client and HttpLayer take events", _http2_shape),
    ("ConnectionHandler's close_connection, drain_writers and read loop", _handler_shape),
    ("how hooks reach the addons", _hooks_shape),
    ("the type check of messages", _message_shape),
    ("contexts, options, hooks and hosts", _waste_shape),
    ("TLSLayer.receive_close and TunnelLayer.receive_close", _tls_shape),
    ("Proxyserver.connections", _proxyserver_shape),
    ("Layer's pause, and when NextLayer asks", _layer_shape),
    ("the addon NextLayer's decisions", _next_layer_shape),
    ("OpenSSL's result of a verification", _openssl_shape),
    ("asyncio's StreamReaderProtocol and StreamReader", _streams_shape),
    ("how a listener's clients come to the layers", _arrival_shape),
)
