"""Pages that were loaded through the proxy: did a WebSocket attempt follow, and if not, what do they say?

`PageWatch` is a mitmproxy addon next to `AttemptLog`. It looks at HTML and scripts while they stream through
(nothing is held or changed). After `wait_seconds` it writes one `page` event for each page that has to do
with WebSockets, for the rules of the family PAGE. Bounded: pages, bytes of a body, scripts of a page, time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from mitmproxy import http

from wsinspect.decoders.engineio import is_polling_path
from wsinspect.findings.page_scan import MAX_BYTES, Scanner, inflater
from wsinspect.handshake.codings import unbrotli, unzstd
from wsinspect.proxy.attempts import Sink, attempt_of, is_opening_handshake
from wsinspect.vocabulary import events

MAX_PAGES: Final = 32
MAX_SCRIPTS: Final = 64
_FAILED: Final = 10
WAIT_SECONDS: Final = 10.0
_SCRIPT_TYPES: Final = ("javascript", "ecmascript")
#: Who asks for a page and runs none of its scripts: health checks, monitors and robots.
_CHECKERS: Final = re.compile(
    r"kube-probe|health[-_ ]?check|Envoy/HC|GoogleHC|UptimeRobot|Pingdom|StatusCake|Prometheus|Blackbox"
    r"|check_http|Zabbix|Consul Health|Site24x7|Better ?Uptime|bot\b",
    re.I,
)


@dataclass
class Page:
    """A page while it is watched."""

    url: str
    client: str
    user_agent: str | None = None
    csp: list[str] = field(default_factory=list)
    scanners: list[Scanner] = field(default_factory=list)
    attempts: int = 0
    failed_scripts: list[str] = field(default_factory=list)
    polling: int = 0
    polling_path: str | None = None
    poll_scanner: Scanner | None = None
    service_worker: str | None = None
    timer: asyncio.TimerHandle | None = None

    def watched(self, waited_ms: int) -> events.PageWatched:
        """What it did in that time."""
        urls = list(dict.fromkeys(url for scanner in self.scanners for url in scanner.urls))
        workers = [self.service_worker, *(scanner.worker for scanner in self.scanners)]
        return events.PageWatched(
            url=self.url,
            client=self.client,
            user_agent=self.user_agent,
            attempts=self.attempts,
            waited_ms=waited_ms,
            ws_urls=urls[:10],
            interest=next((scanner.code for scanner in self.scanners if scanner.code), None),
            csp=[*self.csp, *(policy for scanner in self.scanners for policy in scanner.policies)][:4],
            failed_scripts=self.failed_scripts,
            polling=self.polling,
            polling_path=self.polling_path,
            polling_upgrades=self.poll_scanner.upgrades if self.poll_scanner else None,
            service_worker=next((worker for worker in workers if worker), None),
        )


class PageWatch:
    """See the module docstring.

    Args:
        sink: takes the events.
        now_ns: the engine's clock.
        wait_seconds: how long after a page an attempt may come.
    """

    def __init__(self, sink: Sink, now_ns: Callable[[], int], wait_seconds: float = WAIT_SECONDS) -> None:
        self._sink = sink
        self._now_ns = now_ns
        self._wait = wait_seconds
        self._pages: list[Page] = []

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """An attempt, or something that a page asks for."""
        page = self._page_of(flow)
        if page is None:
            return
        request = flow.request
        if is_opening_handshake(request):
            page.attempts += 1
        elif is_polling_path(request.path):
            page.polling += 1
            page.polling_path = request.path.partition("?")[0][:200]
        elif request.headers.get("service-worker") == "script":
            page.service_worker = request.path[:200]

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """A page begins, or one of its scripts comes."""
        response = flow.response
        if response is None or attempt_of(flow) is not None or response.status_code == 101:
            return
        kind = response.headers.get("content-type", "").lower()
        if _is_document(flow.request) and "text/html" in kind and 200 <= response.status_code < 300:
            self._begin(flow)
            return
        page = self._page_of(flow)
        if page is None:
            return
        if _is_script(flow.request, kind):
            if response.status_code >= 400 and len(page.failed_scripts) < _FAILED:
                page.failed_scripts.append(f"{flow.request.path[:160]} answered {response.status_code}")
            elif len(page.scanners) < MAX_SCRIPTS:
                page.scanners += self._scan(flow)
        elif is_polling_path(flow.request.path) and page.poll_scanner is None:
            page.poll_scanner = next(iter(self._scan(flow)), None)

    def error(self, flow: http.HTTPFlow) -> None:
        """A script that never came."""
        page = self._page_of(flow)
        if page is not None and _is_script(flow.request, "") and len(page.failed_scripts) < _FAILED:
            page.failed_scripts.append(f"{flow.request.path[:160]} failed: {flow.error}"[:240])

    def done(self) -> None:
        """Nothing is claimed of pages that had less than their time."""
        while self._pages:
            self._drop(self._pages[0])

    def _begin(self, flow: http.HTTPFlow) -> None:
        agent = flow.request.headers.get("user-agent")
        page = Page(flow.request.pretty_url[:500], _client(flow), agent and agent[:300])
        assert flow.response is not None
        page.csp = [value[:2000] for value in flow.response.headers.get_all("content-security-policy")][:4]
        page.scanners += self._scan(flow)
        if len(self._pages) >= MAX_PAGES:
            self._drop(self._pages[0])
        self._pages.append(page)
        page.timer = asyncio.get_running_loop().call_later(self._wait, self._settle, page)

    def _drop(self, page: Page) -> None:
        """Watch it no more."""
        self._pages.remove(page)
        if page.timer is not None:
            page.timer.cancel()

    def _settle(self, page: Page) -> None:
        self._drop(page)
        event = page.watched(round(self._wait * 1000))
        if event.interest or event.ws_urls or page.polling > 1:
            self._sink.event(0, event, self._now_ns())

    def _scan(self, flow: http.HTTPFlow) -> list[Scanner]:
        """Look through a response while it passes; none where its encoding is unknown."""
        response = flow.response
        assert response is not None
        try:
            scanner = Scanner(
                inflater(
                    response.headers.get("content-encoding", ""),
                    {"br": unbrotli(MAX_BYTES), "zstd": unzstd(MAX_BYTES)},
                )
            )
        except ValueError:
            return []

        def look(chunk: bytes) -> bytes:
            scanner.feed(chunk)
            return chunk

        response.stream = look
        return [scanner]

    def _page_of(self, flow: http.HTTPFlow) -> Page | None:
        """The newest page of this client that a request belongs to, by Referer, else by Origin or host."""
        if not self._pages:
            return None
        headers, client = flow.request.headers, _client(flow)
        came_from = headers.get("referer") or headers.get("origin") or f"http://{flow.request.host_header}"
        place = _authority(came_from)
        for page in reversed(self._pages):
            if page.client == client and _authority(page.url) == place:
                return page
        return None


def _client(flow: http.HTTPFlow) -> str:
    address: Any = flow.client_conn.peername
    return str(address[0]) if address else ""


def _authority(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return url


def _is_document(request: http.Request) -> bool:
    """A page that a browser shows: not a fragment that a script fetches."""
    wanted = request.headers.get("sec-fetch-dest")
    if wanted is not None:
        return wanted in ("document", "iframe")
    is_asked = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    return is_asked and _CHECKERS.search(request.headers.get("user-agent", "")[:200]) is None


def _is_script(request: http.Request, kind: str) -> bool:
    wanted = request.headers.get("sec-fetch-dest")
    if wanted is not None:
        return wanted in ("script", "serviceworker", "worker")
    path = request.path.partition("?")[0]
    return any(name in kind for name in _SCRIPT_TYPES) or path.endswith((".js", ".mjs"))
