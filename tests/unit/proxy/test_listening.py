"""Ports that taps are given."""

import socket

from tests.support.small_servers import LOOPBACK, free_ports
from wsinspect.proxy import listening
from wsinspect.proxy.taps import Tap


def test_a_tap_without_a_port_does_not_get_the_one_that_another_asks_for(monkeypatch):
    (named,) = free_ports(1)
    bound: list[socket.socket] = []
    bind = listening._bind_any

    def bind_named_first(tap):
        bound.append(bind(tap) if bound else socket.create_server((LOOPBACK, named)))
        return bound[-1]

    monkeypatch.setattr(listening, "_bind_any", bind_named_first)
    taps = [
        Tap(name, host=LOOPBACK, port=port, target=f"http://{LOOPBACK}:9")
        for name, port in (("edge", 0), ("origin", named))
    ]
    edge, origin = listening.choose_ports(taps)
    assert len(bound) == 2
    assert origin.port == named
    assert edge.port not in (0, named)
    assert all(sock.fileno() == -1 for sock in bound)
