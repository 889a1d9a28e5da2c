"""A page instead of a WebSocket URL: opened in a browser, each WebSocket that it tries is examined.

Where there is no browser, the page and its scripts are read: that shows addresses and what forbids them, and
not whether they are tried.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from wsinspect.diagnosis.facts import FactReader
from wsinspect.doctor.answers import Answer
from wsinspect.doctor.asker import Asker
from wsinspect.doctor.examination import Examination, finding_object
from wsinspect.doctor.judge import Verdict
from wsinspect.doctor.planner import is_accepted
from wsinspect.doctor.questions import Question, handshake_fields, plain_fields
from wsinspect.doctor.recorded import asked_again
from wsinspect.doctor.target import Extras, Target, page_target, parse_target
from wsinspect.errors import LocalError
from wsinspect.findings.facts import CaptureFacts, ConnectionFacts, EngineEvent
from wsinspect.findings.model import Finding
from wsinspect.findings.page_scan import Scanner
from wsinspect.findings.registry import diagnose_capture, diagnose_connection, ranked
from wsinspect.findings.rules.requests import says_no_upgrade
from wsinspect.formats.secrets import mask_line, mask_url
from wsinspect.launch.browser.devtools import ConsoleLine, Socket
from wsinspect.launch.browser.programs import Browser, Family, find_browser
from wsinspect.launch.browser.visiting import PageVisit, Visited, visit_directly, visit_page
from wsinspect.net import HTTP_SCHEMES
from wsinspect.recorder.opening import open_capture
from wsinspect.text import counted
from wsinspect.units import format_duration

WAIT_NS: Final = 10 * 10**9
#: How many WebSockets of a page are examined, and scripts read without a browser.
MAX_EXAMINED: Final = 3
_MAX_SCRIPTS: Final = 8
_SCRIPT: Final = re.compile(rb"""<script[^>]{0,200}\bsrc\s*=\s*["']?([^"'\s>]{1,300})""", re.I)
_WORST: Final[tuple[Verdict, ...]] = ("failing", "unreachable", "degraded", "healthy")
#: Findings about the end of a connection say that we closed the browser, unless the server ended it.
_BY_SERVER: Final = "server"
_SHOWN: Final = 20
_ERROR: Final = 400
#: How a page begins that has no Content-Type.
_HTML: Final = (b"<html", b"<!doctype html")
#: What the page itself did to a WebSocket that had not opened: no failure of anybody.
_BY_PAGE: Final = re.compile("closed before the connection is established|Back-Forward Cache")

Watch = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A WebSocket that the page tried, or that its code names.

    Attributes:
        was_open: whether the page's own attempt got a 101 that its browser took; None where it was not tried.
        error: the browser's words where each of the page's attempts failed, at once or later.
    """

    target: Target
    extras: Extras = field(default_factory=Extras)
    was_open: bool | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class PageExamination:
    """What a page does, and what became of each of its WebSockets.

    Attributes:
        browser: its name; None where the page was read.
        examined: each with what the page itself got.
        left_out: how many more WebSockets the page tried, which were not asked.
        why_read: why no browser opened it.
        status: of the answer to an ordinary GET of it; None where there was none.
        is_socket: whether a WebSocket server answered that GET, so that no browser opened it.
    """

    url: str
    browser: str | None
    visited: Visited
    findings: tuple[Finding, ...]
    examined: tuple[tuple[Tried, Examination], ...] = ()
    left_out: int = 0
    why_read: str | None = None
    waited_ns: int = 0
    status: int | None = None
    is_socket: bool = False

    @property
    def verdict(self) -> Verdict:
        """The worst of the page's and of each WebSocket's."""
        own: list[Verdict] = [_judged(tried, one) for tried, one in self.examined]
        if any(one.severity == "error" for one in self.findings):
            own.append("failing")
        elif any(one.severity == "warning" for one in self.findings) or not own:
            own.append("degraded")
        return next(one for one in _WORST if one in own)

    @property
    def worst(self) -> Examination | None:
        """The WebSocket that the verdict is about; None where it is about the page."""
        return next((one for tried, one in self.examined if _judged(tried, one) == self.verdict), None)

    @property
    def headline(self) -> str:
        """The verdict in words."""
        worst = self.worst
        if self.visited.error is not None:
            return f"The browser could not open the page: {self.visited.error}"
        serious = [one for one in self.findings if one.severity != "note"]
        if serious and (worst is None or serious[0].severity == "error" or self.verdict == "degraded"):
            return serious[0].title
        if worst is not None:
            failed = next(
                (tried for tried, one in self.examined if one is worst and _only_there(tried, one)), None
            )
            words = worst.headline(include_secrets=False) if failed is None else _failed_there(failed)
            return f"{mask_url(str(worst.target))}: {words}"
        is_error = self.status is not None and self.status >= _ERROR
        if self.browser is None:
            if is_error:
                return f"The page's own answer is {self.status}, and it names no WebSocket"
            return (
                "Neither the page nor its scripts name a WebSocket; only a browser shows whether it opens one"
            )
        if self.visited.sockets:
            last = self.visited.sockets[-1]
            more = len(self.visited.sockets) - 1
            others = f" (and {more} more)" if more else ""
            return f"{mask_url(last.url)}: {last.error or 'nothing of it left the browser'}{others}"
        waited = format_duration(self.waited_ns)
        if self._is_loading:
            return f"The page was still loading after {waited}, and had tried no WebSocket"
        if is_error:
            return f"The page's own answer is {self.status}, and it tried no WebSocket within {waited}"
        return f"The page tried no WebSocket within {waited}, and its code shows none"

    @property
    def _is_loading(self) -> bool:
        return self.browser is not None and not self.visited.is_loaded

    @property
    def exit_code(self) -> int:
        """0 fine, 1 an error was found, 3 this machine has no network there."""
        codes = [one.exit_code for tried, one in self.examined if _judged(tried, one) != "healthy"]
        if any(one.severity == "error" for one in self.findings):
            codes.append(1)
        return 1 if 1 in codes else max(codes, default=0)

    def notes(self) -> Iterator[str]:
        """What is to be said next to the findings."""
        if self.is_socket:
            yield (
                f"{mask_url(self.url)}: a WebSocket server answers there, not a page, so its WebSocket was"
                " asked"
            )
        if self.why_read:
            yield f"{self.why_read}: the page was read, not opened"
        for tried, one in self.examined:
            if _is_good_once(tried, one):
                yield (
                    f"{mask_url(str(one.target))}: the page's own attempt was accepted, the same asked again"
                    " is refused: a ticket that is good for one time?"
                )
            if _is_without_cookie(tried, one):
                yield (
                    f"{mask_url(str(one.target))}: another site than the page's, so the browser sends it only"
                    " cookies with SameSite=None; Secure"
                )
            if _only_there(tried, one):
                yield f"{mask_url(str(one.target))}: {_failed_there(tried)}"
        if self.left_out:
            yield f"{counted(self.left_out, 'more WebSocket')} of the page: not asked"

    def shown(self, *, include_secrets: bool) -> tuple[Finding, ...]:
        """The page's own findings, with no secrets in the URLs that they quote."""
        if include_secrets:
            return self.findings
        return tuple(
            replace(one, evidence=tuple(mask_line(line, frozenset()) for line in one.evidence))
            for one in self.findings
        )

    def console(self, *, include_secrets: bool) -> tuple[ConsoleLine, ...]:
        """What the console said, in the same way."""
        if include_secrets:
            return self.visited.lines
        return tuple(one._replace(text=mask_line(one.text, frozenset())) for one in self.visited.lines)

    def as_json(self, *, include_secrets: bool) -> dict[str, Any]:
        """The object of `--json`; each WebSocket in `attempts` is the object of a URL's examination."""
        return {
            "verdict": self.verdict,
            "headline": self.headline,
            "page": self.url if include_secrets else mask_url(self.url),
            "browser": self.browser,
            "findings": [finding_object(one) for one in self.shown(include_secrets=include_secrets)],
            "notes": list(self.notes()),
            "console": [one._asdict() for one in self.console(include_secrets=include_secrets)],
            "sockets": [
                {**one._asdict(), "url": one.url if include_secrets else mask_url(one.url)}
                for one in self.visited.sockets
            ],
            "attempts": [
                {"opened_by_page": tried.was_open, **one.as_json(include_secrets=include_secrets)}
                for tried, one in self.examined
            ],
        }


def _judged(tried: Tried, found: Examination) -> Verdict:
    """The verdict on one WebSocket: what the page's own attempt got counts more than ours."""
    if _is_good_once(tried, found):
        return "healthy"
    return "degraded" if _only_there(tried, found) else found.judgement.verdict


def _is_good_once(tried: Tried, found: Examination) -> bool:
    """Whether the page's handshake was accepted and ours, the same again, is refused."""
    is_refused = found.judgement.verdict == "failing" and not is_accepted(found.answers[0].facts)
    return bool(tried.was_open) and is_refused


def _is_without_cookie(tried: Tried, found: Examination) -> bool:
    """Whether a server of another site refuses a handshake that had no cookie."""
    page = urlsplit(tried.extras.origin or "").hostname
    if page is None or tried.extras.cookies or found.answers[0].facts.status not in (401, 403):
        return False
    return _site(page) != _site(found.target.host)


def _site(host: str) -> str:
    """A host's last two labels: a guess at its site, for which a browser has the public suffix list."""
    labels = host.lower().split(".")
    return host if ":" in host or labels[-1].isdigit() else ".".join(labels[-2:])


def _only_there(tried: Tried, found: Examination) -> bool:
    """Whether the page's attempts failed in the browser, and ours shows nothing."""
    return tried.error is not None and found.judgement.verdict == "healthy"


def _failed_there(tried: Tried) -> str:
    when = "had opened and then failed" if tried.was_open else "failed"
    return f"the page's own attempt {when} ({tried.error}); asked again, it works"


def page_url_of(target: Target) -> str:
    """The URL of a page at a target."""
    return f"{HTTP_SCHEMES[target.scheme]}://{target.authority}{target.target}"


async def look(target: Target, extras: Extras, asker: Asker) -> Answer | None:
    """An ordinary GET of the page; None where its server cannot be reached, or is not trusted."""
    reached = await asker.reach(target)
    if reached.working is None:
        return None
    fields = plain_fields(handshake_fields(target, replace_origin(extras), "page"))
    question = Question(kind="page", asks="the page", target=target, fields=fields, is_handshake=False)
    answer = await asker.ask(1, question, reached.working)
    return None if answer.facts.status is None else answer


def is_answer_of_socket(facts: ConnectionFacts) -> bool:
    """Whether the answer to an ordinary GET is that of a WebSocket server: it wants an upgrade to WebSocket.

    A page may have any status, but is HTML; a 426 may want TLS, and an API may dislike a header.
    """
    head = facts.response_in
    if head is None or facts.status is None or facts.status < _ERROR:
        return False
    text = facts.wording.strip()
    if b"html" in (head.get("content-type") or b"").lower() or text.startswith(_HTML):
        return False
    if head.get("sec-websocket-version") is not None:
        return True
    is_426 = facts.status == HTTPStatus.UPGRADE_REQUIRED
    names_it = "websocket" in head.tokens("upgrade") or b"websocket" in text
    # The ws library for Node answers with the status' own words, and says no more.
    is_bare = is_426 and head.get("upgrade") is None and text in (b"", b"upgrade required")
    return is_bare or (names_it and (is_426 or says_no_upgrade(facts)))


def replace_origin(extras: Extras) -> Extras:
    """A page is asked for without Origin."""
    return extras._replace(origin="")


def usable_browser(wanted: str | None = None) -> Browser | str:
    """A Chromium on this machine, or why there is none."""
    try:
        browser = find_browser(wanted)
    except LocalError as error:
        return str(error)
    if browser.family is not Family.CHROMIUM:
        return f"no Chromium was found, only {browser.name}"
    return browser


def open_page(
    target: Target,
    browser: Browser,
    *,
    extras: Extras,
    wait_ns: int = WAIT_NS,
    engine_options: Sequence[str] = (),
    watch: Watch = lambda words: None,
) -> tuple[PageExamination, list[Tried]]:
    """Open the page; what it did, and what is to be examined.

    Raises:
        LocalError: the browser or the proxy could not be started.
    """
    url = page_url_of(target)
    with tempfile.TemporaryDirectory(prefix="wsinspect-") as folder:
        visit = PageVisit(
            url=url,
            browser=browser,
            wait_ns=wait_ns,
            engine_options=engine_options,
            headers=extras.headers,
            cookies=extras.cookies,
            watch=watch,
        )
        file = Path(folder) / "page.db"
        visited = visit_page(visit, file)
        with open_capture(file) as capture:
            reader = FactReader(capture.query)
            connections = [one for number in reader.ids() if (one := reader.connection(number))]
            waited_ns = max(wait_ns, visited.watched_ns)
            facts = with_console(reader.capture(), url, visited, len(connections), waited_ns)
    tried = list(tried_of(connections, facts, visited.sockets))
    asked = chosen(tried)
    found = PageExamination(
        url=url,
        browser=browser.name,
        visited=visited,
        findings=tuple(page_findings(facts, connections)),
        left_out=len(tried) - len(asked),
        waited_ns=waited_ns,
    )
    return found, asked


def needs_permission(found: Examination) -> bool:
    """Whether the addresses of page and server are such that a browser asks for a permission."""
    return any(one.id == "WS-PAGE-009" for one in found.judgement.findings)


def opened_directly(found: PageExamination, visit: PageVisit) -> PageExamination:
    """The page, opened once more without our proxy: behind one, a browser cannot know where servers are.

    Raises:
        LocalError: the browser could not be started.
    """
    visited = visit_directly(visit)
    lines = [f"{one.source}: {one.text}" for one in visited.lines]
    detail = {"url": found.url, "attempts": len(visited.sockets), "without_proxy": lines}
    more = diagnose_capture(CaptureFacts(events=(EngineEvent(0, "page", detail),)))
    blocked = [one for one in more if one.id == "WS-PAGE-008"]
    return replace(found, findings=tuple(ranked([*found.findings, *blocked])))


def with_console(
    facts: CaptureFacts, url: str, visited: Visited, attempts: int, waited_ns: int
) -> CaptureFacts:
    """The facts with what the browser's console said of the page; an event of its own where it has none."""
    lines = [f"{one.source}: {one.text}" for one in visited.lines if one.level in ("error", "warning")][
        :_SHOWN
    ]
    events = [
        replace_detail(one, console=lines, attempts=attempts) if one.kind == "page" else one
        for one in facts.events
    ]
    if (lines or not attempts) and not any(one.kind == "page" for one in events):
        # The watch may end before the proxy has read the page's code: the browser knows what was tried.
        detail = {"url": url, "attempts": attempts, "waited_ms": waited_ns // 10**6, "console": lines}
        detail["ws_urls"] = [one.url for one in visited.sockets]
        events.append(EngineEvent(0, "page", detail))
    if visited.sockets:
        events = [
            replace_detail(one, made=len(visited.sockets)) if one.kind == "page" else one for one in events
        ]
    if not visited.is_loaded:
        events = [
            replace_detail(one, is_loading=True, waited_ms=waited_ns // 10**6) if one.kind == "page" else one
            for one in events
        ]
    return replace(facts, events=tuple(events))


def replace_detail(event: EngineEvent, **more: Any) -> EngineEvent:
    """The event with more in its detail."""
    return event._replace(detail={**event.detail, **more})


def page_findings(facts: CaptureFacts, connections: Sequence[ConnectionFacts]) -> list[Finding]:
    """What the page and the whole of its traffic show; each attempt is examined on its own."""
    own = [
        finding
        for one in connections
        if one.was_open and one.ended_by == _BY_SERVER
        for finding in diagnose_connection(one)
    ]
    of_page = [
        one
        for one in diagnose_capture(facts)
        # The browser is ours, and it goes by our proxy: a connection that it did not use says nothing.
        if one.id.startswith(("WS-PAGE", "WS-RC")) and one.id != "WS-PAGE-006"
    ]
    return ranked([*own, *of_page])


def chosen(tried: Sequence[Tried]) -> list[Tried]:
    """Those that are asked, in the page's order: first those that failed, then one of each path."""
    paths: set[str] = set()

    def rank(number: int) -> tuple[bool, bool]:
        path = str(tried[number].target).partition("?")[0]
        is_known = path in paths
        paths.add(path)
        return bool(tried[number].was_open) and tried[number].error is None, is_known

    first = sorted(range(len(tried)), key=[rank(number) for number in range(len(tried))].__getitem__)
    return [tried[number] for number in sorted(first[:MAX_EXAMINED])]


def tried_of(
    connections: Sequence[ConnectionFacts], facts: CaptureFacts, sockets: Sequence[Socket] = ()
) -> Iterator[Tried]:
    """The WebSockets to examine: those that were tried, else those that the page's code names.

    Tried is also what the browser began and the proxy never saw.
    """
    # Of several attempts at one place the accepted one is asked again, or else one that had credentials: for
    # a URL with a user a browser asks without them first, and shows them where they are demanded (RFC 7617).
    best: dict[str, tuple[ConnectionFacts, Target, Extras]] = {}
    for one in connections:
        again = asked_again(one.scheme, one.host, one.port, one.path, one.request_in)
        if again is None:
            continue
        place = str(again[0])
        if place not in best or _tells_more(one, best[place][0]):
            best[place] = (one, *again)
    for one, target, extras in best.values():
        was_open = any(
            other.was_open
            for other in connections
            if (other.host, other.port) == (one.host, one.port)
            and other.path.partition("?")[0] == one.path.partition("?")[0]
        )
        there = [socket for socket in sockets if _is_at(target, socket.url)]
        # A browser does not take every 101 (RFC 6455, section 4.1).
        took = not there or any(socket.status is not None for socket in there)
        yield Tried(target=target, extras=extras, was_open=was_open and took, error=_error_of(there))
    if connections:
        return
    pages = [event for event in facts.events if event.kind == "page"]
    for page in pages[:1] if sockets else ():
        for named in named_in(list(dict.fromkeys(one.url for one in sockets)), str(page.detail.get("url"))):
            there = [socket for socket in sockets if _is_at(named.target, socket.url)]
            yield replace(named, was_open=False, error=_error_of(there))
    if not sockets:
        for event in pages:
            yield from named_in(event.detail.get("ws_urls") or (), str(event.detail.get("url")))


def _is_at(target: Target, url: str) -> bool:
    """Whether a URL of the browser's is at a target, whatever its query."""
    try:
        return str(parse_target(url)[0]).partition("?")[0] == str(target).partition("?")[0]
    except ValueError:
        return False


def _error_of(sockets: Sequence[Socket]) -> str | None:
    """The browser's words where each of them failed."""
    errors = [one.error for one in sockets if one.error is not None and not _BY_PAGE.search(one.error)]
    return errors[-1] if errors and len(errors) == len(sockets) else None


def _tells_more(one: ConnectionFacts, other: ConnectionFacts) -> bool:
    """Whether an attempt is the better one to repeat than an earlier one at the same place."""

    def rank(each: ConnectionFacts) -> tuple[bool, bool]:
        head = each.request_in
        return each.was_open, head is not None and head.get("authorization") is not None

    return rank(one) > rank(other)


def named_in(urls: Sequence[Any], page: str) -> Iterator[Tried]:
    """WebSocket URLs of a page's code."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(page))
    for url in urls[:MAX_EXAMINED]:
        text = str(url)
        for scheme, instead in (("http://", "ws://"), ("https://", "wss://")):
            text = text.replace(scheme, instead, 1) if text.startswith(scheme) else text
        try:
            yield Tried(target=parse_target(text)[0], extras=Extras(origin=origin))
        except ValueError:
            continue


async def read_page(
    target: Target, answer: Answer, extras: Extras, asker: Asker, why: str
) -> tuple[PageExamination, list[Tried]]:
    """Read the page and its scripts, because no browser can open it."""
    url = page_url_of(target)
    scanners = [_scanned(answer.facts)]
    for script in _scripts(target, answer.facts.content):
        one = await look(script, extras, asker)
        if one is not None and one.facts.status == 200:
            scanners.append(_scanned(one.facts))
    head = answer.facts.response_in
    policies = [value.decode("latin-1") for value in head.get_all("content-security-policy")] if head else []
    urls = list(dict.fromkeys(url for scanner in scanners for url in scanner.urls))
    detail = {
        "url": url,
        "attempts": 0,
        "is_read": True,
        "ws_urls": urls,
        "csp": [*policies, *(policy for scanner in scanners for policy in scanner.policies)],
    }
    facts = CaptureFacts(events=(EngineEvent(0, "page", detail),))
    found = PageExamination(
        url=url, browser=None, visited=Visited(), findings=tuple(page_findings(facts, ())), why_read=why
    )
    return found, list(named_in(urls, url))


def _scanned(facts: ConnectionFacts) -> Scanner:
    scanner = Scanner()
    scanner.feed(facts.content)
    return scanner


def _scripts(target: Target, content: bytes) -> Iterator[Target]:
    """The page's scripts that its own server has."""
    for source in list(dict.fromkeys(_SCRIPT.findall(content)))[:_MAX_SCRIPTS]:
        try:
            script = page_target(urljoin(page_url_of(target), source.decode("latin-1")))
        except ValueError:
            continue
        if script is not None and script.address == target.address:
            yield script


def unopened(
    target: Target, extras: Extras, *, is_socket: bool = False
) -> tuple[PageExamination, list[Tried]]:
    """Asked as a WebSocket instead: its server cannot be reached, is not trusted, or has no page there."""
    page = PageExamination(
        url=page_url_of(target), browser=None, visited=Visited(), findings=(), is_socket=is_socket
    )
    return page, [Tried(target=target, extras=extras)]
