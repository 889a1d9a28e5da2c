"""Pages that were loaded through the proxy and never tried: why, as far as their own head and text tell.

The engine watches a page for a time and then writes one `page` event with what it saw; these rules read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from wsinspect.findings.csp import blocks_websocket
from wsinspect.findings.facts import CaptureFacts
from wsinspect.findings.model import Found
from wsinspect.findings.registry import Rules

rules = Rules()

JS_CSP: Final = (
    "new WebSocket() fails at once: an error event, in Chromium 156 without a close event, elsewhere close"
    " 1006; console: Refused to connect ... because it violates the directive connect-src."
)
JS_MIXED: Final = "new WebSocket() throws SecurityError; console: Mixed Content."
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]", "::1")


def _quiet_pages(facts: CaptureFacts) -> Iterator[Mapping[str, Any]]:
    """Pages that showed an interest in WebSockets, and from which no attempt came."""
    for event in facts.events:
        if event.kind == "page" and not event.detail.get("attempts"):
            yield event.detail


def _base(page: Mapping[str, Any]) -> tuple[str, ...]:
    waited = page.get("waited_ms")
    return (
        f"page {page.get('url')}",
        f"no WebSocket attempt within {waited} ms of it" if waited else "no WebSocket attempt",
    )


def _urls(page: Mapping[str, Any]) -> list[str]:
    return [str(url) for url in page.get("ws_urls") or ()][:20]


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in _LOOPBACK or host.endswith(".localhost")


def _mixed(page: Mapping[str, Any]) -> list[str]:
    if not str(page.get("url")).startswith("https:"):
        return []
    return [url for url in _urls(page) if url.startswith("ws://") and not _is_loopback(url)]


def _blocked(page: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """(policy, URLs that it forbids); the page's own host where no URL is known."""
    own = str(page.get("url")).replace("http", "ws", 1)
    for policy in page.get("csp") or ():
        wanted = _urls(page) or [own]
        refused = [url for url in wanted if blocks_websocket(str(policy), str(page.get("url")), url)]
        if refused and len(refused) == len(wanted):
            return str(policy), refused
    return None


@rules(
    "WS-PAGE-002",
    "error",
    "server",
    "The page's Content-Security-Policy forbids the WebSocket",
    meaning="connect-src (or default-src) has no entry that allows this ws or wss URL. So the browser"
    " never tries, and nothing arrives at any server.",
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
                evidence=(*_base(page), f"Content-Security-Policy: {policy[:300]}", f"forbids {refused[0]}")
            )


@rules(
    "WS-PAGE-003",
    "error",
    "client",
    "Mixed content: a ws:// URL on an https page",
    meaning="Browsers refuse an insecure WebSocket from a secure page (loopback is exempt). So no "
    "attempt is made, and nothing arrives at any server.",
    js=JS_MIXED,
    topic="mixed",
    rows="H32",
    scope="capture",
)
def mixed(facts: CaptureFacts) -> Iterator[Found]:
    for page in _quiet_pages(facts):
        found = _mixed(page)
        if found and _blocked(page) is None:
            yield Found(evidence=(*_base(page), f"its text has {found[0]}"))


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
    for page in _quiet_pages(facts):
        failed = [str(one) for one in page.get("failed_scripts") or ()]
        if failed and not _mixed(page) and _blocked(page) is None:
            yield Found(evidence=(*_base(page), *failed[:5]))


@rules(
    "WS-PAGE-004",
    "warning",
    "hop",
    "Socket.IO stays on polling",
    meaning="Polling requests go on, and no attempt to upgrade was made. The client is told to use "
    "polling alone, or remembers that an upgrade failed.",
    js="The application works, slower; engine.transport.name is 'polling'.",
    topic="polling",
    rows="H34 H20",
    scope="capture",
)
def polling(facts: CaptureFacts) -> Iterator[Found]:
    for page in _quiet_pages(facts):
        count = page.get("polling")
        if isinstance(count, int) and count >= 2 and not _mixed(page) and _blocked(page) is None:
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
    meaning="The page, or a script of it, has code for a WebSocket, and within the time that was waited none"
    " was tried through this"
    " proxy. The reason is in the page: code that is not reached, a state left over from rendering on the"
    " server, a conflicting"
    " plugin, a service worker, or another way than this proxy.",
    js=JS_CSP.partition(":")[0] + ", or nothing: no socket was made.",
    topic="no-attempt",
    rows="H34 H32 H8",
    scope="capture",
)
def none_at_all(facts: CaptureFacts) -> Iterator[Found]:
    for page in _quiet_pages(facts):
        has_reason = (
            _mixed(page) or _blocked(page) or page.get("failed_scripts") or (page.get("polling") or 0) >= 2
        )
        if has_reason or not page.get("interest"):
            continue
        worker = page.get("service_worker")
        yield Found(
            evidence=(
                *_base(page),
                f"its code has {page.get('interest')}",
                *(f"the address in it: {url}" for url in _urls(page)[:2]),
                *((f"a service worker is registered: {worker}",) if worker else ()),
            )
        )
