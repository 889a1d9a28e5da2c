"""What a hop changed in a request, and whether that can explain why the server refused it.

Field names are compared without their letter case, list values member by member: what RFC 9110 (5.1, 5.3)
calls the same is the same. A change is a suspect only where the answer fits it: a server that answers 401 did
not look at Host. How sure a suspect is depends on what the server says, and on other attempts that it
accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from wsinspect.findings.acceptance import is_refusal
from wsinspect.findings.comparison import stayed_open
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.handshake.bridging import comparable_requests
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import is_valid_key
from wsinspect.vocabulary import Lack

Kind = Literal["upgrade", "http10", "method", "path", "query", "sec", "case", "identity", "named"]

#: How well a change explains an answer: it could, it mostly does, the server or another attempt says so.
POSSIBLE, LIKELY, PROVEN = 1, 2, 3

#: List fields: order matters, but not how the list is spread over several lines.
_LISTS: Final = frozenset(
    (
        *("connection", "upgrade", "sec-websocket-protocol", "sec-websocket-extensions", "x-forwarded-for"),
        *("forwarded", "via", "te", "accept", "accept-encoding", "accept-language", "cache-control"),
    )
)
#: Fields that every proxy replaces; such a change is not news.
_USUAL: Final = frozenset(
    (
        *("connection", "upgrade", "via", "forwarded", "te", "trailer", "keep-alive", "proxy-connection"),
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-server", "x-real-ip"),
        *("x-forwarded-port", "x-request-id", "x-envoy-expected-rq-timeout-ms", "x-envoy-external-address"),
        *("accept-encoding", "content-length", "transfer-encoding", "cache-control", "pragma"),
    )
)
_SECRET: Final = frozenset(("cookie", "authorization", "proxy-authorization"))
_CREDENTIALS: Final = ("authorization", "cookie")
_SAYS_ORIGIN: Final = re.compile(
    rb"\borigin\b|\bhost\b|cross[- ]site|csrf|misdirected|virtual ?host|allowed_?hosts|not allowed by cors",
    re.I,
)
_SAYS_CREDENTIALS: Final = re.compile(
    rb"token|auth|login|log in|sign[- ]?in|session|cookie|credential|csrf|jwt", re.I
)
_SAYS_PROTOCOL: Final = re.compile(rb"sub-?protocol|sec-websocket-protocol", re.I)
_SAYS_MISSING: Final = re.compile(
    rb"(?:missing|without|lacks?|no|not? (?:find|contain)|required?|invalid)\b[^.\n<]{0,60}?"
    rb"(sec-websocket-(?:key|version|protocol)|upgrade|connection)",
    re.I,
)
#: A body that says what the status says.
_ONLY_FORBIDDEN: Final = re.compile(rb"(403:? )?(forbidden)?\.?", re.I)
_ONLY_BAD: Final = re.compile(rb"(400:? )?(bad request)?\.?", re.I)
#: Answers that name another reason than a missing upgrade.
_OTHER_REASONS: Final = frozenset((300, 301, 302, 303, 307, 308, 401, 407, 421, 429, 431, 502, 503, 504))
#: Answers to a request that the server could not read as an opening handshake; None is for no answer.
_BAD_REQUEST: Final = (None, 400, 405, 426, 500, 501)
_OLD_VERSION: Final = (None, 200, 400, 404, 405, 426, 501, 505)
_NO_ROUTE: Final = (200, 404, 405, 410)


class FieldChange(NamedTuple):
    """A field of which the values going into a hop are not those that came out; names are in lower case."""

    name: str
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """As evidence; credentials are not shown."""
        before, after = (self._shown(values) for values in (self.before, self.after))
        if not self.after:
            return (f"removed  {before}",)
        if not self.before:
            return (f"added    {after}",)
        return (f"changed  {before}  ->  {after}",)

    def _shown(self, values: Sequence[bytes]) -> str:
        title = "-".join(part.capitalize() for part in self.name.split("-")).replace("websocket", "WebSocket")
        title = title.replace("Websocket", "WebSocket")
        text = ", ".join(value.decode("latin-1") for value in values)[:160]
        return f"{title}: (not shown)" if self.name in _SECRET else f"{title}: {text}"


class Suspect(NamedTuple):
    """A change that may be why the server refused.

    Attributes:
        weight: `POSSIBLE`, `LIKELY` or `PROVEN`.
        why: what makes it so, as evidence; "" says nothing.
    """

    kind: Kind
    weight: int
    lines: tuple[str, ...]
    why: str = ""


class Accepted(NamedTuple):
    """A request that the server answered with 101, as it arrived there."""

    path: bytes
    host: bytes
    origin: bytes | None
    http_version: bytes


def accepted_of(head: RawHead) -> Accepted:
    """What is remembered of a request that was accepted."""
    return Accepted(head.target.partition(b"?")[0], _host(head), head.get("origin"), head.http_version)


def field_changes(before: RawHead, after: RawHead) -> list[FieldChange]:
    """The fields that differ in more than spelling, in the order of the request, added ones last."""
    values = [_values(head) for head in (before, after)]
    changes = []
    for name in dict.fromkeys((*values[0], *values[1])):
        old, new = (one.get(name, ()) for one in values)
        if old != new and _meant(name, old) != _meant(name, new):
            changes.append(FieldChange(name, old, new))
    return changes


def unknown_fields(*taps: ConnectionFacts) -> frozenset[str]:
    """Fields of a request that one of the files leaves out, so that a difference says nothing."""
    is_left_out = any(Lack.CREDENTIALS in one.unrecorded for one in taps)
    return frozenset(_CREDENTIALS if is_left_out else ())


def notable(changes: Sequence[FieldChange]) -> list[FieldChange]:
    """Those that are more than what every proxy does."""
    return [
        one for one in changes if one.name not in _USUAL or (one.name.startswith("x-forw") and one.before)
    ]


def lost_upgrade(before: RawHead, after: RawHead) -> bool:
    """Whether a correct upgrade went in and none came out."""
    return _asks_upgrade(before) and not _asks_upgrade(after)


def suspects(
    edge: ConnectionFacts, origin: ConnectionFacts, accepted: Sequence[Accepted] = ()
) -> list[Suspect]:
    """The hop's changes that could explain why the attempt failed behind it, the surest first.

    Args:
        accepted: other requests that the same server answered with 101.
    """
    sent, came = edge.request_out, origin.request_in
    if sent is None or came is None or origin.failed_where in ("connect", "tls-server"):
        return []
    sent, came = comparable_requests(sent, came)
    unknown = unknown_fields(edge, origin)
    changes = [one for one in field_changes(sent, came) if one.name not in unknown]
    found = [
        *_upgrade(sent, came, origin),
        *_sec_fields(changes, came, origin),
        *_method(sent, came, origin),
        *_target(sent, came, origin, accepted),
        *_version(sent, came, origin, accepted),
        *_identity(sent, came, changes, origin, accepted),
    ]
    if not any(one.weight >= LIKELY for one in found):
        found += [*_named(changes, origin), *_case(sent, came, origin)]
    return sorted(found, key=lambda one: -one.weight)


#: Of those codes: credentials are missing or not valid.
_UNAUTHORISED: Final = frozenset((3000, 4001, 4401))
#: A reason about Host or Origin: "host" alone is also whoever runs a meeting or a game.
_REASON_ORIGIN: Final = re.compile(
    rb"\borigin\b|cross[- ](site|origin)|csrf|\bcors\b|allowed_?hosts"
    rb"|(invalid|unknown|bad|wrong|untrusted) host|host (header|mismatch|not allowed|is not allowed)",
    re.I,
)


def closing_suspects(edge: ConnectionFacts, origin: ConnectionFacts) -> list[Suspect]:
    """The hop's changes that could explain why the server closed after its 101, the surest first.

    Less is known than of a status, so the reason has to name what was changed, or the code.
    """
    sent, came, code = edge.request_out, origin.request_in, origin.server_close_code
    if sent is None or came is None or not is_refusal(code, origin.age_ns or 0):
        return []
    sent, came = comparable_requests(sent, came)
    said = (origin.server_close_reason or "").encode()
    says_origin = _REASON_ORIGIN.search(said) is not None
    says_credentials = _SAYS_CREDENTIALS.search(said) is not None or code in _UNAUTHORISED
    unknown = unknown_fields(edge, origin)
    found: list[Suspect] = []
    stayed = [accepted_of(RawHead.parse(one.request)) for one in stayed_open(origin) if one.request]
    here = {(one.host, one.origin) for one in stayed if one.path == accepted_of(came).path}
    weight = LIKELY if says_credentials else 0 if said else POSSIBLE
    for one in field_changes(sent, came):
        if one.name in unknown:
            continue
        if one.name in _CREDENTIALS and one.before and weight and not says_origin:
            found.append(Suspect("identity", weight, one.lines))
        elif one.name in ("host", "origin") and is_same_origin(sent) and not is_same_origin(came):
            if (_host(came), came.get("origin")) in here:
                continue  # exactly that stayed open another time
            why = "Origin is the Host that the client used, and no longer what arrived"
            if says_origin:
                found.append(Suspect("identity", PROVEN, one.lines, f"{why}; the server's reason says so"))
            elif not said and (_host(sent), sent.get("origin")) in here:
                proof = "another attempt, where this had not been changed, stayed open"
                found.append(Suspect("identity", PROVEN, one.lines, f"{why}; {proof}"))
            elif not said and code not in _UNAUTHORISED:
                found.append(Suspect("identity", POSSIBLE, one.lines, why))
    (_, _, query), (_, _, new_query) = (head.target.partition(b"?") for head in (sent, came))
    if query and query != new_query and weight and not says_origin:
        line = f"changed  query {_names(query)}  ->  {_names(new_query)}"
        found.append(Suspect("query", weight, (line,)))
    return sorted(found, key=lambda one: -one.weight)


def _upgrade(sent: RawHead, came: RawHead, origin: ConnectionFacts) -> Iterator[Suspect]:
    if lost_upgrade(sent, came):
        changes = [one for one in field_changes(sent, came) if one.name in ("upgrade", "connection")]
        weight = POSSIBLE if origin.status in _OTHER_REASONS else PROVEN
        yield Suspect("upgrade", weight, tuple(line for one in changes for line in one.lines))


def _method(sent: RawHead, came: RawHead, origin: ConnectionFacts) -> Iterator[Suspect]:
    """An opening handshake is a GET (RFC 6455, 4.1); another method is an ordinary request."""
    if sent.method == b"GET" != came.method and origin.status not in _OTHER_REASONS:
        line = f"changed  GET  ->  {came.method.decode('latin-1')[:40]}"
        yield Suspect("method", PROVEN if origin.status == 405 else LIKELY, (line,))


def _named(changes: Sequence[FieldChange], origin: ConnectionFacts) -> Iterator[Suspect]:
    """A field that the answer names: `Received X-Forwarded-For header from an untrusted proxy`."""
    said = origin.content[:4096].lower()
    for one in changes:
        if "-" in one.name and not one.name.startswith("sec-") and one.name.encode() in said:
            yield Suspect("named", LIKELY, one.lines)


def _version(
    sent: RawHead, came: RawHead, origin: ConnectionFacts, accepted: Sequence[Accepted]
) -> Iterator[Suspect]:
    if came.http_version != b"HTTP/1.0" or sent.http_version == b"HTTP/1.0":
        return
    if origin.status not in _OLD_VERSION or any(one.http_version == b"HTTP/1.0" for one in accepted):
        return
    line = f"changed  {sent.http_version.decode('latin-1')}  ->  HTTP/1.0"
    yield Suspect("http10", PROVEN if origin.status in (426, 505) else LIKELY, (line,))


def _sec_fields(changes: Sequence[FieldChange], came: RawHead, origin: ConnectionFacts) -> Iterator[Suspect]:
    for one in changes:
        weight = 0
        if one.name == "sec-websocket-key":
            is_broken = [is_valid_key(key) for key in one.after] != [True]
            weight = PROVEN if is_broken and origin.status in _BAD_REQUEST else 0
        elif one.name == "sec-websocket-version":
            weight = PROVEN if one.after != (b"13",) and origin.status in _BAD_REQUEST else 0
        elif one.name == "sec-websocket-protocol":
            weight = _protocol_weight(one, origin)
        elif one.name == "sec-websocket-extensions" and one.after:
            weight = POSSIBLE if origin.status == 400 else 0
        if weight:
            yield Suspect("sec", weight, one.lines)


def _protocol_weight(one: FieldChange, origin: ConnectionFacts) -> int:
    """Of a subprotocol, or a token in its place."""
    if origin.status not in (None, 400, 401, 403, 426):
        return 0
    if _SAYS_PROTOCOL.search(origin.content[:4096]):
        return PROVEN
    is_broken = any(not value for value in one.after)
    if is_broken and origin.status in (None, 400):
        return PROVEN
    return LIKELY if one.before and origin.status in (400, 401) else POSSIBLE


def _target(
    sent: RawHead, came: RawHead, origin: ConnectionFacts, accepted: Sequence[Accepted]
) -> Iterator[Suspect]:
    (path, _, query), (new_path, _, new_query) = (head.target.partition(b"?") for head in (sent, came))
    said = origin.content[:4096]
    says_other = bool(
        _SAYS_ORIGIN.search(said) or _SAYS_CREDENTIALS.search(said) or _SAYS_PROTOCOL.search(said)
    )
    if path != new_path and not any(one.path == new_path for one in accepted):
        weight = LIKELY if origin.status in _NO_ROUTE else 0
        if origin.status in (400, 403):  # Node ws and uvicorn say so where they have no such route
            weight = POSSIBLE if says_other else LIKELY
        if origin.status is None and b"//" in new_path and b"//" not in path:
            weight = LIKELY  # a slipped slash; Node servers hang up where nothing takes the path
        if weight:
            lines = tuple(
                f"{way}: {text.decode('latin-1')[:160]}"
                for way, text in (("into the hop", path), ("out of it", new_path))
            )
            yield Suspect("path", weight, lines)
    if query != new_query:
        weight = {401: PROVEN, 400: LIKELY, 403: LIKELY}.get(origin.status or 0, 0)
        if origin.status == 403 and _SAYS_ORIGIN.search(said):
            weight = POSSIBLE
        if weight:
            yield Suspect("query", weight, (f"changed  query {_names(query)}  ->  {_names(new_query)}",))


def _names(query: bytes) -> str:
    """The names in a query; values may be secrets."""
    names = [part.partition(b"=")[0].decode("latin-1")[:40] for part in query.split(b"&") if part]
    return ", ".join(f"{name}=(not shown)" for name in names[:8]) or "(none)"


def _identity(
    sent: RawHead,
    came: RawHead,
    changes: Sequence[FieldChange],
    origin: ConnectionFacts,
    accepted: Sequence[Accepted],
) -> Iterator[Suspect]:
    by_name = {one.name: one for one in changes}
    for name in _CREDENTIALS:
        one = by_name.get(name)
        if one is not None and (one.before or name == "authorization"):
            weight = _credential_weight(origin)
            if weight:
                yield Suspect("identity", weight, one.lines)
    for name in ("host", "origin"):
        one = by_name.get(name)
        if one is not None:
            yield from _claimed(one, sent, came, origin, accepted)
    forwarded = by_name.get("x-forwarded-proto")
    location = origin.response_in.get("location") if origin.response_in else None
    if forwarded is not None and forwarded.before and location and origin.status in (301, 302, 307, 308):
        is_to_tls = location.lower().startswith((b"https://", b"wss://")) and b"https" in forwarded.before
        if is_to_tls:
            yield Suspect("identity", LIKELY, forwarded.lines)
    doubled = by_name.get("x-forwarded-for")
    if doubled is not None and len(doubled.after) > 1 and origin.status in (400, 403):
        yield Suspect("identity", POSSIBLE, doubled.lines)
    elif is_mute(origin) and origin.status == 403:
        yield from _addresses(by_name, came, accepted)
    elif is_mute_400(origin):
        yield from _addresses(by_name, came, accepted, UNTRUSTED)


def _addresses(
    by_name: Mapping[str, FieldChange],
    came: RawHead,
    accepted: Sequence[Accepted],
    why: str = "a server that lets only some addresses in may take this one for the client's",
) -> Iterator[Suspect]:
    """What a server may take for the client's address, where it refuses without a word.

    uvicorn believes a proxy on its own machine (`proxy_headers`); many applications have lists of their own.
    """
    if any(one.path == accepted_of(came).path for one in accepted):
        return  # what is at this path takes the hop's addresses
    for name in ("x-forwarded-for", "x-real-ip", "forwarded"):
        one = by_name.get(name)
        if one is not None and one.after:
            yield Suspect("identity", POSSIBLE, one.lines, why)


def _credential_weight(origin: ConnectionFacts) -> int:
    if origin.status in (401, 407):
        return PROVEN
    location = origin.response_in.get("location") if origin.response_in else None
    if location and re.search(rb"log-?in|sign-?in|auth|sso", location, re.I):
        return LIKELY
    if origin.status == 403 and not _SAYS_ORIGIN.search(origin.content[:4096]):
        return LIKELY if _SAYS_CREDENTIALS.search(origin.content[:4096]) else POSSIBLE
    return 0


def _claimed(
    one: FieldChange, sent: RawHead, came: RawHead, origin: ConnectionFacts, accepted: Sequence[Accepted]
) -> Iterator[Suspect]:
    status = origin.status
    says = bool(_SAYS_ORIGIN.search(origin.content[:4096]))
    is_of_no_site = one.name == "host" and has_no_site(origin)
    if status not in (403, 404, 421) and not (status == 400 and says) and not is_of_no_site:
        return
    arrived = accepted_of(came)
    here = [other for other in accepted if other.path == arrived.path]
    if any(other.host == arrived.host and other.origin == arrived.origin for other in here):
        return  # exactly that was accepted another time
    if is_of_no_site:
        if not any(other.host == arrived.host for other in accepted):
            yield Suspect("identity", LIKELY, one.lines, NO_SITE)
        return
    was_same, is_same = is_same_origin(sent), is_same_origin(came)
    if sent.get("origin") is not None and not was_same and one.name == "host" and status != 421:
        return  # a same-origin check would have failed without the hop, too
    before = _host(sent), sent.get("origin")
    if any((other.host, other.origin) == before for other in here):
        weight, why = PROVEN, "the server accepted another attempt, where this had not been changed"
    elif status == 421 and one.name == "host":
        weight, why = LIKELY, "421 is about the host of a request"
    elif says:
        weight, why = PROVEN if was_same and not is_same else LIKELY, "the server's answer says so"
    else:
        weight, why = POSSIBLE, ""
        is_taken = any((other.host, other.origin) == (arrived.host, arrived.origin) for other in accepted)
        if was_same and not is_same and is_mute(origin) and not is_taken:
            weight = LIKELY
    if was_same and not is_same:
        why = "; ".join(
            filter(None, ("Origin is the Host that the client used, and no longer what arrived", why))
        )
    yield Suspect("identity", weight, one.lines, why)


def _case(sent: RawHead, came: RawHead, origin: ConnectionFacts) -> Iterator[Suspect]:
    """A server that does not find a field which is there, under a name in other letters (RFC 9110, 5.1)."""
    if origin.status not in (400, 426):
        return
    said = _SAYS_MISSING.search(origin.content[:4096])
    if said is None:
        return
    name = said[1].lower()
    old, new = ([field.name for field in head.fields if field.key == name] for head in (sent, came))
    if old and new and old != new and _is_right(name, came):
        before, after = (b", ".join(names).decode("latin-1")[:80] for names in (old, new))
        line = f"the field that it misses is there: {before}  ->  {after}"
        yield Suspect("case", LIKELY, (line,))


def _is_right(name: bytes, head: RawHead) -> bool:
    """Whether a field of the handshake arrived as it has to be, but for its name's letter case."""
    if name in (b"upgrade", b"connection"):
        return _asks_upgrade(head)
    values = head.get_all(name)
    if name == b"sec-websocket-key":
        return [is_valid_key(key) for key in values] == [True]
    return all(values) and (name != b"sec-websocket-version" or values == [b"13"])


