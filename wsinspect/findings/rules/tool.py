"""What this proxy itself did to what it watched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from wsinspect.findings.browser_services import is_of_browser
from wsinspect.findings.evidence import JS_LATER, JS_NOTHING, end_line, js_sees, status_line
from wsinspect.findings.facts import CaptureFacts, ConnectionFacts, EngineEvent, text_of
from wsinspect.findings.model import RECORDING, Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import is_refused
from wsinspect.findings.rules.http2 import OTHER_CONNECT, events_of
from wsinspect.handshake.heads import RawHead
from wsinspect.vocabulary.rules import rule_words

rules = Rules()


@rules(
    "WS-TOOL-001",
    "note",
    "tool",
    "The client offered HTTP/2 and this proxy answered HTTP/1.1",
    meaning="Without the proxy the client might have used HTTP/2 for its WebSocket (RFC 8441). A failure"
    " that happens only there is not seen here.",
    js=JS_NOTHING,
    topic="tool-alpn",
    rows="H7 H8",
    scope="capture",
)
def answered_h1(facts: CaptureFacts) -> Iterator[Found]:
    answers = list(events_of(facts, "alpn"))
    # Where the next hop had already chosen HTTP/1.1, this proxy only passed that on.
    by_hop = {text_of(one, "tap") for one in answers if one.get("side") == "server"}
    for one in answers:
        if one.get("side") == "client" and text_of(one, "tap") not in by_hop:
            offered = ", ".join(str(protocol) for protocol in one.get("offered") or ())
            yield Found(
                evidence=(f"ALPN offered {offered}, answered {one.get('answered') or 'nothing'}",),
                hop="wsinspect",
            )
            return


@rules(
    "WS-TOOL-004",
    "warning",
    "tool",
    "The origin announces WebSockets over HTTP/2, and this proxy makes clients use HTTP/1.1",
    meaning="The next hop's SETTINGS allow extended CONNECT (RFC 8441), and this proxy does not announce it."
    " So a browser opens a separate HTTP/1.1 connection here, and a failure that happens only over"
    " HTTP/2 is not seen.",
    js=JS_NOTHING,
    topic="tool-http2-off",
    rows="H7",
    scope="capture",
)
def hides_connect(facts: CaptureFacts) -> Iterator[Found]:
    for one in events_of(facts, "h2_settings"):
        if one.get("server_enable_connect") and not one.get("client_enable_connect"):
            yield Found(
                evidence=(
                    f"{one.get('server')}: SETTINGS_ENABLE_CONNECT_PROTOCOL = 1",
                    f"to the client, which speaks {one.get('client_alpn') or 'HTTP/1.1'}: not set",
                ),
                hop="wsinspect",
            )
            return


#: What servers answer when Origin and Host do not match, or when they do not know the Host.
_NOT_FOR_THIS_HOST: Final = (400, 401, 403, 404, 421)


@rules(
    "WS-TOOL-005",
    "error",
    "tool",
    "This proxy's Host header made the server's check of Origin fail",
    meaning="A server that compares Origin with Host would have accepted the client's request, because the"
    " two match without the proxy. Here they do not, because of how this proxy sets Host.",
    js=JS_LATER,
    topic="tool-host",
    rows="H17",
    group="attempt",
)
def broke_origin_check(facts: ConnectionFacts) -> Iterator[Found]:
    before, after = _hosts(facts)
    origin = _authority(_value(facts.request_in, "origin"))
    if not before or not after or not origin or _is_same(origin, after) or _was_accepted(facts, before):
        return
    evidence = (facts.request_line("Origin"), f"Host: {after} reached the server", status_line(facts))
    if before != after and _is_same(origin, before):
        yield Found(
            evidence=(f"the client sent Host: {before}", *evidence),
            title="This proxy rewrote Host, and the server's check of Origin against it fails",
        )
    elif before == after and facts.server_address and _is_same(origin, facts.server_address):
        yield Found(
            evidence=(*evidence, f"the server is {facts.server_address}"),
            title="This proxy kept the client's Host, and the server's check of Origin against it fails",
            topic="tool-host-kept",
        )


@rules(
    "WS-TOOL-002",
    "note",
    "tool",
    "This proxy rewrote Host, and the server refused",
    meaning="The server saw its own name in Host, not the one that the client used. A server with several"
    " names, or one that compares Host with something else, may refuse because of that.",
    js=JS_LATER,
    topic="tool-host",
    rows="H17",
)
def rewrote_host(facts: ConnectionFacts) -> Iterator[Found]:
    before, after = _hosts(facts)
    if before and after and before != after and not any(broke_origin_check(facts)):
        yield Found(
            evidence=(
                f"Host: {before} became Host: {after}",
                status_line(facts),
                facts.request_line("Origin"),
            )
        )


def _was_accepted(facts: ConnectionFacts, host: str) -> bool:
    """Whether another attempt with the same Origin and Host was accepted: then they are not why."""
    origin = _value(facts.request_in, "origin")
    heads = [RawHead.parse(one.request) for one in facts.others if one.request and not one.is_taken_back]
    return any(_value(head, "origin") == origin and _value(head, "host") == host for head in heads)


def _hosts(facts: ConnectionFacts) -> tuple[str, str]:
    """Host as the client sent it and as the server saw it, where Host may explain a refusal."""
    if not is_refused(facts) or facts.status not in _NOT_FOR_THIS_HOST or facts.response_in is None:
        return "", ""
    return _value(facts.request_in, "host"), _value(facts.request_out, "host")


def _value(head: RawHead | None, name: str) -> str:
    return (head.get(name) or b"").decode("latin-1").strip().lower() if head else ""


def _authority(origin: str) -> str:
    """'https://app.example:443' -> 'app.example'; '' for an origin without a host ('null')."""
    scheme, found, rest = origin.partition("://")
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    return rest.removesuffix(default) if found and default else rest


def _is_same(one: str, other: str) -> bool:
    """Whether two authorities are the same place; ports that are the scheme's own may be left out."""
    return _normal(one) == _normal(other)


