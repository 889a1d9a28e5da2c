"""What `diagnose` looks at: reading the file by its kind, and running the rules."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from wsinspect.capture.missing import Missing, missing
from wsinspect.capture.queries import count_connections, engine_events
from wsinspect.capture.queries.facts import is_imported
from wsinspect.capture.reader import Capture
from wsinspect.capture.story import Story, story
from wsinspect.clients.grading import Client
from wsinspect.diagnosis.clients import judged_clients
from wsinspect.diagnosis.facts import diagnose
from wsinspect.diagnosis.hops import Hop, Sandwich, diagnose_hop
from wsinspect.doctor.configuration.judging import explain_finding
from wsinspect.doctor.configuration.reading import Configuration
from wsinspect.doctor.recorded import recorded_target
from wsinspect.errors import UsageError
from wsinspect.findings.addresses import FORWARD_MODES
from wsinspect.findings.model import Finding
from wsinspect.findings.sandwich import PairFacts
from wsinspect.formats.importing import PacketOptions, import_file, sniff
from wsinspect.net import Address
from wsinspect.present.clients import client_object
from wsinspect.recorder.opening import open_capture
from wsinspect.text import counted
from wsinspect.vocabulary.rules import rule_words

#: What to do when a file has no connection.
_ADVICE = {
    "capture": "make sure the client uses the proxy: wsinspect browser URL opens a browser that does",
    "har": "open DevTools before the page loads, reproduce the failure, and export the HAR again",
    "jsonl": "export a capture that has connections: wsinspect show lists them",
    "packets": "start tcpdump before the client connects; of TLS give the secrets with --keylog",
    "flows": "start mitmdump -w before the client connects, and reproduce the failure",
}


@dataclass(frozen=True)
class Nothing:
    """Why there was nothing to look at, and what to do about it."""

    reason: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The findings of a file.

    Attributes:
        connections: how many connections there were to look at.
        pairs: where there are two taps around a hop, each connection at both.
        origin: the capture of the other side.
        origin_findings: what that one alone says, with its own numbers of connections.
        origin_story, origin_missing: `story` and `missing` of that one.
        missing: what the capture had given up before the rules saw it.
        notes: what the file it was imported from does not have, a line each.
        is_live: an engine is still writing the capture.
        is_imported: it was made of a format that does not have everything.
        story: what was done on purpose.
        clients: those that have a grade; of a hop, its clients and not the hop itself.
        nothing: set where there was nothing to look at, so that no findings does not mean that all is well.
    """

    file: str
    connections: int
    findings: list[Finding]
    pairs: list[PairFacts] = field(default_factory=list)
    origin: str | None = None
    origin_findings: list[Finding] = field(default_factory=list)
    origin_story: Story | None = None
    origin_missing: Missing | None = None
    missing: Missing | None = None
    is_live: bool = False
    is_imported: bool = False
    story: Story | None = None
    clients: tuple[Client, ...] = ()
    nothing: Nothing | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_error(self) -> bool:
        """Whether any finding is an error, those of the origin's capture included."""
        return any(one.severity == "error" for one in (*self.findings, *self.origin_findings))

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        content: dict[str, Any] = {
            "file": self.file,
            "connections": self.connections,
            "findings": [one.as_json() for one in self.findings],
            "sandwich": [pair.as_json() for pair in self.pairs],
            "notes": list(self.notes),
            "sessions": [client_object(one) for one in self.clients],
            "live": self.is_live,
            "on_purpose": None if self.story is None else self.story.as_json(),
            "nothing_to_look_at": None if self.nothing is None else asdict(self.nothing),
        }
        content["missing"] = None if self.missing is None else self.missing.as_json()
        if self.missing is not None:
            content["evicted"] = content["missing"]  # its name before there were traces
        if self.origin is not None:
            content["origin"] = self.origin
            content["origin_findings"] = [one.as_json() for one in self.origin_findings]
            done, lacks = self.origin_story, self.origin_missing
            content["origin_on_purpose"] = None if done is None else done.as_json()
            content["origin_missing"] = None if lacks is None else lacks.as_json()
        return content


def diagnose_file(
    path: Path,
    origin: Path | None,
    connection: int | None,
    places: Sequence[Configuration] = (),
    packets: PacketOptions | None = None,
) -> Diagnosis:
    """All findings of a file, errors first; the arguments are those of `diagnosed`."""
    with diagnosed(path, origin, connection, places, packets) as (found, _):
        return found


def findings_of(capture: Capture) -> list[Finding]:
    """All findings of a capture, errors first, without looking at how its clients behave.

    Raises:
        CaptureError: It is damaged.
    """
    return diagnose_hop(Hop(capture.query), diagnose(capture.query)).findings