def _values(head: RawHead) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, tuple[bytes, ...]] = {}
    for field in head.fields:
        name = field.key.decode("latin-1")
        found[name] = (*found.get(name, ()), field.value.strip())
    found.pop("", None)
    return found


def _meant(name: str, values: tuple[bytes, ...]) -> object:
    """What values mean, however they are written; an empty field is not none."""
    if name in ("connection", "upgrade"):
        return frozenset(part.strip().lower() for value in values for part in value.split(b","))
    if name == "host":
        return tuple(value.lower() for value in values)
    if name in _LISTS and name not in ("x-forwarded-for", "sec-websocket-protocol"):
        return tuple(part.strip() for value in values for part in value.split(b","))
    if name == "sec-websocket-protocol" and all(values):
        return tuple(part.strip() for value in values for part in value.split(b","))
    return values


def _asks_upgrade(head: RawHead) -> bool:
    return "websocket" in head.tokens("upgrade") and "upgrade" in head.tokens("connection")


def _host(head: RawHead) -> bytes:
    return (head.get("host") or b"").strip().lower()


def is_mute(refused: ConnectionFacts) -> bool:
    """Whether an answer is that of a server which refuses a foreign Origin without saying so.

    Phoenix and others send an empty 403, gorilla/websocket one that says "Forbidden" (`returnError` in its
    server.go), Rails' Action Cable a 404 that is empty or says "Page not found" (`respond_to_invalid_request`
    in its connection/base.rb).
    """
    if Lack.BODY in refused.unrecorded:
        return False  # nobody knows what it said
    said = refused.content[:64].strip()
    return (refused.status == 403 and _ONLY_FORBIDDEN.fullmatch(said) is not None) or (
        refused.status == 404 and said in (b"", b"Page not found")
    )


