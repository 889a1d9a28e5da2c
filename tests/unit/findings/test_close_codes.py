"""Private close codes: named where a connection shows whose they are, quoted where nobody knows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import HELLO, ended, frame, request, switching
from wsinspect.findings.close_codes import known_code
from wsinspect.findings.facts import C2S, S2C
from wsinspect.findings.registry import diagnose_connection


@pytest.mark.parametrize(
    ("place", "subprotocol", "reason", "code", "library", "name"),
    [
        ("example.org/chat", "", "", 3000, "IANA", "Unauthorized"),
        ("example.org/chat", "", "", 3003, "IANA", "Forbidden"),
        ("example.org/chat", "", "", 3008, "IANA", "Timeout"),
        ("example.org/graphql", "graphql-transport-ws", "", 4400, "graphql-ws", "Bad Request"),
        ("example.org/graphql", "graphql-transport-ws", "", 4004, "graphql-ws", "Bad Response"),
        ("example.org/yjs", "", "Reset Connection", 4205, "Hocuspocus (Yjs)", "Reset Connection"),
        ("ws-eu.pusher.com/app/k?protocol=7", "", "", 4001, "Pusher", "no such application"),
        ("localhost:8080/app/k?protocol=7&client=js", "", "", 4201, "Pusher", "pong not received"),
        ("gateway.discord.gg/?v=10", "", "", 4014, "Discord gateway", "disallowed intents"),
        ("c-ams01.discord.media/?v=8", "", "", 4014, "Discord voice", "disconnected"),
        ("eventsub.wss.twitch.tv/ws", "", "", 4003, "Twitch EventSub", "connection unused"),
        ("api.openai.com/v1/realtime?model=x", "", "", 3000, "OpenAI Realtime", "invalid request"),
        ("localhost:9/", "", "invalid_request_error.x", 4000, "OpenAI Realtime", "invalid request"),
        ("streaming.assemblyai.com/v3/ws", "", "", 3008, "AssemblyAI streaming", "session expired"),
        ("api.elevenlabs.io/v1/convai/conversation?agent_id=x", "", "", 3000, "ElevenLabs", "request error"),
        ("api.gladia.io/v2/live?token=x", "", "", 4403, "Gladia live", "job ended"),
        ("live.pandascore.co/matches/1", "", "", 4029, "PandaScore", "too many connections"),
        ("localhost:8000/socketcluster/", "", "", 4001, "SocketCluster", "client pong timed out"),
        ("localhost:8000/connection/websocket", "", "", 3008, "Centrifugo", "slow"),
        ("localhost:8000/x", "centrifuge-protobuf", "", 3500, "Centrifugo", "invalid token"),
        ("api.liveblocks.io/v7", "", "", 4005, "Liveblocks", "room full"),
        ("localhost:4455/", "", "", 4009, "obs-websocket", "authentication failed"),
        ("localhost:1/", "obswebsocket.json", "", 4011, "obs-websocket", "session invalidated"),
        # Nothing shows whose it is: by convention 4000 and an HTTP status.
        ("example.org/chat", "", "", 4401, "by convention", "HTTP's 401 Unauthorized"),
        ("notdiscord.gg.example/", "", "", 4404, "by convention", "HTTP's 404 Not Found"),
    ],
)
def test_a_code_is_named(place, subprotocol, reason, code, library, name):
    known = known_code(code, subprotocols=[subprotocol], place=place, reason=reason)
    assert known is not None
    assert (known.library, known.name) == (library, name)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("example.org/chat", 4014),
        ("evildiscord.gg/", 4014),
        ("example.org/app/k", 4201),
        ("example.org/socketclusters", 4001),
        ("notgladia.io/v2/live", 4001),
        ("example.org/connection/websockets", 3500),
        ("example.org/chat", 4205),
        ("localhost:44551/", 4009),
    ],
)
def test_a_code_of_somebody_else_s_is_not(place, code):
    assert known_code(code, subprotocols=[], place=place, reason="") is None


@pytest.mark.parametrize("side", ["client", "server"])
def test_an_unknown_code_of_either_side_is_a_warning_that_quotes_it(side):
    (one,) = diagnose_connection(ended(by=side, code=4321, reason="kicked"))
    assert (one.id, one.severity, one.fault_of) == ("WS-CL-030", "warning", side)
    assert one.title == f"The {side} closed with its own code 4321 'kicked'"


@pytest.mark.parametrize(
    ("side", "code", "fault"),
    [
        # The library says whose mistake it was, whoever sent it.
        ("server", 4401, "client"),
        ("server", 4500, "server"),
        ("client", 4004, "server"),
        ("client", 4504, "server"),
        ("client", 4005, "client"),
    ],
)
def test_the_side_that_a_library_s_code_blames(side, code, fault):
    head = request(Sec_WebSocket_Protocol="graphql-transport-ws")
    facts = replace(ended(by=side, code=code), raw_request_in=head, raw_request_out=head)
    one, *_ = diagnose_connection(facts)
    assert one.title.startswith(f"GraphQL: the {side} closed with {code}: ")
    assert one.fault_of == fault


@pytest.mark.parametrize(("side", "code"), [("client", 3000), ("client", 4401), ("server", 4503)])
def test_a_code_of_no_library_blames_its_sender_where_it_is_the_client(side, code):
    (one,) = diagnose_connection(ended(by=side, code=code))
    assert (one.title.split()[1], one.fault_of) == (side, side)


def test_who_speaks_the_other_subprotocol_of_graphql_is_not_told_that_the_server_chose_none():
    head = request("/graphql", Sec_WebSocket_Protocol="graphql-ws")
    facts = replace(
        ended(*HELLO, by="server", code=4406, reason="Subprotocol not acceptable"),
        path="/graphql",
        raw_request_in=head,
        raw_request_out=head,
        raw_response_in=switching(),
    )
    (found,) = diagnose_connection(facts)
    assert (found.id, found.fault_of) == ("WS-APP-010", "client")
    assert "chosen none" in found.evidence[0]


def _compressed(by, code, reason, *, is_on=True, rsv=0x40, sender=None):
    """A side closes although what it got is right by what was negotiated here."""
    sender = (S2C if by == "client" else C2S) if sender is None else sender
    deflate = "permessage-deflate"
    head = request(Sec_WebSocket_Extensions=deflate) if is_on else request()
    answer = switching(Sec_WebSocket_Extensions=deflate) if is_on else switching()
    got = frame(3, sender, 0.3, 1, b"x" * 9, header=bytes([0x81 | rsv, 9]))
    return replace(
        ended(*HELLO, got, by=by, code=code, reason=reason),
        raw_request_out=head,
        raw_response_in=answer,
    )


@pytest.mark.parametrize(("by", "code"), [("client", 1002), ("server", 1002), ("client", 1007)])
@pytest.mark.parametrize("reason", ["reserved bits must be 0", "Invalid frame header", "RSV1 set", ""])
def test_who_takes_right_compressed_frames_for_broken_is_behind_a_hop_that_changed_the_extensions(
    by, code, reason
):
    found = diagnose_connection(_compressed(by, code, reason))[0]
    assert (found.id, found.fault_of, found.confidence) == (f"WS-CL-{code - 1000:03}", "hop", "medium")
    assert "compressed frames" in found.title
    assert "Sec-WebSocket-Extensions" in found.causes[0].cause


@pytest.mark.parametrize(
    "facts",
    [
        _compressed("client", 1002, "unexpected opcode"),  # about something else
        _compressed("client", 1002, "", is_on=False, rsv=0),
        _compressed("client", 1002, "", rsv=0),  # negotiated, and not used
        _compressed("client", 1002, "", sender=C2S),  # its own
    ],
)
def test_a_1002_without_a_broken_frame_is_what_the_closer_says_and_no_more(facts):
    found = diagnose_connection(facts)[0]
    assert (found.id, found.fault_of, found.confidence) == ("WS-CL-002", "server", "medium")


def test_a_close_about_the_subprotocol_is_the_offers_and_no_broken_frame():
    offer, chosen = request(Sec_WebSocket_Protocol="v9"), switching(Sec_WebSocket_Protocol="v1")
    said: dict[str, Any] = {"code": 1002, "reason": "no recognized subprotocol"}
    (offered,) = worse(ended(by="server", raw_request_in=offer, raw_request_out=offer, **said))
    assert (offered.id, offered.fault_of) == ("WS-CL-034", "client")
    assert "offered: v9; chosen: none" in offered.evidence
    (demanded,) = worse(ended(by="server", **said))
    assert "none was offered" in demanded.title
    (foreign,) = worse(
        ended(by="client", raw_request_in=offer, raw_request_out=offer, raw_response_in=chosen, **said)
    )
    assert (foreign.id, foreign.fault_of) == ("WS-CL-034", "server")


def worse(facts):
    return [one for one in diagnose_connection(facts) if one.severity != "note"]
