"""Pages that were loaded through the proxy and never tried: why, as far as their own headers and text show.

The engine watches a page for a time and then writes one `page` event with what it saw; these rules read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, Final, cast
from urllib.parse import urlsplit

from wsinspect.findings.addresses import (
    FORWARD_MODES,
    address_space,
    is_public_origin,
    more_private,
    permission_of,
)
from wsinspect.findings.csp import blocks_websocket
from wsinspect.findings.evidence import JS_FAILED, js_sees, two_causes
from wsinspect.findings.facts import CaptureFacts, ConnectionFacts, EngineEvent, Summary, text_of
from wsinspect.findings.model import Found
from wsinspect.findings.probes import ProbeFacts
from wsinspect.findings.registry import Rules
from wsinspect.text import counted
from wsinspect.units import format_duration, format_milliseconds

rules = Rules()

JS_CSP: Final = (
    "new WebSocket() fails at once: an error event, in Chromium 156 without a close event, elsewhere close"
    " 1006; console: Refused to connect ... because it violates the directive connect-src."
)
JS_MIXED: Final = "new WebSocket() throws SecurityError; console: Mixed Content."


def _quiet_pages(facts: CaptureFacts) -> Iterator[Mapping[str, Any]]:
    """Pages that showed an interest in WebSockets, and from which no attempt came."""
    for event in facts.events:
        if event.kind == "page" and not event.detail.get("attempts"):
            yield event.detail


def _untried(facts: CaptureFacts) -> Iterator[Mapping[str, Any]]:
    """Those of the quiet pages that made no WebSocket, as far as is known: a browser that was asked may have
    begun one that never got as far as this proxy."""
    return (page for page in _quiet_pages(facts) if not page.get("made"))


def _refused(
    facts: CaptureFacts, pattern: re.Pattern[str], of_socket: re.Pattern[str] | None = None
) -> Iterator[tuple[Mapping[str, Any], re.Match[str]]]:
    """(page, what its console says): a WebSocket that the browser itself refused; others may have opened.

    Args:
        of_socket: asked of a page that did make attempts, where `pattern` may be about an image as well.
    """
    known: set[str] = set()
    for event in facts.events:
        shape = of_socket if of_socket is not None and event.detail.get("attempts") else pattern
        said = _said(event.detail, shape) if event.kind == "page" else None
        if said is not None and said.string not in known:
            known.add(said.string)  # a page and the frames in it have one console
            yield event.detail, said


def _base(page: Mapping[str, Any]) -> tuple[str, ...]:
    waited, attempts = page.get("waited_ms"), page.get("attempts")
    if isinstance(attempts, int) and attempts:
        return (f"page {page.get('url')}", f"{counted(attempts, 'other attempt')} reached this proxy")
    if page.get("is_read"):
        return (f"page {page.get('url')}", "read, not opened in a browser")
    within = f" within {format_milliseconds(waited)}" if isinstance(waited, int | float) else ""
    return (
        f"page {page.get('url')}",
        f"no WebSocket attempt{within}",
    )


def _listed(page: Mapping[str, Any], key: str) -> list[str]:
    """A list in an event; empty where somebody else's capture has no list there."""
    value = page.get(key)
    return [str(one) for one in value] if isinstance(value, list) else []


def _urls(page: Mapping[str, Any]) -> list[str]:
    return _listed(page, "ws_urls")[:20]


#: The first Chrome whose https pages may try private addresses and `.local`; there a permission decides.
_CHROME_TRIES_PRIVATE: Final = 146
_CHROME: Final = re.compile(r"Chrom(?:e|ium)/(\d{1,4})")
_OTHER_BROWSER: Final = re.compile(r"\b(?:Firefox/|Version/[\d.]+ .*Safari/)")
#: Characters of a User-Agent that are searched: a browser's has at most 250, and a hostile one costs seconds.
_AGENT: Final = 400


def _tries_private(page: Mapping[str, Any]) -> bool:
    """Whether this browser lets an https page try them; a browser that is not known may."""
    agent = str(page.get("user_agent") or "")[:_AGENT]
    if (chrome := _CHROME.search(agent)) is not None:
        return int(chrome[1]) >= _CHROME_TRIES_PRIVATE
    return _OTHER_BROWSER.search(agent) is None