UNTRUSTED: Final = (
    "a server that does not trust this hop answers so: Home Assistant does, where X-Forwarded-For comes from"
    " outside its trusted_proxies"
)


def is_mute_400(refused: ConnectionFacts) -> bool:
    """Whether a 400 says no more than that: Home Assistant's to a proxy that it does not trust does."""
    if refused.status != 400 or Lack.BODY in refused.unrecorded:
        return False
    return _ONLY_BAD.fullmatch(refused.content[:64].strip()) is not None


#: Their own words, whole: applications with a list of allowed origins, and pages, say "cross-origin" as well.
_SAYS_CROSS: Final = re.compile(
    rb"cross origin websockets not allowed|request origin .{0,300}? is not authorized for host"
)


def takes_own_for_foreign(facts: ConnectionFacts) -> bool:
    """Whether a server calls an Origin foreign that names the very Host which was sent to it.

    Tornado ("Cross origin websockets not allowed") and coder/websocket for Go ("request Origin ... is not
    authorized for Host ...") compare Origin with the Host that arrives, so another one arrived.
    """
    asked = facts.request_out or facts.request_in
    if asked is None or facts.status != 403 or not is_same_origin(asked):
        return False
    return _SAYS_CROSS.search(facts.wording) is not None


def is_unparsed(facts: ConnectionFacts) -> bool:
    """Whether a 400 is the one that Node or Go writes for bytes that its HTTP parser does not take.

    Node (no listener of `clientError`): `Connection: close` and nothing else. Go (net/http): the status line
    again as text. Neither has a Date, which each answer of a handler has.
    """
    head = facts.response_in
    if facts.status != 400 or head is None or Lack.BODY in facts.unrecorded:
        return False
    names = {one.key for one in head.fields}
    if names == {b"connection"}:
        return not facts.content and (head.get("connection") or b"").lower() == b"close"
    is_gos = names == {b"connection", b"content-type"} and facts.content[:64].strip() == b"400 Bad Request"
    return is_gos and (head.get("content-type") or b"").lower() == b"text/plain; charset=utf-8"