def _normal(authority: str) -> tuple[str, str]:
    host, colon, port = authority.lower().rpartition(":")
    if not colon or not port.isdigit():
        host, port = authority.lower(), ""
    host = "localhost" if host in ("127.0.0.1", "[::1]") else host
    return host, "" if port in ("80", "443") else port


_NOT_IN_TRACE: Final = (
    "The program that recorded the packets dropped some, or cut them: the other side has acknowledged their"
    " bytes. From there on that direction is opaque, and no rule reasons over it."
)


@rules(
    "WS-TOOL-003",
    "warning",
    "tool",
    "Part of the traffic could not be stored",
    meaning="The disk was full or the recorder was killed while traffic continued. What is missing is opaque"
    " in the capture.",
    js=JS_NOTHING,
    topic="tool-gap",
    rows="",
    scope="capture",
)
def unstored(facts: CaptureFacts) -> Iterator[Found]:
    lost = [event for event in facts.events if event.kind == "unstored"]
    if lost:
        total = sum(size for event in lost if isinstance(size := event.detail.get("bytes"), int))
        size = f"{total} bytes: " if total else ""
        evidence = (f"{size}{lost[0].detail.get('reason')}",)
        if facts.is_trace:
            yield Found(
                evidence=evidence,
                hop=RECORDING,
                title="Part of the traffic is not in the trace",
                meaning=_NOT_IN_TRACE,
                topic="trace-gap",
            )
        else:
            yield Found(evidence=evidence)


@rules(
    "WS-TOOL-010",
    "note",
    "tool",
    "A rule of yours ended it",
    meaning="It was done on purpose: nobody is to blame, and there is nothing to fix. What it shows is how"
    " the client deals with it.",
    js="The code of the rule's CLOSE frame, otherwise 1006.",
    topic="tool-rule",
)
def by_rule(facts: ConnectionFacts) -> Iterator[Found]:
    if not facts.is_ended_on_purpose or facts.rule is None:
        return
    who = rule_words(facts.rule)
    kinds = ", ".join(dict.fromkeys(one.kind for one in facts.faults if one.rule == facts.rule))
    is_refused = facts.open_ns is None
    what = f"HTTP {facts.status} ({who})" if is_refused else f"Ended by {who}"
    yield Found(
        evidence=(
            f"{who}{f' ({kinds})' if kinds else ''}",
            f"it answered {facts.status}; the server was not asked" if is_refused else end_line(facts),
            js_sees(facts),
        ),
        title=what,
        js=js_sees(facts),
        hop="wsinspect",
    )


#: Tunnels that the user asked to pass through.
_WANTED: Final = ("its host is ignored", "its host is among tcp_hosts", "its tap passes on raw TCP")


@rules(
    "WS-TOOL-006",
    "note",
    "tool",
    "Connections were passed through without being inspected",
    meaning="The client's first bytes are not HTTP, so this proxy passed all bytes through unchanged. A"
    " WebSocket in such a connection is not in the capture.",
    js=JS_NOTHING,
    topic="tool-unread",
    scope="capture",
)
def passed_unread(facts: CaptureFacts) -> Iterator[Found]:
    found: Counter[tuple[str, str]] = Counter()
    began: dict[tuple[str, str], Counter[str]] = {}
    for one in events_of(facts, "passed_unread"):
        reason = str(one.get("reason"))
        if not reason.startswith((*_WANTED, OTHER_CONNECT)):
            key = str(one.get("server") or one.get("sni")), reason
            found[key] += 1
            began.setdefault(key, Counter())[str(one.get("first") or "")[:24]] += 1
    if found:
        lines = (
            f"{server}, {_times(count)}: {reason}; it began with {_beginnings(began[server, reason])}"
            for (server, reason), count in found.most_common(4)
        )
        yield Found(evidence=tuple(lines), hop="wsinspect")