@contextmanager
def diagnosed(
    path: Path,
    origin: Path | None,
    connection: int | None,
    places: Sequence[Configuration] = (),
    packets: PacketOptions | None = None,
) -> Iterator[tuple[Diagnosis, Path]]:
    """All findings of a file, errors first, and the capture that was read: of another format it is there
    only in the block.

    Args:
        places: configurations of hops, to name the line that a finding comes from.
        packets: how packets are read.

    Raises:
        CaptureError: It cannot be read.
        UsageError: `--origin` was given with a file that has no taps, or there is no such connection.
    """
    kind = sniff(path)
    if origin is not None:
        for one, its in ((path, kind), (origin, sniff(origin))):
            if its not in ("capture", "packets"):
                raise UsageError(
                    "--origin compares captures and packet traces", hint=f"{one} is a {its} file"
                )
    if packets is not None and "packets" not in (kind, None if origin is None else sniff(origin)):
        raise UsageError("--keylog and --tap are about packets", hint=f"{path} is a {kind} file")
    with tempfile.TemporaryDirectory(prefix="wsinspect-") as folder:
        opened, notes = _as_capture(path, kind, Path(folder) / "imported.db", packets)
        behind: Path | None = None
        said: list[str] = []
        if origin is not None:
            behind, said = _as_capture(origin, sniff(origin), Path(folder) / "origin.db", packets)
        found = _diagnose(opened, behind, connection, path, places)
        if kind != "capture":
            nothing = found.nothing and Nothing(f"{path} has no WebSocket connection", _ADVICE[kind])
            found = replace(found, nothing=nothing)
        named = [f"{origin}: {line}" for line in said]
        behind_hop = None if origin is None else str(origin)
        yield replace(found, notes=(*notes, *named), origin=behind_hop), opened


def _as_capture(
    path: Path, kind: str, imported: Path, packets: PacketOptions | None
) -> tuple[Path, list[str]]:
    """The capture to read, which another format is made into, and what there is to say of that."""
    if kind == "capture":
        return path, []
    options = packets if kind == "packets" else None
    return imported, [*import_file(path, imported, file_format=kind, packets=options).lines()]


def _diagnose(
    path: Path, origin: Path | None, connection: int | None, name: Path, places: Sequence[Configuration]
) -> Diagnosis:
    with open_capture(path) as capture:
        own = diagnose(capture.query)
        count = count_connections(capture)
        lacks = missing(capture)
        is_live, is_partial = capture.is_live, is_imported(capture.query)
        done = story(capture)
        clients = judged_clients(capture)
        why = None if count else _why_nothing(capture, lacks, is_live, done)
        if connection is not None:
            if capture.connection(connection) is None:
                raise UsageError(f"{name} has no connection {connection}", hint="wsinspect show lists them")
            count = 1
        origin_done, origin_lacks = None, None
        if origin is None:
            sandwich = diagnose_hop(Hop(capture.query), own)
        else:
            with open_capture(origin) as other:
                sandwich = diagnose_hop(Hop(capture.query, other.query), own, diagnose(other.query))
                origin_done, origin_lacks = story(other), missing(other)
        findings = [_placed(capture, one, places) for one in _only(sandwich.findings, connection)]
    behind_hop = {pair.origin.id for pair in sandwich.pairs if pair.origin is not None and origin is None}
    graded = [
        one
        for one in clients
        if one.grade.letter is not None
        and not behind_hop.intersection(attempt.id for attempt in one.session.attempts)
        and (connection is None or any(attempt.id == connection for attempt in one.session.attempts))
    ]
    # Notes report what could not be seen, such as a tunnel passed on unread: nothing to look at.
    worse = any(one.severity != "note" for one in sandwich.findings)
    return Diagnosis(
        file=str(name),
        connections=count,
        findings=findings,
        pairs=_pairs(sandwich, connection),
        origin=None if origin is None else str(origin),
        origin_findings=sandwich.behind,
        origin_story=origin_done,
        origin_missing=origin_lacks,
        missing=lacks,
        is_live=is_live,
        is_imported=is_partial,
        story=done,
        clients=tuple(graded),
        nothing=None if count or worse or sandwich.behind else why,
    )


def _placed(capture: Capture, finding: Finding, places: Sequence[Configuration]) -> Finding:
    """The finding with its line in a configuration, where one explains it."""
    if not places or finding.severity == "note" or finding.connection is None:
        return finding
    target = recorded_target(capture.connection(finding.connection), capture.handshake(finding.connection))
    return finding if target is None else explain_finding(finding, places, target)[0]


