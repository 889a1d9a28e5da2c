"""Node `ws` on both sides with permessage-deflate, in every agreement about context takeover: the capture has
the inflated messages that both applications say they sent and received.

RFC 7692 7.1.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.app_capture import asked, engine_before, node, recording
from tests.support.apps import NodeApp
from tests.support.engine import Engine
from tests.support.threaded_loop import ThreadedLoop

pytestmark = pytest.mark.lab

RANDOM = random.Random(7692)
#: Repetitions, which a kept context makes small; noise, which does not shrink; every size of length field.
SCRIPT: list[dict[str, Any]] = [
    {"text": "again and again and again"},
    {"text": "again and again and again"},
    {"text": ""},
    {"hex": ""},
    {"text": "€ and 🙂 cut anywhere, " * 40, "parts": 7},
    {"ping": "between"},
    {"hex": RANDOM.randbytes(300).hex()},
    {"text": "sent as it is, " * 20, "compress": False},
    {"text": "after one that was not compressed, again and again"},
    {"hex": RANDOM.randbytes(70_000).hex(), "parts": 3},
    {"hex": bytes(300_000).hex()},
    {"ping": ""},
    {"text": "again and again and again"},
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[tuple[ThreadedLoop, NodeApp, NodeApp, Engine]]:
    folder = tmp_path_factory.mktemp("node-ws")
    with (
        ThreadedLoop() as loop,
        node(loop, "ws_deflate.mjs", "server") as (server, said),
        node(loop, "ws_deflate.mjs", "client") as (client, _),
        engine_before(folder, app=said["port"]) as engine,
    ):
        yield loop, server, client, engine


def play(lab, options: object, offer: object):
    """One conversation: what the client says, what the server says, what the capture says."""
    loop, server, client, engine = lab
    path = f"/case/{quote(json.dumps([options, offer]))}?options={quote(json.dumps(options))}"
    url = f"ws://127.0.0.1:{engine.port('app')}{path}"
    told = asked(loop, client, url=url, options=offer, script=SCRIPT)
    return told, asked(loop, server, path=path), recording(engine, path)


def check(client, server, kept) -> None:
    assert kept.faults == []
    assert kept.c2s.messages == client["sent"] == server["received"]
    assert kept.s2c.messages == server["sent"] == client["received"]
    assert kept.c2s.close == kept.s2c.close == client["close"] == server["close"] == [4321, "enough"]
    assert [p.decode() for p in kept.c2s.pings] == server["pings"] == ["between", ""]
    assert [p.decode() for p in kept.s2c.pongs] == client["pongs"] == ["between", ""]
    assert client["extensions"] == server["extensions"] == parameters(kept)[0]
    frames = [step.get("parts", 1) for step in SCRIPT if "ping" not in step]
    assert [kind[2] for kind in kept.c2s.kinds] == frames
    connection = kept.connection
    assert (connection.state, connection.ended_by, connection.how) == ("closed", "client", "close-frame")


def parameters(kept) -> list[str]:
    """What the server accepted: the extension's name and its parameters."""
    return (kept.connection.extensions or "").split("; ")


@pytest.mark.parametrize("client_forgets", [False, True], ids=["client-keeps", "client-forgets"])
@pytest.mark.parametrize("server_forgets", [False, True], ids=["server-keeps", "server-forgets"])
def test_every_agreement_about_context_takeover(lab, server_forgets, client_forgets):
    options = {
        "threshold": 0,
        "serverNoContextTakeover": server_forgets,
        "clientNoContextTakeover": client_forgets,
    }
    client, server, kept = play(lab, options, {"threshold": 0})
    check(client, server, kept)
    agreed = {"server_no_context_takeover": server_forgets, "client_no_context_takeover": client_forgets}
    assert set(parameters(kept)[1:]) == {name for name, is_agreed in agreed.items() if is_agreed}
    sent_plain = [step.get("compress") is False for step in SCRIPT if "ping" not in step]
    assert [kind[3] for kind in kept.c2s.kinds] == [not is_plain for is_plain in sent_plain]
    assert all(kind[3] for kind in kept.s2c.kinds)
    # The second of two equal messages is smaller only where the sender remembers the first.
    first, second = kept.c2s.wire_lengths[:2]
    assert (second < first) is not client_forgets


def test_small_windows(lab):
    options = {"threshold": 0, "serverMaxWindowBits": 9, "clientMaxWindowBits": 10}
    client, server, kept = play(lab, options, {"threshold": 0, "clientMaxWindowBits": True})
    check(client, server, kept)
    assert set(parameters(kept)[1:]) == {"server_max_window_bits=9", "client_max_window_bits=10"}


def test_an_offer_that_the_server_does_not_accept(lab):
    client, server, kept = play(lab, False, {"threshold": 0})
    check(client, server, kept)
    assert "permessage-deflate" in kept.request_headers()["sec-websocket-extensions"]
    assert not any(kind[3] for kind in kept.c2s.kinds + kept.s2c.kinds)
