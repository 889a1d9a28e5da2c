"""A playbook for sans-I/O layers: events in, expected commands out, in the order of play.

    play(layer) >> data(C, b"x") << send(S, b"x") >> closed(S) << ...

`>>` feeds an event; `<<` expects the next thing that the layer yielded or asked of its link. Everything must
be expected: `done()`, or leaving the `with` block, fails on what was not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mitmproxy import connection, http, options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.test import tflow
from mitmproxy.websocket import WebSocketData

from wsinspect.proxy.relay import Link, RelayLayer
from wsinspect.wire.opcodes import Direction


@dataclass(eq=False)
class FakeLink:
    """The layer's surroundings: a clock that counts, and a list of what was asked."""

    log: list[Any]
    ends: dict[str, list[str]] = field(default_factory=dict)
    rests: dict[str, bytes] = field(default_factory=dict)
    time_ns: int = 0

    def now_ns(self) -> int:
        self.time_ns += 1
        return self.time_ns

    def opened(self) -> None:
        self.log.append("opened")

    def takes(self, direction: Direction, data: bytes, time_ns: int) -> bool:
        return False

    def record(self, direction: Direction, data: bytes, time_ns: int) -> None:
        self.log.append(("record", direction, data))

    def end_of(self, conn: connection.Connection) -> str:
        return self.ends[conn.id].pop(0)

    def leftover(self, conn: connection.Connection) -> bytes:
        return self.rests.pop(conn.id, b"")

    def pass_on(self, ended: connection.Connection, how: str) -> None:
        self.log.append(("pass_on", ended.id, how))

    def finished(self) -> None:
        self.log.append("finished")


class Playbook:
    """One relay layer under test, with `client` and `server` as its two sides."""

    def __init__(self) -> None:
        self.client = tflow.tclient_conn()
        self.server = tflow.tserver_conn()
        self.log: list[Any] = []
        self.link = FakeLink(self.log)
        self.flow = tflow.tflow(client_conn=self.client, server_conn=self.server, resp=True)
        self.flow.websocket = WebSocketData()
        self.layer = _layer(self)
        self._is_started = False

    def __enter__(self) -> Playbook:
        self.feed(events.Start())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.done()

    def ends(self, side: connection.Connection, *hows: str) -> Playbook:
        """How this side's next ends will look on its socket."""
        self.link.ends.setdefault(side.id, []).extend(hows)
        return self

    def feed(self, event: events.Event) -> None:
        waiting = [event]
        while waiting:
            for command in self.layer.handle_event(waiting.pop(0)):
                self.log.append(command)
                if isinstance(command, commands.StartHook) and command.blocking:
                    waiting.append(events.HookCompleted(command))

    def __rshift__(self, event: events.Event) -> Playbook:
        self.feed(event)
        return self

    def __lshift__(self, expected: Any) -> Playbook:
        assert self.log, f"expected {expected!r}, but the layer did nothing"
        seen = self.log.pop(0)
        if isinstance(expected, Send):
            assert isinstance(seen, commands.SendData), f"expected {expected!r}, seen {seen!r}"
            assert seen.connection is expected.side
            assert seen.data is expected.data, "not the same bytes object"
        elif isinstance(expected, str) and isinstance(seen, commands.StartHook):
            assert seen.name == expected
        else:
            assert seen == expected
        return self

    def done(self) -> None:
        assert not self.log, f"not expected: {self.log!r}"


@dataclass
class Send:
    """`data`, the very object, is sent to `side`."""

    side: connection.Connection
    data: bytes


def _layer(playbook: Playbook) -> RelayLayer:
    context = Context(playbook.client, options.Options())
    context.server = playbook.server

    def make_link(context: Context, flow: http.HTTPFlow) -> Link:
        return playbook.link

    class Layer(RelayLayer):
        """A class of its own, so that no other test gets this link."""

    Layer.make_link = make_link
    return Layer(context, playbook.flow)


def data(side: connection.Connection, chunk: bytes) -> events.DataReceived:
    return events.DataReceived(side, chunk)


def closed(side: connection.Connection) -> events.ConnectionClosed:
    return events.ConnectionClosed(side)
