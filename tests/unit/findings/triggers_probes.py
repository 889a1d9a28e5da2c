"""For each rule over probes: questions and answers that trigger it, and near ones that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.findings.facts_made import ended, failed, refused, request
from wsinspect.findings.facts import C2S, ConnectionFacts, PingFact
from wsinspect.findings.probes import Probe, ProbeFacts, TriedAddress

FORBIDDEN = refused("403 Forbidden")
OK = ended()
PINGED = (PingFact(1, C2S, OK.open_ns or 0, None, None),)
ANSWERED = (PingFact(1, C2S, OK.open_ns or 0, 2, 1000),)
AT_HOME = ended(server_address="127.0.0.1:80", raw_request_out=request(Origin="https://app.example.com"))
AT_PING = ended(pings=PINGED, ended_by="server", how="fin")
OVER_HTTP2 = replace(OK, status=200, events=(("h2", {"alpn": "h2", "announced": True}),))
REFUSED_H2 = replace(OVER_HTTP2, status=426)
NOT_ANNOUNCED = (("h2", {"alpn": "h2", "announced": False}),)


def probe(kind: str, facts: ConnectionFacts, **more: Any) -> Probe:
    """One question."""
    return Probe(kind, f"asked {kind}", replace(facts, id=2, **more))


def asked(main: ConnectionFacts, *others: Probe, **more: Any) -> ProbeFacts:
    """A browser's handshake, and what else was asked."""
    return ProbeFacts(main=Probe("handshake", "the handshake", main), others=others, **more)


def addresses(*errors: str | None, is_local: bool = False, hosts: str = "192.0.2.") -> ProbeFacts:
    """A name whose addresses accept connections, or do not."""
    tried = [TriedAddress(f"{hosts}{n}:80", error, is_local) for n, error in enumerate(errors)]
    return asked(OK, addresses=tuple(tried))


def strict(error: str | None, main: ConnectionFacts = OK) -> ProbeFacts:
    """What h11 says of the response."""
    return asked(replace(main, events=() if error is None else (("strict", {"error": error}),)))


FIREFOX = probe("connection", refused("400 Bad Request"))
LATER = probe("without:sec-websocket-extensions", OK)

CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-HS-050": (
        [
            asked(FORBIDDEN, probe("without:origin", OK)),
            asked(FORBIDDEN, probe("without:sec-websocket-extensions", OK)),
            asked(FORBIDDEN, probe("without:x-one,x-two", OK)),
            asked(failed("connection closed", where="response"), probe("without:cookie", OK)),
            # A server that demands an Origin, and its own.
            asked(FORBIDDEN, probe("bare", FORBIDDEN), probe("origin:own", OK)),
            asked(refused("404 Not Found"), probe("origin:own", OK)),
        ],
        [
            asked(FORBIDDEN, probe("without:origin", FORBIDDEN)),
            asked(OK, probe("without:origin", OK)),
            asked(FORBIDDEN, probe("only:origin", OK)),
            asked(FORBIDDEN, probe("origin:own", FORBIDDEN)),
            asked(OK, probe("origin:own", OK)),
            asked(refused("431 Request Header Fields Too Large"), probe("without:cookie", OK)),
        ],
    ),
    "WS-HS-051": (
        [asked(refused("404 Not Found"), probe("slash", OK))],
        [
            asked(refused("404 Not Found"), probe("slash", refused("404 Not Found"))),
            asked(refused("301 Moved Permanently", Location="/chat/"), probe("slash", OK)),
        ],
    ),
    "WS-HS-052": (
        [asked(refused("400 Bad Request"), probe("subprotocol:graphql-ws", OK))],
        [asked(refused("400 Bad Request"), probe("subprotocol:graphql-ws", refused("400 Bad Request")))],
    ),
    "WS-HS-063": (
        [asked(FORBIDDEN, probe("query:none", OK))],
        [asked(FORBIDDEN, probe("query:none", FORBIDDEN)), asked(OK, probe("query:none", OK))],
    ),
    "WS-HS-053": (
        [asked(FORBIDDEN, probe("host:localhost", OK))],
        [asked(FORBIDDEN, probe("host:localhost", FORBIDDEN))],
    ),
    "WS-HS-054": (
        [
            asked(refused("404 Not Found"), probe("scheme", OK, scheme="wss")),
            asked(failed("TLS with the server failed: timed out", where="tls-server"), probe("scheme", OK)),
        ],
        [
            asked(refused("404 Not Found"), probe("scheme", failed("refused", where="connect"))),
            asked(
                failed("TLS with the server failed: wrong version number", where="tls-server"),
                probe("scheme", OK),
            ),
        ],
    ),
    "WS-HS-055": (
        [
            asked(OK, probe("origin:foreign", OK)),
            asked(replace(OK, raw_request_in=request(Cookie="sid=1")), probe("origin:foreign", OK)),
        ],
        [
            asked(OK, probe("origin:foreign", FORBIDDEN)),
            asked(FORBIDDEN, probe("origin:foreign", OK)),
            asked(OK, probe("origin:own", OK)),
        ],
    ),
    "WS-HS-056": (
        [asked(refused("503 Service Unavailable"), probe("repeat", OK))],
        [asked(refused("503 Service Unavailable"), probe("repeat", refused("503 Service Unavailable")))],
    ),
    "WS-HS-057": (
        [asked(refused("400 Bad Request"), probe("connection", OK))],
        [
            asked(refused("400 Bad Request"), probe("connection", refused("400 Bad Request"))),
            asked(OK, probe("connection", OK)),
        ],
    ),
    "WS-HS-065": (
        [asked(OK, FIREFOX, LATER), asked(OK, probe("connection", refused("404 Not Found")), LATER)],
        [
            asked(OK, probe("connection", OK), LATER),
            asked(OK, FIREFOX),  # nothing later shows that it is not all that is refused
            asked(OK, FIREFOX, probe("without:sec-websocket-extensions", refused("400 Bad Request"))),
            asked(OK, probe("connection", refused("429 Too Many Requests")), LATER),
            asked(OK, probe("connection", failed("no answer", where="client")), LATER),
            asked(refused("400 Bad Request"), FIREFOX, LATER),
        ],
    ),
    "WS-HS-058": (
        [addresses(None, "connection refused"), addresses("timed out", None, hosts="127.0.0.")],
        [addresses(None, None), addresses("connection refused"), addresses(None, "no route", is_local=True)],
    ),
    "WS-HS-059": (
        [strict("illegal header line")],
        [strict(None), strict("illegal status line", failed("not HTTP", where="response"))],
    ),
    "WS-KA-010": (
        [asked(AT_PING, probe("quiet", OK))],
        [
            asked(AT_PING, probe("quiet", AT_PING)),
            asked(AT_PING, probe("quiet", FORBIDDEN)),
            asked(AT_PING),
            asked(OK, probe("quiet", OK)),
        ],
    ),
    "WS-H2-020": (
        [asked(OK, probe("without:origin", OK), probe("h2", REFUSED_H2)), asked(OK, probe("h2", REFUSED_H2))],
        [
            asked(OK, probe("h2", OVER_HTTP2)),
            asked(OK, probe("h2", replace(REFUSED_H2, events=NOT_ANNOUNCED))),
            asked(OK, probe("h2", replace(REFUSED_H2, status=None))),
            asked(FORBIDDEN, probe("h2", REFUSED_H2)),
        ],
    ),
    "WS-PAGE-009": (
        [
            asked(AT_HOME, page=("93.184.215.14",)),
            asked(replace(AT_HOME, server_address="[::1]:80"), page=("93.184.215.14", "2606:2800::1")),
            asked(replace(AT_HOME, server_address="192.168.1.5:80"), page=("93.184.215.14",)),
        ],
        [
            asked(AT_HOME),
            asked(AT_HOME, page=("10.0.0.1",)),
            asked(AT_HOME, page=("93.184.215.14", "10.0.0.1")),
            asked(replace(AT_HOME, server_address="93.184.215.15:80"), page=("93.184.215.14",)),
            asked(replace(FORBIDDEN, server_address="127.0.0.1:80"), page=("93.184.215.14",)),
        ],
    ),
    "WS-HS-060": (
        [asked(failed("cannot connect: timed out", where="connect"), probe("proxy", OK))],
        [
            asked(failed("cannot connect: timed out", where="connect"), probe("proxy", FORBIDDEN)),
            asked(OK, probe("proxy", OK)),
        ],
    ),
    "WS-HS-062": (
        [
            asked(failed("no answer within 5 s", where="client"), probe("h2", OVER_HTTP2)),
            asked(failed("no application protocol", where="tls-server"), probe("h2", OVER_HTTP2)),
            asked(FORBIDDEN, probe("h2", OVER_HTTP2)),
        ],
        [
            asked(OK, probe("h2", OVER_HTTP2)),
            asked(FORBIDDEN, probe("h2", replace(OVER_HTTP2, status=403))),
            asked(FORBIDDEN, probe("h2", replace(OVER_HTTP2, status=None, events=NOT_ANNOUNCED))),
        ],
    ),
    "WS-HS-061": (
        [
            asked(OK, probe("proxy", failed("the proxy refused CONNECT", where="proxy"))),
            asked(OK, probe("proxy", FORBIDDEN)),
        ],
        [asked(OK, probe("proxy", OK)), asked(FORBIDDEN, probe("proxy", FORBIDDEN))],
    ),
    "WS-KA-008": (
        [asked(replace(OK, pings=PINGED))],
        [asked(replace(OK, pings=ANSWERED)), asked(OK), asked(replace(OK, pings=PINGED, ended_by="server"))],
    ),
}