_WS_ABORT_FIELDS: Final = {b"connection", b"content-type", b"content-length"}


def is_refused_by_ws(facts: ConnectionFacts) -> bool:
    """Whether a 400 is the one that `ws` for Node writes to the socket for a path that it was not given.

    It has neither Date nor Server (`abortHandshake` in lib/websocket-server.js), and Node hands `ws` only
    requests with an upgrade: what Node's own HTTP server answers has a Date.
    """
    head = facts.response_in
    if facts.status != 400 or head is None or facts.content[:64] != b"Bad Request":
        return False
    names = {one.key for one in head.fields}
    return names == _WS_ABORT_FIELDS and (head.get("content-type") or b"").lower() == b"text/html"


NO_SITE: Final = "an empty 200 is what Caddy answers to a Host that none of its sites has"


def has_no_site(facts: ConnectionFacts) -> bool:
    """Whether an answer is that of a Caddy without a site for the request's Host.

    No handler matches, so it sends its default: 200, no body, and no type of one (caddyhttp/server.go).
    """
    head = facts.response_in
    if facts.status != 200 or head is None or facts.body or Lack.BODY in facts.unrecorded:
        return False
    names = {one.key for one in head.fields}
    own = {b"server", b"date", b"content-length", b"alt-svc", b"connection"}
    return (head.get("server") or b"").lower() == b"caddy" and names <= own


def is_same_origin(head: RawHead) -> bool:
    """Whether Origin names the very Host of the request, as a browser sends it to its page's own server."""
    origin = head.get("origin")
    if origin is None:
        return False
    try:
        url = urlsplit(origin.decode("latin-1"))
        place = (url.hostname, url.port)
        host = urlsplit(f"//{_host(head).decode('latin-1')}")
        other = (host.hostname, host.port)
    except ValueError:
        return False
    usual = {"http": 80, "https": 443, "ws": 80, "wss": 443}.get(url.scheme)
    return place[0] == other[0] and (place[1] or usual) == (other[1] or usual)