def _is_exempt(url: str, page: Mapping[str, Any]) -> bool:
    """Whether an https page may try it: loopback, and in some browsers what is on the local network."""
    try:
        space = address_space(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return space == "loopback" or (space != "public" and _tries_private(page))


def _mixed(page: Mapping[str, Any]) -> list[str]:
    if not str(page.get("url")).startswith("https:"):
        return []
    return [url for url in _urls(page) if url.startswith(("ws://", "http://")) and not _is_exempt(url, page)]


#: What Chromium's console says when it refuses to connect.
#: The URL is next to the verb: policies name others, and a report-only one refuses nothing.
_SAYS_CSP: Final = re.compile(
    r"^(?!.*report.only).*\bconnect(?:ing)? to '?wss?://.*Content Security Policy", re.I
)
#: The WebSocket's URL in quotes: the page's own address may contain one, an image's may end in "news:".
_SAYS_MIXED: Final = re.compile(r"Mixed Content.*'wss?://|insecure WebSocket", re.I)
_LOCAL: Final = r"(?:LOCAL|PRIVATE)_NETWORK_ACCESS|local network access|more-private address space"
_SAYS_LOCAL: Final = re.compile(_LOCAL, re.I)
#: What else a page loads is blocked in the same words.
_SAYS_LOCAL_SOCKET: Final = re.compile(rf"^(?=.*(?:\bWebSocket\b|'wss?://)).*(?:{_LOCAL})", re.I)
_SAYS_TOO_MANY: Final = re.compile(
    r"WebSocket connection to .* failed: (?:Insufficient resources|.*ERR_INSUFFICIENT_RESOURCES)"
)
_SAYS_BLOCKED: Final = re.compile(
    r"WebSocket connection to .* failed: .*ERR_(UNSAFE_PORT|BLOCKED_BY_CLIENT|BLOCKED_BY_ADMINISTRATOR)"
)
_SAYS_INVALID: Final = re.compile(r"^exception: SyntaxError: Failed to construct 'WebSocket'")


#: Characters of a line that are searched: the doctor keeps 500 of each. More make the patterns slow.
_SEARCHED: Final = 1000
#: Characters of a line in the evidence.
_SHOWN: Final = 300


def _lines(page: Mapping[str, Any]) -> list[str]:
    """What the browser's console says; the doctor alone has one."""
    return [line[:_SEARCHED] for line in _listed(page, "console")]


def _said(page: Mapping[str, Any], pattern: re.Pattern[str]) -> re.Match[str] | None:
    """Where in a line of the browser's console it says so."""
    return next(filter(None, map(pattern.search, _lines(page))), None)


def _line(said: re.Match[str]) -> str:
    return f"console: {said.string[:_SHOWN]}"


def _exceptions(page: Mapping[str, Any]) -> list[str]:
    """Exceptions of the page's scripts that nobody caught."""
    return [line[:_SHOWN] for line in _lines(page) if line.startswith("exception: ")]


def _polls(page: Mapping[str, Any]) -> int:
    count = page.get("polling")
    return count if isinstance(count, int) else 0


def _is_refused_by_browser(page: Mapping[str, Any]) -> bool:
    patterns = (_SAYS_CSP, _SAYS_MIXED, _SAYS_LOCAL, _SAYS_TOO_MANY, _SAYS_BLOCKED)
    return any(_said(page, pattern) for pattern in patterns)


def _blocked(page: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """(policy, URLs that it forbids); the page's own host where no URL is known."""
    own = str(page.get("url")).replace("http", "ws", 1)
    for policy in _listed(page, "csp"):
        wanted = _urls(page) or [own]
        refused = [url for url in wanted if blocks_websocket(policy, str(page.get("url")), url)]
        if refused and len(refused) == len(wanted):
            return policy, refused
    return None


@rules(
    "WS-PAGE-002",
    "error",
    "server",
    "The page's Content-Security-Policy forbids the WebSocket",
    meaning="connect-src (or default-src) has no entry that allows this ws or wss URL, so the browser does"
    " not even try, and nothing arrives at any server. Add the URL to connect-src.",
    js=JS_CSP,
    topic="csp",
    rows="H33",
    scope="capture",
)
def csp(facts: CaptureFacts) -> Iterator[Found]:
    for page in _quiet_pages(facts):
        blocked = _blocked(page)
        if blocked is not None:
            policy, refused = blocked
            yield Found(
                evidence=(
                    *_base(page),
                    f"Content-Security-Policy: {policy[:300]}",
                    f"forbids {refused[0]}",
                    _console_line(page, _SAYS_CSP),
                )
            )
    for page, said in _refused(facts, _SAYS_CSP):
        if page.get("attempts") or _blocked(page) is None:
            policies = [f"Content-Security-Policy: {one[:300]}" for one in _listed(page, "csp")]
            yield Found(evidence=(*_base(page), _line(said), *policies[:2]))


def _console_line(page: Mapping[str, Any], pattern: re.Pattern[str]) -> str:
    said = _said(page, pattern)
    return "" if said is None else _line(said)


@rules(
    "WS-PAGE-003",
    "error",
    "client",
    "Mixed content: a ws:// or http:// URL for a WebSocket on an https page",
    meaning="Browsers refuse an insecure WebSocket from a secure page; loopback is exempt, and in Chrome"
    " since 146 so are private addresses and .local (not in Firefox). No attempt is made, and nothing"
    " arrives at any server: use wss.",
    js=JS_MIXED,
    topic="mixed",
    rows="H32",
    scope="capture",
)
def mixed(facts: CaptureFacts) -> Iterator[Found]:
    for page in _quiet_pages(facts):
        found, said = _mixed(page), _said(page, _SAYS_MIXED)
        if found and said is None and _blocked(page) is None and _said(page, _SAYS_CSP) is None:
            yield Found(evidence=(*_base(page), f"its text contains {found[0]}"))
    for page, console in _refused(facts, _SAYS_MIXED):
        found = _mixed(page)
        text = (f"its text contains {found[0]}",) if found else ()
        yield Found(evidence=(*_base(page), *text, _line(console)))


_ASKS: Final = "The browser opens the WebSocket only with the visitor's permission (Local Network Access)"


@rules(
    "WS-PAGE-008",
    "error",
    "client",
    "The browser's Local Network Access check blocked the WebSocket",
    meaning="The page is from a public address and the WebSocket's server is not: since version 147 Chrome"
    " asks for a permission first. Nothing arrives at the server: serve both from one side, or ask for the"
    " permission.",
    js=f"{JS_FAILED} Chrome's console: net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS.",
    topic="local-network",
    rows="H36",
    scope="capture",
)
def local_network(facts: CaptureFacts) -> Iterator[Found]:
    for page, said in _refused(facts, _SAYS_LOCAL, _SAYS_LOCAL_SOCKET):
        yield Found(evidence=(*_base(page), _line(said)))
    for event in facts.events:
        # Opened once more without our proxy: behind it a browser cannot know where a server is.
        lines = event.detail.get("without_proxy") if event.kind == "page" else None
        shape = _SAYS_LOCAL_SOCKET if event.detail.get("attempts") else _SAYS_LOCAL
        alone = _said({"console": lines}, shape)
        if alone is not None:
            is_https = str(event.detail.get("url")).startswith("https:")
            yield Found(
                evidence=(
                    f"page {event.detail.get('url')}",
                    "opened without the proxy, and nobody there to give the permission",
                    _line(alone),
                ),
                severity="warning" if is_https else None,
                title=_ASKS if is_https else None,
            )


@rules(
    "WS-PAGE-010",
    "error",
    "client",
    "The browser itself refused to open the WebSocket",
    meaning="Nothing left the browser: it has a list of ports that it never uses (22, 25, 6000, 6665 to"
    " 6669 and others), and extensions and an administrator's policies block URLs. The server was not asked.",
    js=f"{JS_FAILED} The console names it: net::ERR_UNSAFE_PORT, net::ERR_BLOCKED_BY_CLIENT (an extension),"
    " net::ERR_BLOCKED_BY_ADMINISTRATOR.",
    topic="browser-refuses",
    rows="H34",
    scope="capture",
)
def refused_by_browser(facts: CaptureFacts) -> Iterator[Found]:
    for page, said in _refused(facts, _SAYS_BLOCKED):
        yield Found(evidence=(*_base(page), _line(said)), title=_REFUSALS[said[1]])


_REFUSALS: Final = {
    "UNSAFE_PORT": "The browser never connects to this port",
    "BLOCKED_BY_CLIENT": "An extension of the browser blocked the WebSocket",
    "BLOCKED_BY_ADMINISTRATOR": "A policy of the browser's administrator blocks the WebSocket",
}


@rules(
    "WS-PAGE-011",
    "error",
    "client",
    "The page begins more WebSockets at a time than the browser allows",
    meaning="Chromium lets a page have 255 WebSockets that are connecting; further ones fail at once, and"
    " nothing of them reaches a server. Share one connection, and wait for each before the next.",
    js=f"{JS_FAILED} Chrome's console: Insufficient resources.",
    topic="too-many",
    rows="H35",
    scope="capture",
)
def too_many(facts: CaptureFacts) -> Iterator[Found]:
    for page, said in _refused(facts, _SAYS_TOO_MANY):
        yield Found(evidence=(*_base(page), _line(said)))


@rules(
    "WS-PAGE-007",
    "error",
    "client",
    "A script of the page failed, and no WebSocket attempt followed",
    meaning="An exception that nobody catches ends the script, and code behind it does not run. The console"
    " names it, and the file and line.",
    js="An exception in the console, and no socket.",
    topic="script-error",
    rows="H34",
    scope="capture",
    confidence="medium",
)
def script_error(facts: CaptureFacts) -> Iterator[Found]:
    for page, said in _refused(facts, _SAYS_INVALID):
        line = said.string
        if page.get("attempts"):
            yield Found(
                evidence=(*_base(page), line[:_SHOWN]),
                title=f"A WebSocket of the page could not be made: {line[11:150]}",
            )
    for page in _untried(facts):
        thrown = _exceptions(page)
        is_other = _mixed(page) or _blocked(page) is not None or _is_refused_by_browser(page)
        if thrown and page.get("interest") and not is_other:
            yield Found(
                evidence=(*_base(page), f"its code contains {page.get('interest')}", *thrown[:5]),
                title=f"A script of the page failed, and no WebSocket attempt followed: {thrown[0][11:150]}",
            )


@rules(
    "WS-PAGE-005",
    "warning",
    "server",
    "Scripts of the page failed to load, and no WebSocket attempt followed",
    meaning="A script that did not arrive cannot open a socket. The evidence lists those that were answered"
    " with an error.",
    js="A script error, and no socket.",
    topic="scripts",
    rows="H34",
    scope="capture",
)
def scripts(facts: CaptureFacts) -> Iterator[Found]:
    for page in _untried(facts):
        failed = _listed(page, "failed_scripts")
        if failed and not _is_refused_by_browser(page) and not _mixed(page) and _blocked(page) is None:
            yield Found(evidence=(*_base(page), *failed[:5]))


@rules(
    "WS-PAGE-004",
    "warning",
    "hop",
    "Socket.IO stays on polling",
    meaning="Polling requests continue, and no upgrade was attempted. The client is set to polling only, or"
    " remembers that an upgrade failed.",
    js="The application works, only slower; engine.transport.name is 'polling'.",
    topic="polling",
    rows="H34 H20",
    scope="capture",
)
def polling(facts: CaptureFacts) -> Iterator[Found]:
    for page in _untried(facts):
        count = _polls(page)
        if count >= 2 and not _is_refused_by_browser(page) and not _mixed(page) and _blocked(page) is None:
            upgrades = page.get("polling_upgrades")
            says = ('the server\'s handshake offers no upgrade ("upgrades":[])',) if upgrades == [] else ()
            yield Found(
                evidence=(*_base(page), f"{count} polling requests to {page.get('polling_path')}", *says),
                fault_of="server" if upgrades == [] else "client",
                software=("socketio",),
            )


@rules(
    "WS-PAGE-001",
    "warning",
    "client",
    "The page made no WebSocket attempt at all",
    meaning="The page, or one of its scripts, has code for a WebSocket, and within the time waited none was"
    " tried through this proxy. The reason is in the page: code that is not reached, state left over"
    " from server-side rendering, a conflicting plugin, a service worker, or a route around this"
    " proxy.",
    js=JS_CSP.partition(":")[0] + ", or nothing: no socket was made.",
    topic="no-attempt",
    rows="H34 H32 H8",
    scope="capture",
)
def none_at_all(facts: CaptureFacts) -> Iterator[Found]:
    for page in _untried(facts):
        has_reason = (
            _mixed(page)
            or _blocked(page)
            or page.get("failed_scripts")
            or _polls(page) >= 2
            or _exceptions(page)
            or _is_refused_by_browser(page)
            or page.get("is_read")
        )
        if has_reason or not page.get("interest"):
            continue
        worker = page.get("service_worker")
        is_loading = bool(page.get("is_loading"))
        yield Found(
            title="The page was still loading, and had made no WebSocket attempt" if is_loading else None,
            meaning="Something that the page waits for (a script, a stylesheet, an image, a frame) had not"
            " arrived when the time was over. Code that opens the WebSocket may come after it: look at what"
            " is slow, or wait longer."
            if is_loading
            else None,
            evidence=(
                *_base(page),
                f"its code contains {page.get('interest')}",
                *(f"URL in its code: {url}" for url in _urls(page)[:2]),
                *((f"a service worker is registered: {worker}",) if worker else ()),
            ),
        )


@rules(
    "WS-PAGE-009",
    "warning",
    "client",
    "A page from a public address needs the visitor's permission for this server (Local Network Access)",
    meaning="The page's server has a public address and the WebSocket's has not: Chrome since 147 and Firefox"
    " since 154 ask the visitor before they send anything. A page that is not https is refused without a"
    " question.",
    js=f"Until it is granted: {JS_FAILED} Chrome's console: net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS.",
    topic="local-network",
    rows="H36",
    scope="probes",
)
def needs_permission(facts: ProbeFacts) -> Iterator[Found]:
    main = facts.main.facts
    server = (main.server_address or "").rpartition(":")[0]
    space = more_private(facts.page, server) if facts.page and server else None
    if space is None or not facts.main.is_accepted:
        return
    is_https = main.request_line("Origin").lower().startswith("origin: https:")
    yield Found(
        evidence=(
            main.request_line("Origin"),
            f"the page's server is {', '.join(facts.page[:3])}: public",
            f"the WebSocket's server is {server}: {space}",
            f"the permission that a browser asks for: {permission_of(space)}",
            "the page is not https: a browser does not ask, and refuses" if not is_https else "",
        ),
        severity=None if is_https else "error",
        connection=main.id,
    )


#: A client that leaves this soon after connecting did not wait for anything.
_AT_ONCE_MS: Final = 500
#: So many equal gaps, within a tenth and not all at once, are a clock's: nobody reloads a page like that.
_REPEATED: Final = 2
_EQUAL: Final = 0.1
_LEAST_GAP_NS: Final = 500_000_000
_BLOCKED, _CHECK = two_causes(
    (
        "the browser's Local Network Access check: the page is public, this address is not",
        "the browser's console names it; with the proxy as a forward proxy the block disappears",
    ),
    (
        "something that only looks whether the port is open: a load balancer's health check, nc -z, a port"
        " scan, a script that waits for the server",
        "it comes without a browser as well",
    ),
)
_JS_LOCAL: Final = (
    f"{JS_FAILED} Chrome's console: net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS where it was the browser."
)


@rules(
    "WS-PAGE-006",
    "warning",
    "client",
    "A client connected and left at once without sending a byte",
    meaning="Since version 147 Chrome does this where a page from a public address opens a WebSocket to a"
    " local or loopback address without the permission for it (Local Network Access). A TCP health"
    " check looks the same: where more speaks for one, this is a note.",
    js=_JS_LOCAL,
    topic="local-network",
    rows="H36",
    confidence="low",
    scope="capture",
)
def left_at_once(facts: CaptureFacts) -> Iterator[Found]:
    left: dict[tuple[str | None, str], list[EngineEvent]] = {}
    forward = forward_taps(facts.events)
    for event in facts.events:
        one = event.detail
        took = one.get("ms")
        if (
            event.kind != "client_left"
            or one.get("how") not in ("fin", "rst")
            or text_of(one, "tap") in forward
        ):
            continue
        if isinstance(took, (int, float)) and took <= _AT_ONCE_MS:
            host = str(one.get("client")).rpartition(":")[0]
            left.setdefault((text_of(one, "tap"), host), []).append(event)
    for (tap, host), events in left.items():
        if any(_is_of(other, tap, host) for other in facts.connections):
            continue  # this client does speak on other connections: it only opened one too many
        first = events[0].detail
        harmless = _harmless(facts, tap, host, events)
        yield Found(
            severity="note" if harmless else None,
            evidence=(
                f"client {first.get('client')} connected and left after"
                f" {format_milliseconds(cast(float, first.get('ms')))}, 0 bytes",
                f"{len(events)} times from this address" if len(events) > 1 else "",
                "no WebSocket was asked for from this address",
                harmless,
            ),
            causes=(_CHECK, _BLOCKED) if harmless else (_BLOCKED, _CHECK),
        )


def forward_taps(events: Sequence[EngineEvent]) -> set[str | None]:
    """Taps that clients use as their proxy: a browser opens connections to it in advance, and checks no
    server's address before it asks there."""
    every = [event.detail.get("listeners") for event in events if event.kind == "listening"]
    return {
        text_of(one, "tap")
        for listeners in every
        if isinstance(listeners, list)
        for one in listeners
        if isinstance(one, dict) and str(one.get("mode")).partition(":")[0] in FORWARD_MODES
    }


def _before(events: Sequence[EngineEvent], tap: str | None) -> Iterator[tuple[str, str]]:
    """The taps that were named before this one, in front of which a hop may be: (name, host that it asks)."""
    for event in events:
        listeners = event.detail.get("listeners") if event.kind == "listening" else None
        for one in listeners if isinstance(listeners, list) else ():
            if not isinstance(one, dict) or text_of(one, "tap") == tap:
                break
            kind, _, target = str(one.get("mode")).partition(":")
            if kind == "reverse":
                yield str(one.get("tap")), urlsplit(target).hostname or ""


def _harmless(facts: CaptureFacts, tap: str | None, host: str, events: Sequence[EngineEvent]) -> str:
    """Why it is rather a check of the port than a browser's; "" where nothing says so."""
    hop = next(
        (name for name, asked in _before(facts.events, tap) if asked and asked == host.strip("[]")), None
    )
    if hop is not None:
        return f"the address is that of the hop behind tap {hop}: hops look whether their servers listen"
    if host and address_space(host) == "public":
        return "the client's address is public: a browser there needs no permission for this server"
    times = sorted(event.time_ns for event in events)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    if len(gaps) >= _REPEATED and max(gaps) - min(gaps) <= _EQUAL * max(gaps) and min(gaps) >= _LEAST_GAP_NS:
        return f"it repeats every {format_duration(round(median(gaps)))}, as health checks do"
    if any(one.tap == tap and one.open_ns is not None for one in facts.connections):
        return "WebSockets of others were opened here"
    return ""


def _is_of(one: Summary, tap: str | None, host: str) -> bool:
    return one.tap == tap and one.client_host == host


@rules(
    "WS-TOOL-009",
    "note",
    "tool",
    "This works here because of the proxy: a page from a public address reaches a local server",
    meaning="The Origin is public and the server's address is local or loopback. Chrome since 147 and"
    " Firefox since 154 require a permission for that (Local Network Access), and behind a forward"
    " proxy the browser cannot know it: without this proxy the same page may be blocked.",
    js="Without the proxy, and without the permission: close with code 1006, nothing else.",
    topic="local-network",
    rows="H36",
)
def hides_local_network(facts: ConnectionFacts) -> Iterator[Found]:
    origin = facts.request_in.get("origin") if facts.request_in else None
    if not facts.was_open or origin is None or facts.host is None or facts.listener is None:
        return
    # Behind a reverse tap the browser connects to the tap's own address, and checks that one itself.
    if facts.listener.rpartition(":")[2] == str(facts.port):
        return
    space = address_space(facts.host)
    text = origin.decode("latin-1")
    if space == "public" or not is_public_origin(text):
        return
    permission = permission_of(space)
    yield Found(
        evidence=(
            f"Origin: {text[:160]}",
            f"server {facts.host}:{facts.port}: {space}",
            f"the permission that a browser asks for: {permission}",
            f'in an iframe: allow="{permission}"',
            js_sees(facts) if facts.is_over else "",
        ),
        hop="wsinspect",
    )
