"""Hot reload sockets of Vite, webpack-dev-server and Next.js."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from wsinspect.findings.evidence import (
    JS_FAILED,
    JS_STATUS,
    body_line,
    end_line,
    js_sees,
    request_marks,
    status_line,
)
from wsinspect.findings.facts import (
    S2C,
    SECOND_NS,
    CaptureFacts,
    ConnectionFacts,
    MessageFact,
    Summary,
)
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules
from wsinspect.findings.rules.handshake import has_failed, is_refused

rules = Rules()

_NEXT_PATH = "/_next/webpack-hmr"
_HOST_REFUSED = re.compile(
    rb"invalid host(/origin)? header|blocked request\. this host|\bhost\b[^<>\n]{0,80}\bis not allowed", re.I
)
_FALLBACK_NS = 15 * SECOND_NS


def tool_of(path: str, subprotocols: tuple[str, ...]) -> str | None:
    """The dev server that an attempt is meant for, by its subprotocol or path."""
    if {"vite-hmr", "vite-ping"} & set(subprotocols):
        return "vite"
    plain = path.partition("?")[0]
    if plain.startswith("/_next/") or plain.endswith((_NEXT_PATH, "/_next/hmr")):  # behind a basePath, too
        return "next"
    return "webpack" if plain in ("/ws", "/sockjs-node/websocket") and "webpack" in subprotocols else None


def _tool(facts: ConnectionFacts) -> str | None:
    if _HOST_REFUSED.search(facts.content[:500]):
        return tool_of(facts.path, facts.negotiation.subprotocols_offered) or "webpack"
    return tool_of(facts.path, facts.negotiation.subprotocols_offered)


def _host_refused_after_101(facts: ConnectionFacts) -> MessageFact | None:
    """How webpack-dev-server refuses: it accepts, sends a message of the type `error`, and closes.

    `[{"type":"error","data":"Invalid Host/Origin header"}]` in SockJS, which it spoke before version 4.
    """
    if not facts.was_open or facts.ended_by != "server":
        return None
    said = next((one for one in facts.first if one.direction == S2C and one.opcode == 1), None)
    if said is None or not re.search(rb'"type\W{1,6}error', said.data[:200]):
        return None
    return said if _HOST_REFUSED.search(said.data[:500]) else None


@rules(
    "WS-DEV-002",
    "error",
    "server",
    "The dev server refuses this host, origin or token",
    meaning="Vite, webpack-dev-server and Next.js answer only hosts that they know, and newer Vite also"
    " requires the token from its own page. Through another host name or a proxy the request is"
    " refused: allow the host.",
    js=JS_STATUS,
    topic="dev-host",
    rows="V3",
    group="attempt",
)
def refused_host(facts: ConnectionFacts) -> Iterator[Found]:
    if (said := _host_refused_after_101(facts)) is not None:
        yield Found(
            evidence=(
                f"message {said.id} s>c: {said.text[:120]}",
                facts.request_line("Host"),
                facts.request_line("Origin"),
                end_line(facts),
            ),
            software=("webpack",),
            frame=said.id,
            js=js_sees(facts),
            covers=((facts.id, "WS-APP-093"),),
        )
        return
    tool = _tool(facts)
    if tool == "next" and (facts.raw_response_in or b"").strip() == b"Unauthorized" and has_failed(facts):
        # Next.js 15.2 and newer writes the word alone to the socket (block-cross-site.ts).
        yield Found(
            evidence=(
                "the dev server wrote 'Unauthorized' to the connection, without an HTTP response around it",
                facts.request_line("Host"),
                facts.request_line("Origin"),
            ),
            title="Next.js: the dev server refuses this host: it is not in allowedDevOrigins",
            software=("next",),
        )
        return
    if not is_refused(facts) or tool is None:
        return
    if facts.status in (400, 401, 403) and (tool == "vite" or _HOST_REFUSED.search(facts.content[:500])):
        lines = (
            status_line(facts),
            facts.request_line("Host"),
            facts.request_line("Origin"),
            *body_line(facts),
        )
        yield Found(evidence=(*lines, facts.request_line("Sec-WebSocket-Protocol")), software=(tool,))


@rules(
    "WS-DEV-003",
    "error",
    "hop",
    "Next.js: the hot reload socket cannot be reached",
    meaning="Proxies and a custom server have to carry the upgrade on /_next/webpack-hmr. Without it the"
    " page does not reload by itself, or reloads over and over.",
    js=JS_STATUS,
    topic="hmr",
    rows="V4 H28",
    group="attempt",
)
def next_hmr(facts: ConnectionFacts) -> Iterator[Found]:
    if not has_failed(facts) or _tool(facts) != "next":
        return
    yield Found(
        evidence=(f"path {facts.path[:120]}", status_line(facts) if facts.status else str(facts.error)),
        software=("next",),
    )


@rules(
    "WS-DEV-001",
    "error",
    "client",
    "The hot reload client connects to the wrong place",
    meaning="The dev server's client builds its URL from a host, port or scheme that cannot be reached,"
    " mostly behind a proxy with TLS. Its socket fails while the page itself works.",
    js=JS_FAILED,
    topic="hmr",
    rows="V1",
    group="attempt",
)
def hmr_unreachable(facts: ConnectionFacts) -> Iterator[Found]:
    tool = _tool(facts)
    if facts.state != "failed" or tool is None or facts.failed_where not in ("connect", "tls-server"):
        return
    where = f"{facts.scheme}://{facts.host}:{facts.port}"
    yield Found(
        evidence=(f"attempt to {where}", facts.request_line("Origin"), str(facts.error)[:200]),
        software=(tool,),
    )


@rules(
    "WS-DEV-004",
    "error",
    "hop",
    "A proxy does not carry the dev server's hot reload socket",
    meaning="The hot reload client asked correctly, and something other than the dev server's socket"
    " answered. The proxy in front of the dev server has to carry the upgrade on this path.",
    js=JS_STATUS,
    topic="hmr",
    rows="V2",
    group="attempt",
)
def hmr_not_carried(facts: ConnectionFacts) -> Iterator[Found]:
    tool = _tool(facts)
    if not is_refused(facts) or tool is None:
        return
    head = facts.request_in
    software = tuple(mark.software for mark in request_marks(head) if mark.software)
    lines = (f"subprotocol or path of {tool}", status_line(facts), *body_line(facts))
    yield Found(evidence=(*lines, facts.request_line("Upgrade")), software=(tool, *software), topic="hmr")


@rules(
    "WS-DEV-005",
    "warning",
    "hop",
    "Vite's client fell back to connecting directly",
    meaning="The first attempt, through the page's host, failed, so Vite's client tried the dev server's own"
    " port. That works on this machine only; through a tunnel or container the page reloads over and"
    " over.",
    js="Vite's console: [vite] failed to connect to websocket; then a direct connection fallback.",
    topic="hmr",
    rows="V2",
    scope="capture",
)
def vite_fallback(facts: CaptureFacts) -> Iterator[Found]:
    attempts = [one for one in facts.connections if one.subprotocol == "vite-hmr" or _offers_vite(one)]
    for first, second in pairwise(attempts):
        is_near = 0 <= second.attempt_ns - first.attempt_ns <= _FALLBACK_NS
        is_other = (first.host, first.port) != (second.host, second.port)
        is_same_page = first.client_host == second.client_host and first.path == second.path
        if first.has_failed and is_near and is_other and is_same_page:
            line = f"#{first.id} {first.place} failed ({first.status or first.error})"
            yield Found(
                evidence=(line, f"then #{second.id} {second.place}"), connection=second.id, software=("vite",)
            )
            return


def _offers_vite(one: Summary) -> bool:
    return bool(re.search(r"[?&]token=[\w-]{6,}", one.path)) and one.path.partition("?")[0] == "/"
