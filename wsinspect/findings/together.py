"""Findings of several taps put together: each failure once, by whoever is nearest to its cause.

A `Link` is one connection at the two taps around a hop; the links of a chain share a connection. What a hop's
finding explains is left out at every tap before it, and no finding that is kept contradicts another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from wsinspect.findings.fixes import fixes_for
from wsinspect.findings.model import Cause, FaultOf, Finding
from wsinspect.findings.registry import ids_of_families, ids_of_group
from wsinspect.findings.rules.around import BROKEN_BY_EXTENSIONS, hop_of
from wsinspect.findings.rules.drops import LEAST_TOGETHER
from wsinspect.findings.rules.handshake import has_failed, left_before_answer
from wsinspect.findings.rules.kept import UNANSWERED, elsewhere, has_left, kept
from wsinspect.findings.rules.switching import is_body_of
from wsinspect.findings.sandwich import PairFacts
from wsinspect.findings.software import NAMES

#: Requests that were wrong before they came here: the tap nearest to the client reports them.
_FROM_CLIENT: Final = frozenset(
    ("WS-HS-001", "WS-HS-003", "WS-HS-018", "WS-HS-030", "WS-HS-031", "WS-HS-036", "WS-HS-037")
) | {"WS-HS-038"}
#: A client that left before its answer, for whatever reason.
_LEFT_EARLY: Final = ("WS-HS-036", "WS-HS-038")
#: A 101 that no client may accept: what it causes in front of the hop is its consequence.
_BAD_101: Final = frozenset((*(f"WS-HS-{number:03}" for number in range(24, 29)), "WS-HS-046", "WS-HS-047"))
#: What one tap blames on whatever is behind it; behind the last tap that is the server's side.
_SERVERS_SIDE: Final = frozenset(
    (
        "WS-HS-002",
        "WS-HS-014",
        "WS-HS-016",
        "WS-HS-018",
        "WS-HS-020",
        "WS-HS-044",
        "WS-CL-002",
        "WS-CL-007",
        "WS-DROP-001",
        "WS-DROP-002",
        "WS-DROP-003",
        "WS-DROP-004",
        "WS-DROP-006",
        "WS-DROP-008",
    )
)
#: Of these the server's own failure is the first cause behind the last tap, and a hop there the next.
_SERVER_BEFORE_HOP: Final = ("WS-DROP-001", "WS-CL-002", "WS-CL-007")
#: What one tap blames on a client that chose the wrong place; behind a hop it was the hop that chose it.
_PLACE: Final = frozenset(("WS-HS-041", "WS-TLS-017", "WS-TLS-018"))


#: Why nothing came out of a hop that took a request.
_KEPT: Final = (
    Cause(
        "the hop takes the request and does not forward it: WebSockets are not switched on for this path",
        "an ordinary request to the same path goes through; its configuration for this path says more",
    ),
    Cause(
        "the hop waits for something first: a free connection (a limit), a login, a name that resolves",
        "it goes through later, or when other connections have ended; its log or status page says more",
    ),
)


#: A hop that answers as a server does to an ordinary GET has not lost the upgrade: it asked nobody.
_UNASKED: Final = "The hop answered as to an ordinary GET, and did not ask the server"
_OWN_GET: Final = (
    Cause(
        "a rule of the hop answers so by itself",
        "its configuration for this path: a status that it returns, or a check of Upgrade",
    ),
    Cause(
        "it asked another server, without the upgrade",
        "its log or status page says where it sent the request",
    ),
)


#: A hop that hung up and had asked nobody.
_OWN_END: Final = (
    Cause(
        "a rule of the hop ends it without an answer: ModSecurity's drop, nginx's return 444, HAProxy's"
        " reject",
        "its configuration for this path, address or User-Agent, and its log for this moment",
    ),
    Cause("the hop crashed or was restarted", "its log; other connections ended at this moment, too"),
)


#: How titles begin that name the server as who did it; the hop did where nothing arrived behind it.
_SERVER_DID: Final = ("The server answered", "The server failed", "The server closed")
#: Statuses that a proxy gives, and an application as well.
_GATEWAYS: Final = ("WS-HS-020", "WS-HS-014")
#: An answer that looks like an application's, and came from a hop that asked nobody.
_MEANS_GATEWAY: Final = (
    "The hop wrote this answer, and the request did not reach the application. The hop's own way failed, or"
    " an answer is configured for the path; its log for this moment says which."
)
_OWN_GATEWAY: Final = (
    Cause(
        "its way to the application failed, and its configuration has another page for that",
        "its error log for this moment names the address and the failure",
    ),
    Cause("an answer is configured for the path", "its configuration for this path"),
)
#: A 403 that looks like a server's, and came from a hop that asked nobody.
_OWN_403: Final = "403: the hop itself refuses this request"
_MEANS_403: Final = (
    "The hop wrote this answer, so the application never saw the request. An access list, a firewall rule or"
    " an answer that is configured for the path does this."
)
_CAUSES_403: Final = (
    Cause(
        "an access list or rule of the hop refuses this address, host, Origin or path",
        "its configuration for this path, and its log for this moment",
    ),
    Cause(
        "a login, firewall or bot protection in the hop refuses it",
        "its log names the rule; another client or cookie gets another answer",
    ),
)
#: What a server sent is not an HTTP response, or never became a whole one: why nobody got an answer.
_NO_RESPONSE: Final = ("WS-HS-041", "WS-HS-042", "WS-TLS-018")


#: What is said of an end of which nothing more is known.
_BARE_ENDS: Final = frozenset(("WS-DROP-001", "WS-DROP-002", "WS-DROP-003", "WS-DROP-005", "WS-DROP-006"))
#: Findings about several connections of one tap.
_OF_MANY: Final = frozenset(("WS-DROP-004", "WS-DROP-008"))


class Link(NamedTuple):
    """One connection at both taps around a hop.

    Attributes:
        hop: as findings name it.
        has_failed_behind: the attempt failed at both taps, so what happened behind is the cause.
        is_101_passed_on: both taps saw a 101, so what is wrong with it behind is wrong before, too.
        is_answered_here: nothing arrived behind the hop, which could be reached: it answered, or hung up.
        is_elsewhere: nothing arrived there, and another server behind the hop answered.
        closed_by: client, hop or server, as both taps show; None where it is open.
        has_left: the hop left before the server had answered.
        is_ended_behind: what ended the connection came from the server's side of the tap behind the hop.
        is_abandoned: a refusal came when the client had ended its side.
        kept: what the hop had and did not pass on when the client left without an answer.
        is_refused_behind: the hop accepted its client before it asked, and its own attempt failed.
        is_body_behind: the text in the open tunnel is the body that the 101 behind the hop announced.
    """

    edge: int
    origin: int | None
    hop: str
    has_failed_behind: bool = False
    is_101_passed_on: bool = False
    is_answered_here: bool = False
    is_elsewhere: bool = False
    closed_by: str | None = None
    has_left: bool = False
    is_ended_behind: bool = False
    is_abandoned: bool = False
    kept: Literal["request", "answer"] | None = None
    is_refused_behind: bool = False
    is_body_behind: bool = False


def link_of(pair: PairFacts) -> Link:
    """What `together` has to know of a connection at both taps."""
    edge, origin = pair.edge, pair.origin
    is_failing = has_failed(edge)
    is_alone = is_failing and origin is None and edge.failed_where not in UNANSWERED
    is_elsewhere = is_alone and elsewhere(edge) is not None
    return Link(
        edge=edge.id,
        origin=origin.id if origin else None,
        hop=hop_of(pair),
        has_failed_behind=is_failing and origin is not None and (has_failed(origin) or origin.is_accepted),
        is_101_passed_on=origin is not None and edge.is_accepted and origin.is_accepted,
        is_answered_here=is_alone and not is_elsewhere,
        is_elsewhere=is_elsewhere,
        closed_by=pair.closed_by,
        has_left=origin is not None and has_failed(origin) and has_left(origin) and not has_left(edge),
        is_ended_behind=origin is not None and origin.ended_by == "server" and pair.closed_by != "hop",
        is_abandoned=left_before_answer(edge),
        kept=kept(pair),
        is_refused_behind=edge.is_accepted
        and edge.ended_by == "server"
        and origin is not None
        and has_failed(origin),
        is_body_behind=origin is not None and is_body_of(edge, origin),
    )


def together(
    ours: Sequence[Finding],
    own: Sequence[Finding],
    links: Iterable[Link],
) -> list[Finding]:
    """Each failure once.

    Args:
        ours: findings about hops.
        own: findings of single taps, of all of them; no two connections have the same number.
        links: what became of each connection behind its hop.
    """
    return _Sorting(ours, own, list(links)).kept()


class _Sorting:
    def __init__(
        self,
        ours: Sequence[Finding],
        own: Sequence[Finding],
        links: Sequence[Link],
    ) -> None:
        self._links = {link.edge: link for link in links}
        self._ours = list(ours)
        covered = {key for one in ours for key in one.covers}
        self._own = [one for one in own if _key(one) not in covered]
        self._at: dict[int, list[Finding]] = {}
        for one in self._own:
            if one.connection is not None:
                self._at.setdefault(one.connection, []).append(one)
        self._gone: set[int] = set()
        #: Of failures, by connection and group: whether a hop's finding or a tap's own, further back,
        #: says why.
        self._causes: dict[tuple[int | None, str], Literal["hop", "tap"]] = {}
        #: Findings with another party or more evidence than the tap alone had.
        self._changed: dict[int, Finding] = {}

    def kept(self) -> list[Finding]:
        for one in self._ours:
            if one.id == "WS-HS-104":
                for number in self._in_front_of(one.connection):
                    self._drop(self._mine(number, (*BROKEN_BY_EXTENSIONS, "WS-CL-034")))
                self._complaints_behind(one)
        self._abandoned()
        for link in self._links.values():
            if link.is_body_behind and (causes := self._mine(link.origin or 0, ("WS-HS-047",))):
                for number in (link.edge, *self._in_front_of(link.edge)):
                    said = self._mine(
                        number, ("WS-HS-029", *ids_of_families("FR", "MS", "DROP"), "WS-CL-002")
                    )
                    is_of_body = [one for one in said if one.fault_of != "client"]
                    self._drop(is_of_body, for_=causes[:1])
        for link in sorted(self._links.values(), key=self._depth):
            self._attempt(link)
            self._end(link)
        # Whose finding is kept is the tap at the end of the chain, so what is kept there is looked at last.
        for link in sorted(self._links.values(), key=self._depth):
            self._same(link, is_clients=True)
        for link in sorted(self._links.values(), key=self._depth, reverse=True):
            self._same(link, is_clients=False)
        for link in sorted(self._links.values(), key=self._depth):
            self._place(link)
        self._groups()
        both = [one for one in (*self._ours, *self._own) if id(one) not in self._gone]
        return [self._changed.get(id(one), one) for one in both]

    def _complaints_behind(self, one: Finding) -> None:
        """A CLOSE about what a hop changed in the handshake says the same at the taps behind that hop."""
        link = self._links.get(one.connection or 0)
        is_about_frames = (one.connection, "WS-CL-002") in one.covers
        for number in self._chain_from(link.origin if link else None):
            self._drop(self._mine(number, ("WS-CL-034",)))
            said = self._mine(number, ("WS-CL-002", "WS-CL-007")) if is_about_frames else []
            self._drop([each for each in said if each.title.startswith("The client closed")])

    def _abandoned(self) -> None:
        """What hops and servers did with an attempt after its client had left is no failure of theirs."""
        behind = {link.origin for link in self._links.values()}
        for link in self._links.values():
            gave_up = self._mine(link.edge, _LEFT_EARLY)
            if link.edge in behind or not link.is_abandoned or not gave_up:
                continue
            chain = list(self._chain_from(link.origin))
            causes = [one for number in chain for one in self._mine(number, _NO_RESPONSE)]
            if causes:
                self._drop(gave_up, for_=causes[-1:])
                continue
            for number in (link.edge, *chain):
                if number in self._links:
                    self._drop(self._of_hop(self._links[number], "attempt"))
                if number != link.edge:
                    self._drop(self._mine(number, (*ids_of_group("attempt"), *ids_of_group("end"))))

    def _depth(self, link: Link) -> int:
        """How many hops are behind this one: the last is looked at first."""
        seen: set[int] = set()
        while link.origin is not None and link.origin in self._links:
            if link.edge in seen:
                break
            seen.add(link.edge)
            link = self._links[link.origin]
        return len(seen)

    def _mine(self, number: int, ids: Iterable[str]) -> list[Finding]:
        wanted = set(ids)
        return [
            one
            for one in self._own
            if one.connection == number and one.id in wanted and id(one) not in self._gone
        ]

    def _of_hop(self, link: Link, group: str) -> list[Finding]:
        ids = set(ids_of_group(group, "pair"))
        return [
            one
            for one in self._ours
            if one.connection == link.edge and one.id in ids and id(one) not in self._gone
        ]

    def _attempt(self, link: Link) -> None:
        early = () if link.is_101_passed_on else _LEFT_EARLY
        ids = (*ids_of_group("attempt"), *_BAD_101, *early)
        if self._pass_on(link, "attempt", ids, link.has_failed_behind or link.is_101_passed_on):
            return
        if link.origin is not None and link.is_101_passed_on and self._mine(link.origin, _BAD_101):
            # The hop passed on a 101 that no client may accept: what a hop before it makes of that, too.
            self._is_behind(link, "attempt", True)
        if link.origin is None or not link.has_failed_behind:
            return
        before = self._mine(link.edge, ids)
        after = self._mine(link.origin, ids)
        if link.has_left:
            self._drop(after)
        elif after:
            # A tap may have nothing to say of an answer to somebody who had left: the one behind it has.
            is_same = bool(before) and after[0].id == before[0].id and after[0].id not in _PLACE
            is_clients = after[0].id in _FROM_CLIENT or (is_same and after[0].fault_of == "client")
            if link.kept == "answer":
                is_clients = False
                line = "the hop did not pass this answer on: its client left without one"
                self._change(after[0], after[0].fault_of, after[0].hop, line)
            if before:
                dropped, kept = (after, before) if is_clients else (before, after)
                self._drop(dropped, for_=kept)
            self._is_behind(link, "attempt", not is_clients)

    def _end(self, link: Link) -> None:
        ids = ids_of_group("end")
        if link.is_refused_behind and link.origin is not None:
            causes = self._mine(link.origin, (*ids_of_group("attempt"), *_BAD_101))
            ends = self._mine(link.edge, ids)
            if causes and ends:
                line = "the hop had accepted its client before, and ended that connection then"
                self._change(causes[0], causes[0].fault_of, causes[0].hop, line)
                self._drop(ends, for_=causes[:1])
        if link.closed_by == "hop" and self._of_hop(link, "end"):
            # The end that the hop made came through the hops behind it, too.
            for number in self._ended_from(link.origin):
                self._drop(self._mine(number, ids))
        if self._pass_on(link, "end", ids, link.closed_by == "server"):
            return
        if link.origin is not None and link.closed_by in ("client", "server"):
            before, after = self._mine(link.edge, ids), self._mine(link.origin, ids)
            if before and after:
                # A hop may pass an end on later: only before it the wait for a pong is long enough to be one.
                has_reason = any(one.id == "WS-KA-001" for one in before)
                is_bare = has_reason and all(one.id in _BARE_ENDS for one in after)
                dropped, kept = (after, before) if link.closed_by == "client" or is_bare else (before, after)
                self._drop(dropped, for_=kept)
                self._is_behind(link, "end", link.closed_by == "server" and not is_bare)

    def _pass_on(self, link: Link, group: str, ids: Sequence[str], is_passed_on: bool) -> bool:
        """Whether a hop is known to have done it: one behind this hop, or this one."""
        hops = self._of_hop(link, group)
        cause = self._causes.get((link.origin, group)) if is_passed_on else None
        if cause == "hop":
            self._drop(hops)
            self._drop(self._mine(link.edge, ids))
            self._causes[link.edge, group] = "hop"
            return True
        # An end that the hop made is no error where its order is in doubt; a tap's own is no surer then.
        if any(one.severity == "error" or one.id == "WS-DROP-101" for one in hops):
            # What the taps behind it reported is the consequence.
            for number in self._chain_from(link.origin) if is_passed_on else ():
                self._drop(self._mine(number, ids))
            self._causes[link.edge, group] = "hop"
            return True
        if cause == "tap":
            self._drop(self._mine(link.edge, ids))
            self._causes[link.edge, group] = "tap"
            return True
        return False

    def _is_behind(self, link: Link, group: str, is_behind: bool) -> None:
        """Note that a tap behind this hop says why."""
        if is_behind:
            self._causes[link.edge, group] = "tap"

    def _chain_from(self, number: int | None) -> Iterator[int]:
        """The connection and what it became behind the hops after it."""
        seen: set[int] = set()
        while number is not None and number not in seen:
            seen.add(number)
            yield number
            number = self._links[number].origin if number in self._links else None

    def _in_front_of(self, number: int | None) -> Iterator[int]:
        """What a connection was before the hops in front of it."""
        edges = {link.origin: link.edge for link in self._links.values() if link.origin is not None}
        seen: set[int] = set()
        while number in edges and edges[number] not in seen:
            number = edges[number]
            seen.add(number)
            yield number

    def _ended_from(self, number: int | None) -> Iterator[int]:
        """What a connection became behind further hops, as far as they passed on that its client ended it."""
        seen: set[int] = set()
        while number in self._links and number not in seen:
            seen.add(number)
            link = self._links[number]
            if link.closed_by != "client" or link.origin is None:
                return
            yield link.origin
            number = link.origin

    def _same(self, link: Link, *, is_clients: bool) -> None:
        """What both taps say alike: the client's doing at the first one, else the one nearer the server."""
        if link.origin is None:
            return
        before = {
            one.id: one
            for one in self._own
            if one.connection == link.edge and id(one) not in self._gone and one.id not in _OF_MANY
        }
        # Also where a hop in between ended it otherwise, so that its own tap says nothing of it.
        for one in [one for number in self._chain_from(link.origin) for one in self._at.get(number, ())]:
            if one.id in before and id(one) not in self._gone:
                twin = before[one.id]
                if is_clients == (one.fault_of == "client"):
                    self._drop([one if is_clients else twin], for_=[twin if is_clients else one])

    def _groups(self) -> None:
        """What is said of many connections at once, and of the same ones behind a hop: there alone."""
        said = [one for one in self._own if one.id in _OF_MANY and id(one) not in self._gone]
        for one in said:
            links = [link for number in _members(one) if (link := self._links.get(number)) is not None]
            behind = {link.edge: link.origin for link in links if link.is_ended_behind and link.origin}
            here = {link.edge for link in links if link.closed_by == "hop"}
            numbers = set(behind.values())
            twins = [
                other
                for other in said
                if other is not one
                and other.id == one.id
                and id(other) not in self._gone
                and len(numbers & _members(other)) * 2 > len(numbers)
            ]
            if behind and here:
                self._split(one, here, behind)
            elif here and len(here) * 2 > len(_members(one)):
                self._settle(one, "hop", self._hop_of(here), f"the hop itself ended {len(here)} of them")
                self._mended_alike(one, here)
            elif twins and len(behind) * 2 > len(_members(one)):
                self._drop([one], for_=twins[:1])
            elif len(behind) * 2 > len(_members(one)) and one.fault_of == "hop":
                line = "the hop only passed on these ends: they came from behind it"
                self._settle(one, "server", None, line)

    def _hop_of(self, edges: Iterable[int]) -> str | None:
        return self._links[min(edges)].hop or None

    def _settle(self, one: Finding, fault_of: FaultOf, hop: str | None, line: str) -> None:
        """Two taps show which of the causes it was."""
        self._change(one, fault_of, hop, line)
        self._changed[id(one)] = replace(self._changed[id(one)], causes=(), confidence="high")

    def _mended_alike(self, one: Finding, here: Collection[int]) -> None:
        """A hop that ended many at once, none of them for its silence: what ends them all mends each."""
        for each in self._ours:
            if each.id == "WS-DROP-101" and each.connection in here and id(each) not in self._gone:
                now = self._changed.get(id(each), each)
                if "without data" not in now.title:
                    line = f"the hop ended {len(here)} at this moment ({one.id})"
                    changed = replace(now, fixes=one.fixes, evidence=(*now.evidence, line))
                    self._changed[id(each)] = changed

    def _split(self, one: Finding, here: Collection[int], behind: Collection[int]) -> None:
        """Of ends of which only some came from behind the hop: what it did itself, if that is many, too.

        What ended the others is said at the tap behind it.
        """
        if len(here) < LEAST_TOGETHER:
            self._drop([one])
            return
        line = f"the hop itself ended {len(here)} of them; the ends of {len(behind)} came from behind it"
        self._settle(one, "hop", self._hop_of(here), line)
        kept = tuple(cover for cover in one.covers if cover[0] not in behind)
        self._changed[id(one)] = replace(self._changed[id(one)], covers=kept, connection=min(here))

    def _place(self, link: Link) -> None:
        """Whose side a failure is on, now that it is known where it happened."""
        if link.kept == "request":
            for one in self._mine(link.edge, _LEFT_EARLY):
                late = (
                    "passed the request on when its client had left" if link.origin else "did not pass it on"
                )
                self._change(one, "hop", link.hop, f"the hop {late}")
                self._changed[id(one)] = replace(self._changed[id(one)], severity="error", causes=_KEPT)
        elif link.is_answered_here:
            for one in self._mine(link.edge, ids_of_group("attempt")):
                if one.fault_of in ("server", "network", "hop"):
                    line = "nothing arrived at the tap behind the hop: it is the hop's own doing"
                    self._change(one, "hop", link.hop, line)
                    now = self._changed[id(one)]
                    if one.title.startswith(_SERVER_DID):
                        now = replace(now, title=now.title.replace("The server", "The hop itself", 1))
                        self._changed[id(one)] = now
                    if one.id == "WS-HS-002":
                        self._changed[id(one)] = replace(now, title=_UNASKED, causes=_OWN_GET)
                    elif one.id in _GATEWAYS and one.fault_of == "server":
                        title = f"{one.title[:3]}: the hop itself answers so"
                        self._changed[id(one)] = replace(
                            now,
                            title=title,
                            meaning=_MEANS_GATEWAY,
                            causes=_OWN_GATEWAY,
                            confidence="high",
                            fixes=fixes_for("bad-gateway", _software_of(link.hop)),
                        )
                    elif one.id == "WS-HS-035":
                        self._changed[id(one)] = replace(now, causes=_OWN_END, confidence="high")
                    elif one.id == "WS-HS-010" and one.fault_of == "server":
                        self._changed[id(one)] = replace(
                            now,
                            title=_OWN_403,
                            meaning=_MEANS_403,
                            causes=_CAUSES_403,
                            fixes=fixes_for("access-list", _software_of(link.hop)),
                        )
        if link.is_elsewhere:
            for one in self._mine(link.edge, ids_of_group("attempt")):
                self._change(one, one.fault_of, one.hop, "another server behind the hop answered it")
        if link.origin is not None:
            for one in self._mine(link.origin, _PLACE):
                if one.fault_of == "client":
                    self._change(one, "hop", link.hop, "the client of this attempt is the hop: its target")
        if link.origin is not None and link.origin not in self._links:
            for one in self._mine(link.origin, _SERVERS_SIDE):
                is_behind = link.is_ended_behind or not one.id.startswith("WS-DROP-")
                is_behind &= not one.id.startswith("WS-CL-") or one.title.startswith("The server closed")
                if one.fault_of == "hop" and is_behind and not _is_named(one.hop):
                    self._change(one, "server", None, "it came from behind the last tap")
                    if one.id in _SERVER_BEFORE_HOP:
                        self._server_first(one)
                    if one.id == "WS-HS-020":
                        title = f"{one.title[:3]}: the server's side answers so itself"
                        self._changed[id(one)] = replace(self._changed[id(one)], title=title)

    def _server_first(self, one: Finding) -> None:
        """Between the last tap and its server there is seldom a hop."""
        now = self._changed[id(one)]
        causes = sorted(now.causes, key=lambda cause: not cause.cause.startswith("the server"))
        fixes = fixes_for("abrupt", ()) if one.id == "WS-DROP-001" else now.fixes
        self._changed[id(one)] = replace(now, causes=tuple(causes), fixes=fixes)

    def _change(self, one: Finding, fault_of: FaultOf, hop: str | None, line: str) -> None:
        now = self._changed.get(id(one), one)
        self._changed[id(one)] = replace(now, fault_of=fault_of, hop=hop, evidence=(*now.evidence, line))

    def _drop(self, findings: Sequence[Finding], *, for_: Sequence[Finding] = ()) -> None:
        """Leave these out; the first of `for_` says instead of them what they say."""
        self._gone.update(id(one) for one in findings)
        if for_:
            kept = self._changed.get(id(for_[0]), for_[0])
            covers = (
                *kept.covers,
                *((one.connection, one.id) for one in findings if one.connection is not None),
            )
            self._changed[id(for_[0])] = replace(kept, covers=covers)


def _members(one: Finding) -> set[int]:
    """The connections that a finding about several is about."""
    return {number for number, _ in one.covers}


def _key(one: Finding) -> tuple[int | None, str]:
    return one.connection, one.id


def _software_of(hop: str) -> tuple[str, ...]:
    """The software that a hop was recognised as, from how findings name it (`Caddy, the hop between ...`)."""
    return tuple(key for key, name in NAMES.items() if hop.startswith(f"{name}, "))


def _is_named(hop: str | None) -> bool:
    """Whether a hop was recognised by marks of its own."""
    return hop is not None and hop in NAMES.values()


def once(
    findings: Sequence[Finding],
    partner: Mapping[int, int],
    ended: Collection[int] = (),
    by_hop: Collection[int] = (),
) -> list[Finding]:
    """Findings about many connections, those that both taps have said once.

    Args:
        partner: the connection behind the hop by the one before it.
        ended: connections that the server's side of their tap ended.
        by_hop: connections before a hop that ended them itself.
    """
    links = [
        Link(
            edge,
            origin,
            "",
            closed_by="hop" if edge in by_hop else None,
            is_ended_behind=origin in ended and edge not in by_hop,
        )
        for edge, origin in partner.items()
    ]
    return together((), findings, links)
