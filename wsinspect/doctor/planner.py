"""What to ask next, given the answers so far. Pure: keys come from an argument, nothing is sent here.

The first question is a browser's opening handshake. Each of the others differs from it in one thing, so its
answer says whether that thing matters. Where leaving out all that RFC 6455 does not demand makes the server
accept, delta debugging finds the one header that makes it refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from wsinspect.doctor.minimise import minimise
from wsinspect.doctor.proxies import Proxy
from wsinspect.doctor.questions import (
    FOREIGN_ORIGIN,
    NEEDED,
    Field,
    Question,
    handshake_fields,
    plain_fields,
    with_field,
    without,
)
from wsinspect.doctor.target import Extras, Target, without_query
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.net import DEFAULT_PORTS, HTTP_SCHEMES, WS_SCHEMES

#: Most attempts for one URL.
MAX_QUESTIONS: Final = 20
#: Most attempts to find the header that decides (delta debugging).
_DELTA: Final = 8
_SUBPROTOCOLS: Final = 3
#: Statuses of a server that looks at the host it is asked for; 200 is the page of another one, and None
#: that it hangs up (nginx: `return 444`).
_ABOUT_HOST: Final = (200, 400, 403, 404, 421, None)
_REDIRECTS: Final = (301, 302, 303, 307, 308)
#: Statuses of a server that may have nothing at this path (Node ws: 400, Starlette: 403), unless its answer
#: names another reason.
#: Django Channels answers 500 to a path that none of its routes has.
_NO_ROUTE: Final = (200, 400, 403, 404, 405, 410, 426, 500, 501)
_SAYS_WHY: Final = re.compile(rb"origin|cors|token|credential|auth|log-?in|session|denied|host header", re.I)
#: What a server writes around the subprotocols that it names in a refusal.
_NAMES: Final = re.compile(
    rb"sub-?protocols?[^:\[\]\n<>]{0,40}[:\[][\s\[]*([\w.\-\"', /+]{2,200})"
    rb"|sec-websocket-protocol:\s*([\w.\-, ]{2,200})",
    re.I,
)
#: Usual subprotocols, by path.
_USUAL: Final = (
    ("graphql", ("graphql-transport-ws", "graphql-ws")),
    ("cable", ("actioncable-v1-json",)),
    ("mqtt", ("mqtt",)),
    ("stomp", ("v12.stomp",)),
)

#: Codes of a server that has no more to say: an application's own end (RFC 6455, 7.4.1).
_CLEAN: Final = (1000, 1001)
_SPEAKS_OF_TLS: Final = re.compile(rb"https|\btls\b|\bssl\b", re.I)

Plan = Generator[Question, ConnectionFacts, None]


def is_accepted(facts: ConnectionFacts) -> bool:
    """Whether the answer is a 101 that a browser takes."""
    agreed = facts.negotiation
    has_chosen = agreed.subprotocol is not None or not agreed.subprotocols_offered
    return facts.status == 101 and not agreed.problems and has_chosen


def _ends_at_ping(main: ConnectionFacts) -> bool:
    """Whether the server may have ended an open WebSocket because of our PING, which no browser sends."""
    is_unanswered = bool(main.pings) and all(one.pong_id is None for one in main.pings)
    return is_unanswered and main.ended_by == "server" and main.server_close_code not in _CLEAN


def plan(target: Target, extras: Extras, new_key: Callable[[], str], *, proxy: Proxy | None = None) -> Plan:
    """The questions about one URL.

    Args:
        new_key: a new Sec-WebSocket-Key (RFC 6455, 4.1).
        proxy: the forward proxy that clients on this machine use.
    """
    yield from bounded(Planner(target, extras, new_key, proxy=proxy).questions(), MAX_QUESTIONS)


def _wants_http2(main: ConnectionFacts) -> bool:
    """Whether TLS failed because HTTP/1.1 alone was offered by ALPN (RFC 7301 section 3.2)."""
    return "application protocol" in (main.error or "").replace("_", " ").lower()


def bounded(questions: Plan, most: int) -> Plan:
    """At most this many of the questions."""
    try:
        question = next(questions)
        for _ in range(most):
            question = questions.send((yield question))
    except StopIteration:
        return
    questions.close()


class Planner:
    """Plans the questions about one server.

    Args:
        place: which one it is of a chain.
        proxy: the forward proxy that clients on this machine use.
    """

    def __init__(
        self,
        target: Target,
        extras: Extras,
        new_key: Callable[[], str],
        *,
        place: int = 0,
        proxy: Proxy | None = None,
    ) -> None:
        self._place = place
        self._proxy = proxy
        self._target = target
        self._extras = extras
        self._new_key = new_key

    def questions(self) -> Plan:
        """The handshake of a browser, and what its answer calls for."""
        main = yield self._question("handshake", "the opening handshake of a browser", is_long=True)
        yield from self.after(main)

    def after(self, main: ConnectionFacts) -> Plan:
        """What the answer to the handshake calls for."""
        if self._proxy is not None and self._proxy.address is not None:
            through = self._question(
                "proxy", f"through the proxy {self._proxy.address} ({self._proxy.variable})"
            )
            yield replace(through, proxy=self._proxy)
        yield from self._after(main)
        if self._target.is_tls and (main.failed_where not in ("connect", "tls-server") or _wants_http2(main)):
            yield self._question(
                "h2", "what HTTP/2 makes of it", fields=self._fields(), http_version="HTTP/2"
            )

    def _after(self, main: ConnectionFacts) -> Plan:
        if main.failed_where in ("connect", "tls-server"):
            if not self._is_nameless(main):
                yield from self.other_scheme(main)
        elif is_accepted(main):
            if _ends_at_ping(main):
                quiet = self._question("quiet", "the same without a PING", is_long=True)
                yield replace(quiet, is_quiet=True)
            yield from self._controls()
        elif main.status == 101:
            yield from self._bad_101(main)
        else:
            yield from self._refused(main)

    def _is_nameless(self, main: ConnectionFacts) -> bool:
        """Whether the host's name has no address, so nothing of it can be asked."""
        return main.failed_where == "connect" and (main.error or "").startswith("name resolution")

    # -- requests

    def _fields(self, target: Target | None = None) -> tuple[Field, ...]:
        return handshake_fields(target or self._target, self._extras, self._new_key())

    def _question(
        self,
        kind: str,
        asks: str,
        *,
        fields: tuple[Field, ...] | None = None,
        target: Target | None = None,
        is_long: bool = False,
        http_version: str = "HTTP/1.1",
    ) -> Question:
        return Question(
            kind=kind,
            asks=asks,
            target=target or self._target,
            fields=self._fields(target) if fields is None else fields,
            is_long=is_long,
            http_version=http_version,
            place=self._place,
        )

    def _without(self, names: tuple[str, ...]) -> Question:
        keys = {name.lower() for name in names}
        what = ", ".join(names)
        kind = f"without:{','.join(sorted(keys))}"
        return self._question(kind, f"without {what}", fields=without(self._fields(), keys))

    def _get(self) -> Question:
        return Question(
            kind="get",
            asks="an ordinary GET of the same path",
            target=self._target,
            fields=plain_fields(self._fields()),
            is_handshake=False,
            place=self._place,
        )

    # -- what is asked of whom

    def _controls(self) -> Plan:
        """Of a server that accepts: does it look at Origin, and at what the user gave?"""
        if any(one.key == "origin" for one in self._fields()):
            foreign = with_field(self._fields(), "Origin", FOREIGN_ORIGIN)
            yield self._question("origin:foreign", "with the Origin of another site", fields=foreign)
            yield self._without(("Origin",))
        given = self._given()
        if given:
            yield self._without(given)
        yield from self._unqueried()
        yield self._as_firefox()
        yield self._without(("Sec-WebSocket-Extensions",))
        if self._extras.subprotocols:
            yield self._without(("Sec-WebSocket-Protocol",))
            yield from self._singly()
        yield self._get()

    def _given(self) -> tuple[str, ...]:
        """The names of what the user gave to prove who they are, and of other headers."""
        return (*(("Cookie",) if self._extras.cookies else ()), *(name for name, _ in self._extras.headers))

    def _unqueried(self) -> Iterator[Question]:
        """Without the parameters that the user added to the URL."""
        target = without_query(self._target, self._extras.query)
        if target is not None:
            names = ", ".join(one.partition("=")[0] for one in self._extras.query.split("&"))
            yield self._question("query:none", f"without {names} in the query", target=target)

    def _bad_101(self, main: ConnectionFacts) -> Plan:
        """Of a server whose 101 no browser takes: is it what was offered?"""
        if self._extras.subprotocols:
            yield self._without(("Sec-WebSocket-Protocol",))
            for question in self._singly():
                if is_accepted((yield question)):
                    return
        if main.negotiation.extensions:
            yield self._without(("Sec-WebSocket-Extensions",))
        elif main.negotiation.subprotocols_offered == ():
            yield self._get()

    def _refused(self, main: ConnectionFacts) -> Plan:
        """Of a server that refuses, or gives no answer."""
        get = yield self._get()
        if main.failed_where == "client" and get.status is None:
            return  # it uses up all its time for each question and does not answer
        optional = [one.name for one in self._fields() if one.key not in NEEDED]
        bare = yield self._question(
            "bare",
            "with only what RFC 6455 demands",
            fields=tuple(one for one in self._fields() if one.key in NEEDED),
        )
        if is_accepted(bare):
            yield from self._delta(optional)
            return
        if main.status is None or main.status >= 500:
            again = yield self._question("repeat", "the same request again")
            if is_accepted(again):
                return
        for question in self._single_changes(main):
            if is_accepted((yield question)):
                return
        if self._may_be_other_scheme(main):
            yield from self.other_scheme(main)

    def _delta(self, optional: list[str]) -> Plan:
        """Which of the headers that may be left out makes the server refuse."""
        search = minimise(optional, budget=_DELTA)
        try:
            names = next(search)
            while True:
                left_out = tuple(one for one in optional if one not in names)
                # All but these: the handshake with just these headers is refused.
                facts = yield self._only(names, left_out)
                names = search.send(not is_accepted(facts))
        except StopIteration as end:
            found: tuple[str, ...] = end.value
        yield self._without(found)
        if found == ("Sec-WebSocket-Protocol",):
            yield from self._singly()

    def _singly(self) -> Iterator[Question]:
        """Each of the offered subprotocols alone, where there are several."""
        names = self._extras.subprotocols
        for name in names[:_SUBPROTOCOLS] if len(names) > 1 else ():
            offered = with_field(self._fields(), "Sec-WebSocket-Protocol", name)
            yield self._question(f"subprotocol:{name}", f"with the subprotocol {name} alone", fields=offered)

    def _only(self, names: tuple[str, ...], left_out: tuple[str, ...]) -> Question:
        keys = {name.lower() for name in left_out}
        shown = ", ".join(names)
        kind = f"only:{','.join(sorted(name.lower() for name in names))}"
        return self._question(
            kind, f"with no other optional header than {shown}", fields=without(self._fields(), keys)
        )

    def _single_changes(self, main: ConnectionFacts) -> Iterator[Question]:
        """One thing is added, left out, or is another."""
        fields = self._fields()
        yield from self._unqueried()
        if self._extras.origin is not None and self._extras.origin != self._target.origin:
            own = with_field(fields, "Origin", self._target.origin)
            yield self._question("origin:own", "with the server's own Origin", fields=own)
        for name in self._subprotocols(main):
            offered = with_field(self._fields(), "Sec-WebSocket-Protocol", name)
            yield self._question(f"subprotocol:{name}", f"with the subprotocol {name}", fields=offered)
        yield from self._redirected(main)
        path = self._target.path
        if main.status in _NO_ROUTE and path != "/" and not _SAYS_WHY.search(main.content[:4096]):
            other = path.rstrip("/") or "/"
            other, words = (other, "without") if path.endswith("/") else (f"{path}/", "with")
            yield self._question(
                "slash", f"{words} a slash at the end of the path", target=self._target.with_path(other)
            )
        if main.status in _ABOUT_HOST and main.failed_where != "client":
            yield from self._hosts()
        if main.status in (400, 426):
            yield self._as_firefox()
        if "/socket.io/" in f"{path}/" or "/engine.io/" in f"{path}/":
            yield self._polling()

    def _as_firefox(self) -> Question:
        """Is Connection read as the list that it is?"""
        both = with_field(self._fields(), "Connection", "keep-alive, Upgrade")
        return self._question(
            "connection", "with 'Connection: keep-alive, Upgrade', as Firefox sends it", fields=both
        )

    def _subprotocols(self, main: ConnectionFacts) -> list[str]:
        """Those that the answer names, and those that are usual at such a path."""
        named = (
            [one.decode("latin-1") for one in main.response_in.elements("sec-websocket-protocol")]
            if main.response_in
            else []
        )
        for match in _NAMES.finditer(main.content[:4096]):
            words = re.split(rb"[\s,'\"]+", match[1] or match[2])
            named += [one.decode("latin-1") for one in words if len(one) > 2 and (b"-" in one or b"." in one)]
        path = self._target.path.lower()
        named += [name for word, names in _USUAL if word in path for name in names]
        known = set(self._extras.subprotocols)
        return [one for one in dict.fromkeys(named) if one not in known][:_SUBPROTOCOLS]

    def _redirected(self, main: ConnectionFacts) -> Iterator[Question]:
        """Where the server sends the request, if that is the same host."""
        value = main.response_in.get("location") if main.response_in else None
        if main.status not in _REDIRECTS or value is None:
            return
        target = redirect_target(self._target, value.decode("latin-1"))
        is_downgrade = target is not None and self._target.is_tls and not target.is_tls
        if target is not None and target != self._target and not is_downgrade:
            yield self._question("redirect", f"where the redirect leads: {target}", target=target)

    def _hosts(self) -> Iterator[Question]:
        """Other spellings of the host: a virtual host, or a dev server that knows only some."""
        target = self._target
        spellings = (
            [f"{target.authority}:{target.port}"] if target.authority == target.host else [target.host]
        )
        if target.host != "localhost":
            spellings.append("localhost" if target.port in (80, 443) else f"localhost:{target.port}")
        for host in spellings:
            fields = with_field(self._fields(), "Host", host)
            yield self._question(f"host:{host}", f"with 'Host: {host}'", fields=fields)

    def _polling(self) -> Question:
        """Engine.IO's other transport: is there a server, and is it only the upgrade that fails?"""
        query = [
            one for one in self._target.query.split("&") if one and not one.startswith(("transport=", "sid="))
        ]
        if not any(one.startswith("EIO=") for one in query):
            query.append("EIO=4")
        target = self._target._replace(
            target=f"{self._target.path}?{'&'.join((*query, 'transport=polling'))}"
        )
        return Question(
            kind="polling",
            asks="Engine.IO by polling",
            target=target,
            fields=plain_fields(self._fields()),
            is_handshake=False,
            place=self._place,
        )

    def _may_be_other_scheme(self, main: ConnectionFacts) -> bool:
        """Whether the other scheme has a port of its own, or this port may speak it."""
        if self._target.port == DEFAULT_PORTS[self._target.scheme] or main.status is None:
            return True
        return speaks_of_tls(main)

    def other_scheme(self, main: ConnectionFacts) -> Plan:
        """TLS where plain was asked for, and the other way round."""
        if main.failed_where == "tls-server" and (main.server_tls or {}).get("certificate"):
            return  # the port speaks TLS, but something is wrong with it
        target = self._target
        scheme = "ws" if target.is_tls else "wss"
        is_usual = target.port == DEFAULT_PORTS[target.scheme] and main.failed_where != "tls-server"
        other = target._replace(scheme=scheme, port=DEFAULT_PORTS[scheme] if is_usual else target.port)
        if target.is_tls:  # no possible secret goes over a plain connection
            other = other._replace(target=target.path)
            fields = handshake_fields(other, Extras(subprotocols=self._extras.subprotocols), self._new_key())
        else:
            fields = self._fields(other)
        question = self._question("scheme", f"as {scheme}: {other}", fields=fields, target=other)
        yield replace(question, is_guess=True)


def speaks_of_tls(facts: ConnectionFacts) -> bool:
    """Whether a refusal says that this port speaks TLS."""
    return facts.status == 400 and _SPEAKS_OF_TLS.search(facts.content[:4096]) is not None


def redirect_target(target: Target, location: str) -> Target | None:
    """Where a redirect leads, as a WebSocket URL; None where that is another host, or cannot be read."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if host is not None and host != target.host:
        return None
    path = parts.path or "/"
    if not path.startswith("/"):
        path = target.path.rpartition("/")[0] + "/" + path
    if not path.isascii() or not path.isprintable() or " " in path:
        return None
    query = parts.query or target.query
    new = target._replace(
        target=path + (f"?{query}" if query and query.isascii() and " " not in query else "")
    )
    if host is None:
        return new
    scheme = WS_SCHEMES.get(parts.scheme or HTTP_SCHEMES[target.scheme])
    return None if scheme is None else new._replace(scheme=scheme, port=port or DEFAULT_PORTS[scheme])


__all__ = ["MAX_QUESTIONS", "Plan", "is_accepted", "plan", "redirect_target", "speaks_of_tls"]
