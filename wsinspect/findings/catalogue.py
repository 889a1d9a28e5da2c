"""The catalogue of causes that the rules are measured against, and `docs/findings.md` made of both.

Each row is one known cause of a failing WebSocket. Where rules cannot tell all of it the reason is here: only
an active probe can, or nobody on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsinspect.findings.fixes import FIXES
from wsinspect.findings.limits import LIMITS
from wsinspect.findings.model import FAMILIES, Rule
from wsinspect.findings.registry import all_rules
from wsinspect.findings.software import NAMES

#: Row and cause.
ROWS: Final = {
    "H1": "A proxy strips the hop-by-hop Upgrade and Connection",
    "H2": "HTTP/1.0 to the application",
    "H3": "A custom location of Nginx Proxy Manager does not inherit the WebSocket fields",
    "H4": "nginx: one proxy_set_header in a location cancels all inherited ones",
    "H5": "Apache: no tunnel module, or the order of ProxyPass",
    "H6": "A proxy picks HTTP/2 to a backend without RFC 8441",
    "H7": "RFC 8441 is announced and not bridged",
    "H8": "The client needs HTTP/2 and the proxy does not offer it",
    "H9": "Envoy, Pomerium: upgrades are not allowed on the route",
    "H10": "CloudFront drops Sec-WebSocket fields",
    "H11": "Azure Front Door and CDNs: caching on the route",
    "H12": "IIS: the WebSocket feature is missing; ARR and permessage-deflate",
    "H13": "A firewall's wrapper breaks the tunnel: 101, then dead at once",
    "H14": "A redirect: scheme, slash, login",
    "H15": "200 with a page: catch-all route",
    "H16": "404: path, prefix, missing library; Action Cable's refusal of an Origin",
    "H17": "403: Origin, firewall, address list",
    "H18": "401, 403: cookie, expired token, header credentials; a token that comes too late",
    "H19": "400: key, Connection compared as a whole, doubled fields, virtual host",
    "H20": "Socket.IO error codes: sticky sessions, stripped fields, allowRequest, version",
    "H21": "SignalR: negotiate and WebSocket at different servers; MQTT without its subprotocol",
    "H22": "405, 411, 413, 421, 429, 431: method, body, coalescing, rate, size",
    "H23": "426: a plain GET reached a WebSocket server, or the version is not 13",
    "H24": "500 to 504, refused connections and handshake timeouts",
    "H25": "A bad 101: accept key, Upgrade, Connection",
    "H26": "Subprotocol: none chosen, or one that was not offered",
    "H27": "Extension answered but not offered, or with bad parameters",
    "H28": "Two upgrade handlers on one server: garbage after the 101, or pending for ever",
    "H29": "A forward proxy refuses CONNECT",
    "H30": "DNS, refused, TLS of each kind",
    "H31": "wss to a plain port, ws to a TLS port",
    "H32": "Mixed content",
    "H33": "Content-Security-Policy without the WebSocket",
    "H34": "The page never tries",
    "H35": "The browser serialises or throttles attempts",
    "V1": "Hot reload URL with the wrong host, port or scheme",
    "V2": "The proxy does not carry the hot reload socket; fallback to the direct port",
    "V3": "The dev server refuses host or token",
    "V4": "Next.js: the hot reload path is not proxied",
    "T1": "Idle timeout of a hop",
    "T2": "Limit on the lifetime",
    "T3": "Keepalive as slow as the limit",
    "T4": "Reload, deploy, restart: many end together",
    "T5": "Silent drop, half-open",
    "T6": "A missing pong",
    "T7": "A background tab throttles the heartbeat",
    "T8": "Socket.IO versions: drops every half minute",
    "T9": "Reconnect storm, duplicate sockets",
    "T10": "Workers exhausted, or a platform without WebSockets",
    "F1": "Unmasked client frame, masked server frame",
    "F2": "Reserved bit without an extension",
    "F3": "Control frames, continuations, opcodes, lengths",
    "F4": "Invalid UTF-8",
    "F5": "A broken deflate stream",
    "F6": "Too big",
    "F7": "Policy, credentials, rate limit (1008, 4xxx)",
    "F8": "Server error, overload, restart (1011 to 1014)",
    "F9": "Codes that must not be on the wire",
    "F10": "The client wanted an extension (1010)",
    "F11": "Closing handshake not completed",
    "F12": "Continuation frames rejected, or re-fragmented by a hop",
    "F13": "A hop that buffers or batches",
    "F14": "Lost messages, backpressure",
    "F15": "The first messages come before handlers are attached",
    "5": "Application protocols: GraphQL, SignalR, Action Cable, Phoenix, STOMP, MQTT",
    "traps": "103 Early Hints before the 101; a probe with HEAD",
}
#: What a rule of the row cannot tell, and who could.
LIMITS_OF_ROWS: Final = {
    "H7": "That a browser fails where HTTP/1.1 works is seen only where this proxy speaks HTTP/2; else it"
    " takes an active"
    " probe that compares both.",
    "H3": "Nginx Proxy Manager is named where its fields are in the answer; a toggle that was lost on"
    " restart is"
    " in its files, which nobody on the wire can read.",
    "H5": "Apache is named by its fields and pages; which line of its configuration is missing, nobody on the"
    " wire can read.",
    "H6": "What a hop speaks to its backend shows only at a second tap behind it; with one tap it is a ranked"
    " cause of the 502.",
    "H9": "Pomerium leaves no field of its own in a refusal: nobody on the wire can name it.",
    "H11": "That a cache answered is evidence where it says so (X-Cache, CF-Cache-Status, Age).",
    "H12": "That ARR and permessage-deflate do not fit together looks like H27 or F2; nobody can tell IIS by"
    " it.",
    "H17": "Which check said no takes an active probe: the same request without Origin, or from another"
    " address.",
    "H13": "One tap cannot tell a firewall's wrapper from an application that dies at once; a second tap"
    " behind"
    " it can.",
    "H16": "Which path would be right takes an active probe with variants of path and Origin.",
    "H19": "Which field it is takes an active probe that leaves out one after the other.",
    "H28": "The second handler leaves traces only where it wrote into the connection, or nobody answered.",
    "H34": "Why code of a page is not reached, nobody on the wire can tell; what can be seen of the page"
    " is the"
    " evidence.",
    "H35": "That a browser throttles is seen only as gaps between attempts; nobody on the wire can tell it"
    " from backoff.",
    "T5": "A silent drop has no bytes; it is inferred from pings that stay unanswered.",
    "T10": "Nobody on the wire can tell an exhausted worker pool from another 503, page or early end.",
    "F7": "Which rule of the application was broken is in its reason, or nowhere on the wire.",
    "F14": "Queues inside an application are invisible; that nothing was lost on the way is what two taps"
    " prove.",
    "5": "What the messages of Yjs mean nobody can tell without the document; an update that is too large"
    " is F6.",
}
#: Advice that misleads, and what is said instead.
TRAPS: Final = (
    (
        "`curl https://...` as a test",
        "It negotiates HTTP/2 by ALPN, where Upgrade means nothing: a 400 or 502 then proves nothing. The"
        " fix of"
        " `WS-HS-031` has the whole line, with `--http1.1`.",
    ),
    ("`curl -I` as a test", "It sends HEAD, which a healthy server refuses: `WS-HS-031`."),
    ("A key or version left out of a recipe", "A healthy server refuses that too: `WS-HS-030`, `WS-HS-018`."),
    (
        "`ws.ping()` and an `Authorization` header in browser code",
        "Browsers have neither. Fixes speak of pings from the server, cookies, tickets in the query and"
        " subprotocols.",
    ),
    (
        '`proxy_set_header Connection "upgrade"` for every request',
        "It breaks ordinary requests of some backends: the fix for nginx is the `map`.",
    ),
    (
        "Frames arrive out of order",
        "Inside one connection they cannot. `WS-RC-002` says where there are two sockets; else it is the"
        " page's"
        " own asynchronous decoding, which is not on the wire.",
    ),
    (
        "Socket exists: no",
        "No handshake was attempted: the family PAGE says so, and what the page says of it.",
    ),
    (
        "HTTP/2 strips Upgrade",
        "Browsers open a separate HTTP/1.1 connection unless RFC 8441 is announced. The family H2 speaks"
        " up only"
        " on evidence; an `http2` listener that works has no finding.",
    ),
    ("HTTP/1.0 to the application", "Node ws answers it with 101: only what failed is a finding."),
    (
        "A status names one cause",
        "403, 400 and 404 have several with the same bytes: they are ranked, with what tells them apart.",
    ),
    (
        "The missing Upgrade always looks the same",
        "It is 426, 404, 400 with Engine.IO's body, or 200 with a page, by server: `WS-HS-002`, `WS-HS-004`,"
        " `WS-HS-011`, `WS-HS-012`.",
    ),
    ("Mixed content on this machine", "127.0.0.1 and localhost are exempt: `WS-PAGE-003` leaves them out."),
    (
        "60 s is nginx",
        "Six products share it. A silence names nobody without a fingerprint or a second tap.",
    ),
)


def rules_of(row: str) -> list[Rule]:
    """The rules that recognise a row."""
    return [rule for rule in all_rules() if row in rule.rows]


def render() -> str:
    """The text of docs/findings.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _INTRODUCTION.splitlines()
    for family, name in FAMILIES.items():
        rules = sorted((rule for rule in all_rules() if rule.family == family), key=lambda rule: rule.id)
        yield from ("", f"## {name} (`WS-{family}`)", "")
        for rule in rules:
            yield from _rule(rule)
    yield from (
        "",
        "## Known limits",
        "",
        "| whose | setting | seconds | kind |",
        "| --- | --- | --- | --- |",
    )
    for limit in LIMITS:
        yield f"| {limit.who} | {limit.setting} | {limit.seconds:g} | {limit.kind} |"
    yield from ("", "## Fixes", "")
    yield from _fixes()
    yield from ("", "## The catalogue of causes", "", "| row | cause | findings |", "| --- | --- | --- |")
    for row, cause in ROWS.items():
        ids = ", ".join(f"`{rule.id}`" for rule in rules_of(row))
        more = LIMITS_OF_ROWS.get(row, "")
        yield f"| {row} | {cause} | {'. '.join(filter(None, [ids, more]))} |"
    yield from ("", "## Advice that misleads", "", "| advice | what is said instead |", "| --- | --- |")
    for advice, instead in TRAPS:
        yield f"| {advice} | {instead} |"