#: Events of connections in which no WebSocket attempt was seen: what happened, and what to do.
_UNSEEN = {
    "passed_unread": (
        "{times} passed on unread: {reason}",
        "let the client send its WebSocket as HTTP to this proxy; check --ignore-host and --set tcp_hosts",
    ),
    "client_left": (
        "{times} ended by the client before it sent a byte",
        "see the page's console: a browser that may not reach this address (Local Network Access) does this",
    ),
    "request_failed": (
        "{times} answered by this proxy alone: {error}",
        "make the server reachable, and its certificate trusted (--ca FILE), and record again",
    ),
}


def _unseen(capture: Capture) -> Nothing | None:
    """Why no attempt was seen although clients came; the most frequent of what happened."""
    forward = [one.get("tap") for one in _listeners(capture) if _is_forward(one)]
    found = [
        (kind, detail)
        for kind, detail in engine_events(capture, _UNSEEN, 1000)
        # A browser opens connections to its proxy in advance, and most of them ask for nothing.
        if kind != "client_left" or detail.get("tap") not in forward
    ]
    if not found:
        return None
    (kind, count), *_ = Counter(kind for kind, _ in found).most_common(1)
    detail = next(detail for of, detail in found if of == kind)
    noun = "request was" if kind == "request_failed" else "connection was"
    times = f"1 {noun}" if count == 1 else f"{count} {noun.replace(' was', 's were')}"
    words, advice = _UNSEEN[kind]
    said = words.format(times=times, reason=detail.get("reason") or "-", error=detail.get("error") or "-")
    return Nothing(f"no WebSocket attempt was seen: {said}", advice)


def _listeners(capture: Capture) -> list[Mapping[str, Any]]:
    """The newest engine's listeners: tap, mode, host and port."""
    found = next((detail for _, detail in engine_events(capture, ("listening",), 1)), {}).get("listeners")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _is_forward(listener: Mapping[str, Any]) -> bool:
    return str(listener.get("mode")).partition(":")[0] in FORWARD_MODES


def _how_to_reach(capture: Capture) -> str:
    """A client has to be pointed at a reverse tap; a proxy is something that a browser is set up to use."""
    listeners = _listeners(capture)
    reverse = [one for one in listeners if str(one.get("mode")).startswith("reverse:http")]
    if not reverse or len(reverse) < len(listeners):
        return _ADVICE["capture"]
    host, port = reverse[0].get("host"), reverse[0].get("port")
    at = str(Address(host, port)) if isinstance(host, str) and isinstance(port, int) else "the tap's address"
    return f"let the client connect to {at} instead of the server"


def _why_nothing(capture: Capture, lacks: Missing | None, is_live: bool, done: Story | None) -> Nothing:
    if lacks is not None and lacks.connections:
        advice = "record again with a larger --max-capture-size"
        return Nothing("all recorded connections were deleted to make room", advice)
    if lacks is not None and lacks.unstored_records:
        return Nothing("what was seen could not be stored", "free some disk space, and record again")
    # Long-polling, and what comes before a request, meets a rule in no connection.
    if done is not None and (stopped := [one for one in done.acted if not one.connections]):
        most = max(stopped, key=lambda one: one.times)
        reason = f"no WebSocket attempt was seen: {rule_words(most.rule)} acted {counted(most.times, 'time')}"
        return Nothing(f"{reason} before one", "disarm the rule to see what the client does without it")
    if (unseen := _unseen(capture)) is not None:
        return unseen
    if engine_events(capture, ("polling",), 1):
        return Nothing(
            "no WebSocket attempt was seen: Socket.IO or SignalR used HTTP alone",
            "have the client try a WebSocket: Socket.IO's transports, SignalR's transport",
        )
    yet = " yet" if is_live else ""
    made_of = capture.meta.get("imported")
    if isinstance(made_of, dict) and (why := _ADVICE.get(str(made_of.get("format")))):
        return Nothing(f"{made_of.get('from')} has no WebSocket connection{yet}", why)
    return Nothing(f"no WebSocket attempt has reached the proxy{yet}", _how_to_reach(capture))


def _only(findings: Sequence[Finding], connection: int | None) -> list[Finding]:
    return [one for one in findings if connection is None or one.connection == connection]


def _pairs(sandwich: Sandwich, connection: int | None) -> list[PairFacts]:
    return [
        pair
        for pair in sandwich.pairs
        if connection is None or connection in (pair.edge.id, pair.origin.id if pair.origin else None)
    ]