def _beginnings(seen: Counter[str]) -> str:
    """The first bytes of connections, the most frequent first: one server may have several protocols."""
    shown = [repr(text) for text, _ in seen.most_common(_BEGINNINGS)]
    more = len(seen) - len(shown)
    return " or ".join(shown) + (f", or {more} other beginnings" if more else "")


_BEGINNINGS: Final = 3


@rules(
    "WS-TOOL-007",
    "warning",
    "tool",
    "This proxy refused a server's certificate, so a page or request failed",
    meaning="The request got a 502 from this proxy itself. A page that does not load, or lacks its scripts,"
    " opens no WebSocket.",
    js=JS_NOTHING,
    topic="tool-untrusted",
    scope="capture",
)
def refused_certificate(facts: CaptureFacts) -> Iterator[Found]:
    for host, group in _failed(facts).items():
        refused = [one for one in group if one.get("where") == "tls-server" and _verify_error(one)]
        if refused:
            yield Found(
                evidence=(
                    f"{refused[0].get('method')} {refused[0].get('url')}: {refused[0].get('error')}",
                    f"{_times(len(refused))}, server {refused[0].get('server') or host}",
                ),
                hop="wsinspect",
            )


@rules(
    "WS-TOOL-008",
    "note",
    "server",
    "A page or request failed because its server could not be reached",
    meaning="This proxy answered with a 502 of its own. If the page of a WebSocket needs this server, the"
    " WebSocket is never tried.",
    js=JS_NOTHING,
    topic="connect",
    scope="capture",
)
def unreachable(facts: CaptureFacts) -> Iterator[Found]:
    for group in _failed(facts).values():
        lost = [one for one in group if one.get("where") != "head" and not _verify_error(one)]
        if lost:
            yield Found(
                evidence=(
                    f"{lost[0].get('method')} {lost[0].get('url')}: {lost[0].get('error')}",
                    _times(len(lost)),
                )
            )


@rules(
    "WS-TOOL-014",
    "warning",
    "client",
    "A client's request is not valid HTTP, and this proxy answered it itself",
    meaning="Its header block cannot be read, or is larger than 1 MiB, so it could not be sent on: the server"
    " was not asked. A WebSocket that begins like this is not among the connections.",
    js=JS_NOTHING,
    topic="bad-request",
    scope="capture",
)
def unreadable(facts: CaptureFacts) -> Iterator[Found]:
    # Where the fields could be read it is a connection, with a finding of its own.
    known = {one.client for one in facts.connections}
    found: dict[str, list[EngineEvent]] = {}
    for event in facts.events:
        one = event.detail
        is_head = event.kind == "request_failed" and one.get("where") == "head"
        if is_head and text_of(one, "client") not in known and one.get("method") not in ("PROXY", "PRI"):
            found.setdefault(str(one.get("error")), []).append(event)
    for error, events in list(found.items())[:4]:
        first = events[0].detail
        yield Found(
            evidence=(
                f"client {first.get('client')}: {first.get('method')} {first.get('url')}"[:200],
                f"this proxy answered {first.get('status') or 400}: {error}"[:200],
                _times(len(events)),
            )
        )


def _failed(facts: CaptureFacts) -> dict[str, list[dict[str, Any]]]:
    """Plain requests that this proxy answered itself, by host; not those of a browser for itself."""
    hosts: dict[str, list[dict[str, Any]]] = {}
    for one in events_of(facts, "request_failed"):
        if is_of_browser(one.get("url"), one.get("host")):
            continue
        hosts.setdefault(str(one.get("host")), []).append(dict(one))
    return hosts


def _verify_error(event: dict[str, Any]) -> bool:
    tls = event.get("tls")
    return "verify failed" in str(event.get("error")) or (
        isinstance(tls, dict) and bool(tls.get("verify_error"))
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


@rules(
    "WS-TOOL-013",
    "warning",
    "tool",
    "mitmproxy itself closed the connection",
    meaning="mitmproxy closes a connection whose frames its parser does not take, with a code of its own that"
    " neither side sent. Without it the frame would have reached the other side, which decides for itself.",
    js="close with code 1006, or with mitmproxy's code.",
    topic="tool-closed",
    rows="F3 F4",
)
def closed_by_mitmproxy(facts: ConnectionFacts) -> Iterator[Found]:
    """Of imported flows: what mitmproxy's parser made of a frame."""
    if facts.was_open and facts.ended_by == "proxy":
        for kind, detail in facts.events:
            if kind == "reported_error":
                yield Found(evidence=(str(detail.get("error"))[:200],), hop="mitmproxy")
                return