def _rule(rule: Rule) -> Iterator[str]:
    taps = {
        "connection": "one tap",
        "capture": "one tap, over all connections",
        "pair": "two taps around the hop",
    }
    rows = f" · causes {', '.join(rule.rows)}" if rule.rows else ""
    yield f"### {rule.id}: {rule.title}"
    yield ""
    yield (
        f"{rule.severity} · fault of the {rule.fault_of} · confidence {rule.confidence} ·"
        f" {taps[rule.scope]}{rows}" + (f" · fixes: {rule.topic}" if rule.topic else "")
    )
    yield ""
    yield rule.meaning
    yield ""
    yield f"JavaScript: {rule.js}"
    yield ""


def _fixes() -> Iterator[str]:
    used = {rule.topic for rule in all_rules()}
    for topic, texts in FIXES.items():
        if topic not in used and topic not in _BY_FOUND:
            continue
        yield f"### {topic}"
        yield ""
        for software, text in texts.items():
            yield from (f"{NAMES.get(software, software)}:", "", "```", text, "```", "")


#: Topics that rules choose by what they saw.
_BY_FOUND: Final = frozenset(("abrupt", "h2", "forward-proxy", "connect"))
_INTRODUCTION: Final = """\
# Findings

What `wsinspect` recognises, and what it says then. This page is generated from the rules
(`python -m wsinspect.findings`); a test keeps it whole.

A finding names the hop, the evidence and the line that fixes it. `error` means that something failed,
`warning` that it works but not as it should, `note` that there is something to know. Ids are stable.
`wsinspect run` prints findings as traffic passes and stores them in the capture (table `finding`);
`wsinspect diagnose` finds them in a capture, a HAR file or a file of mitmproxy flows, and ends with exit code
1 when one of them is an error.

A vendor is named only on evidence: a field or a page of its own in an answer, or a second tap. A number of
seconds alone is none: many share the same default. Causes that look the same on the wire are listed together,
most likely first, with what would tell them apart. Where a fault that you asked for acted on a connection,
what it shows is a note and blames nobody."""
