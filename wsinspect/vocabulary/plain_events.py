"""Events of plain HTTP next to WebSockets: pages, polls, what libraries ask for. `events` has them, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wsinspect.vocabulary import EventKind
from wsinspect.vocabulary.record import Event, if_set


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest(Event):
    """A plain request of its client near the attempt, without bodies; the event's time is when it began.

    Attributes:
        number: of all such requests of the run: one that is near to several attempts is an event of each.
        url: as asked for, cut where it is very long.
        what: `page`, `polling` (Engine.IO), `negotiation` (SignalR) or `preflight` (CORS), where it
            is one of these.
        status: of the answer; None where the server did not answer.
        ms: until the answer's header block was there.
        length, media_type: of the answer's body, by its header.
        error: what failed, where the server did not answer.
    """

    KIND = EventKind.HTTP
    number: int = 0
    method: str | None = None
    url: str | None = None
    what: str | None = if_set()
    status: int | None = None
    ms: float | None = None
    length: int | None = if_set()
    media_type: str | None = if_set()
    error: str | None = if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWatched(Event):
    """What a page did in the time that it was watched.

    Attributes:
        user_agent: what the browser calls itself.
        attempts: opening handshakes.
        ws_urls, interest: WebSocket URLs in its scripts, and code that looks like one being opened.
        csp: its content security policies.
        failed_scripts: scripts that did not come, in words.
        polling, polling_path, polling_upgrades: long-polling requests, where to, and whether an upgrade was
            offered.
        service_worker: the path of its script.
    """

    KIND = EventKind.PAGE
    url: str | None = None
    client: str | None = None
    user_agent: str | None = None
    attempts: int | None = None
    waited_ms: int | None = None
    ws_urls: list[Any]
    interest: str | None = None
    csp: list[Any]
    failed_scripts: list[Any]
    polling: int | None = None
    polling_path: str | None = None
    polling_upgrades: list[Any] | None = None
    service_worker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled(Event):
    """A request of a session's long-polling, with both bodies as text; `is_cut` where they were too long.

    Attributes:
        client_session: as of an `Attempt`, where the client has made one before.
        protocol: `signalr`; None for Engine.IO.
        sid: Engine.IO's session, or SignalR's connection.
        refusal: how the body of an answer begins that is not 200, or is and gives no session.
        stream: of an answer of Server-Sent Events, `begun` once its header came, then `ended`, or `left` by
            the client; of any other only `left`.
        rule: of ours, that answered in the server's place or held the request.
    """

    KIND = EventKind.POLLING
    tap: str | None = if_set()
    client: str | None = if_set()
    client_session: int | None = if_set()
    protocol: str | None = if_set()
    sid: str | None = None
    host: str | None = None
    path: str | None = None
    method: str | None = None
    status: int | None = None
    request: str | None = None
    response: str | None = None
    is_cut: bool = False
    refusal: str | None = if_set()
    stream: str | None = if_set()
    rule: str | None = if_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryAsked(Event):
    """What a library asks for before its WebSocket, or in place of it, with an answer that does not lead to
    one; neither query nor header.

    Attributes:
        library, part, base: as `clients.openings.Opening` has them.
        url: without the query.
        problem: `unanswered`, `failed`, `lost` (SockJS: the session is unknown), `redirected`, `page` (a web
            page came), `cors` (a browser keeps the answer from the page), `no_websocket` (it offers
            others), or `served`: after one of these, all is well.
        origin: of the page; `allowed`: Access-Control-Allow-Origin of the answer.
        location, server: of the answer, by its header.
        refusal: how the body begins.
        error: why there is no answer.
    """

    KIND = EventKind.LIBRARY_ASKED
    tap: str | None = if_set()
    client: str | None = if_set()
    library: str | None = None
    part: str | None = None
    base: str | None = None
    host: str | None = None
    url: str | None = None
    method: str | None = None
    status: int | None = None
    problem: str | None = None
    origin: str | None = if_set()
    allowed: str | None = if_set()
    location: str | None = if_set()
    server: str | None = if_set()
    media_type: str | None = if_set()
    refusal: str | None = if_set()
    error: str | None = if_set()
