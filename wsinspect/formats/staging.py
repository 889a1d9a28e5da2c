"""Messages of other formats on their way into a capture.

HAR and flow files list messages connection by connection; a capture has them in the order of time. So they
are staged in a temporary database and then played, in order, into the indexer that also records live traffic:
what a capture says of an imported connection is worked out by the same code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from wsinspect.capture.making import writing
from wsinspect.capture.sorting import SortedConnection, SortedFrame, SortedRequest, Sorter
from wsinspect.clients.nearby import Asked, Nearby
from wsinspect.errors import CaptureError
from wsinspect.formats.progress import Progress, nobody
from wsinspect.journal.format import (
    BODY,
    HEAD,
    HEAD_REQUEST_IN,
    HEAD_REQUEST_OUT,
    HEAD_RESPONSE_IN,
    HEAD_RESPONSE_OUT,
    Record,
)
from wsinspect.recorder.indexer import COMMIT_BYTES, Indexer
from wsinspect.version import __version__
from wsinspect.vocabulary import events
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.header import LENGTH_16, MASK_BIT

_NO_KEY: Final = b"\0\0\0\0"
_BATCH: Final = 2000
_MILLISECOND: Final = 10**6
_BATCH_BYTES: Final = 4 * 1024 * 1024
#: Of a packet that segmentation offloading made; compressed messages can become a thousand times as many.
_AT_ONCE: Final = 64 * 1024
#: Each costs the indexer a kilobyte for as long as an import takes.
MAX_CONNECTIONS: Final = 200_000
#: Of entries that pass through, all together: they are in memory.
MAX_KEPT_BYTES: Final = 64 * 1024 * 1024
#: Times outside of this are invalid: a journal record holds signed 64 bits.
_LATEST_NS: Final = 1 << 62


#: A request that a 200 opens: CONNECT, or RFC 8441's.
_CONNECT: Final = re.compile(rb"^(CONNECT |:method: CONNECT\r)")
#: Where an attempt failed, by the names of browsers' network errors.
_FAILED_WHERE: Final = (
    ("connect", re.compile(r"ERR_(CONNECTION_(REFUSED|TIMED_OUT)|NAME_|ADDRESS_)")),
    ("tls-server", re.compile(r"ERR_(CERT_|SSL_|BAD_SSL_|TLS)")),
)


class Imported(NamedTuple):
    """A connection of another format.

    Attributes:
        scheme: `ws` or `wss`.
        host, port, path: what the client asked for.
        http_version: as `HTTP/1.1`.
        attempt_ns: when.
        closed_ns: when nothing more came; None where nobody knows.
        status: of the response; None where there was none.
        request, response: heads, made again from their fields.
        body: the beginning of a refusal's body.
        error: why there is no response.
        server: its address and port.
        client: its address and port.
        ended: how its transport ended: side and `fin`, `rst`, `close_notify` or `timeout`.
        reported: what the file says of the end without saying who began it: code (None: aborted) and reason;
            with `side`, whose end of TCP mitmproxy saw without a CLOSE frame.
        lacks: what the format does not record (`vocabulary.Lack`).
        who: what the client's plain requests have in common with it (`clients.nearby.whose`).
    """

    scheme: str
    host: str | None
    port: int | None
    path: str
    http_version: str
    attempt_ns: int
    closed_ns: int | None
    status: int | None
    request: bytes
    response: bytes | None
    body: bytes = b""
    error: str | None = None
    server: str | None = None
    client: str | None = None
    ended: tuple[str, str] | None = None
    reported: Mapping[str, Any] | None = None
    lacks: tuple[str, ...] = ()
    who: str = ""


class Stage:
    """Collects connections and their frames; `fill` makes a capture of them.

    Attributes:
        connections, frames: how many there are.
    """

    def __init__(self, folder: Path) -> None:
        self._sorter = Sorter(folder)
        self._batch: list[SortedFrame] = []
        self._batch_bytes = 0
        self._latest: dict[int, int] = {}
        self._first: dict[int, int] = {}
        self._is_ordered = True
        self._last_ns = 0
        self._facts: list[SortedConnection] = []
        self._requests: list[SortedRequest] = []
        self._kept: list[tuple[int, Mapping[str, Any]]] = []
        self._kept_bytes = 0
        self._reported: list[tuple[int, events.Event]] = []
        self.connections = 0
        self.frames = 0

    def close(self) -> None:
        """Close the sorter, which deletes its temporary file."""
        self._sorter.close()

    def add(
        self, connection: int, side: int, first: int, data: bytes, time_ns: int, *, in_order: bool = True
    ) -> None:
        """A frame of `connection`.

        Args:
            connection: its number; `describe` may be called before or after.
            side: 0 client to server, 1 server to client.
            first: the first header byte: FIN, reserved bits, opcode.
            data: the payload.
            time_ns: when.
            in_order: order within a connection is that of the calls, whatever the times say; else this frame
                goes where its time says.
        """
        order_ns = time_ns
        latest = self._latest.get(connection)
        if latest is None or time_ns >= latest:
            self._latest[connection] = time_ns
            if latest is None:
                self._first[connection] = time_ns
        elif in_order:
            order_ns = latest
        if order_ns < self._last_ns:
            self._is_ordered = False
        self._last_ns = order_ns
        self.frames += 1
        self._batch.append(SortedFrame(connection, order_ns, time_ns, side, first, data))
        self._batch_bytes += len(data)
        if len(self._batch) >= _BATCH or self._batch_bytes > _BATCH_BYTES:
            self._flush()

    def describe(self, connection: int, facts: Imported) -> None:
        """What is known of a connection apart from its frames.

        Raises:
            CaptureError: there are too many.
        """
        if self.connections >= MAX_CONNECTIONS:
            raise CaptureError(f"there are more than {MAX_CONNECTIONS:,} WebSockets in the file")
        text = json.dumps([one.decode("latin-1") if isinstance(one, bytes) else one for one in facts])
        self._facts.append(SortedConnection(connection, facts.attempt_ns, text))
        self._batch_bytes += len(text)
        self.connections += 1
        if len(self._facts) >= _BATCH or self._batch_bytes > _BATCH_BYTES:
            self._flush()

    def ask(self, who: str, began_ns: int, event: events.HttpRequest) -> None:
        """A plain request; it is recorded with the attempts of its client that it is near to.

        Args:
            who: as in `Imported`.
            event: its number is given later.
        """
        took_ns = round((event.ms or 0) * _MILLISECOND)
        facts = json.dumps(event.as_json())
        self._requests.append(SortedRequest(began_ns + took_ns, began_ns, who, facts))
        self._batch_bytes += len(facts)
        if len(self._requests) >= _BATCH or self._batch_bytes > _BATCH_BYTES:
            self._flush()

    def keep(self, time_ns: int, entry: Mapping[str, Any], size: int) -> bool:
        """An entry that passes through as it is; False where there are too many bytes of such."""
        if self._kept_bytes + size > MAX_KEPT_BYTES:
            return False
        self._kept_bytes += size
        self._kept.append((time_ns, entry))
        return True

    def report(self, time_ns: int, event: events.Event) -> None:
        """An event of no connection; the caller bounds how many there are."""
        self._reported.append((time_ns, event))

    def last_ns(self, connection: int) -> int | None:
        """When its last frame came."""
        return self._latest.get(connection)

    def first_ns(self, connection: int) -> int | None:
        """When its first frame came."""
        return self._first.get(connection)

    def rebase(self, connection: int, start_ns: int, divisor: int) -> None:
        """Its times count from a start, in units shorter by this factor than they were taken for."""
        self._flush()
        self._sorter.rebase(connection, start_ns, divisor)
        if connection in self._latest:
            self._latest[connection] = self._latest[connection] // divisor + start_ns
        self._is_ordered = False

    def fill(self, path: Path, imported: dict[str, str], progress: Progress = nobody) -> None:
        """Write the new, empty capture at `path`.

        Args:
            imported: what it is made of, for its `meta`.

        Raises:
            LocalError: it cannot be written.
        """
        self._flush()
        with writing(path, is_bulk=True) as database:
            self._index(Feed(Indexer(database)), imported, progress)

    def _index(self, feed: Feed, imported: dict[str, str], progress: Progress) -> None:
        start_ns = self._sorter.first_attempt_ns() or min((at for at, _ in self._reported), default=0)
        versions = {"wsinspect": __version__}
        begun = events.ImportStarted(versions=versions, imported=imported, argv=[], anchor_wall_ns=start_ns)
        feed.event(0, start_ns, begun)
        last_ns = start_ns
        opened: dict[int, _Open] = {}
        attempts: list[_Attempt] = []
        for number, (staged, facts) in enumerate(self._connections(), 1):
            feed.open(number, facts)
            attempts.append(_Attempt(facts.attempt_ns, number, facts.who))
            latest = self._latest.get(staged, facts.attempt_ns)
            closed_ns = max(latest, facts.attempt_ns if facts.closed_ns is None else facts.closed_ns)
            last_ns = max(last_ns, closed_ns)
            one = _Open(number, closed_ns, facts.ended, facts.reported)
            if staged in self._latest:
                opened[staged] = one
            else:
                # Nothing follows, so the indexer need not keep it; there may be very many.
                feed.close(one)
        for attempt, asked in self._near(attempts):
            feed.event(attempt, asked.began_ns, asked.event)
        add = feed.data
        for done, (staged, time_ns, side, first, data) in enumerate(
            self._sorter.frames(is_ordered=self._is_ordered)
        ):
            its = opened.get(staged)
            if its is not None:
                add(its.number, side, time_ns, _wire(first, data, side))
            if not done % _BATCH:
                progress(done)
        for one in opened.values():
            feed.close(one)
        for time_ns, entry in self._kept:
            feed.event(0, time_ns, events.HarEntry(entry=entry))
        for time_ns, event in self._reported:
            feed.event(0, time_ns, event)
            last_ns = max(last_ns, time_ns)
        feed.finish(last_ns)

    def _near(self, attempts: Iterable[_Attempt]) -> Iterator[tuple[int, Asked]]:
        """The requests that are recorded, each with its attempt, as `proxy.nearby` has them."""
        nearby = Nearby()
        waiting = iter(attempts)
        attempt = next(waiting, None)
        for number, (answered_ns, began_ns, who, facts) in enumerate(self._sorter.requests(), 1):
            while attempt is not None and attempt.time_ns < answered_ns:
                for one in nearby.attempt(attempt.who, attempt.number, attempt.time_ns):
                    yield attempt.number, one
                attempt = next(waiting, None)
            asked = Asked(began_ns, replace(events.HttpRequest.read(json.loads(facts)), number=number))
            after = nearby.asked(who, asked, answered_ns)
            if after is not None:
                yield after, asked
        while attempt is not None:
            for one in nearby.attempt(attempt.who, attempt.number, attempt.time_ns):
                yield attempt.number, one
            attempt = next(waiting, None)

    def _connections(self) -> Iterator[tuple[int, Imported]]:
        """In the order of time."""
        for staged, _, text in self._sorter.connections():
            facts = Imported(*json.loads(text))
            yield (
                staged,
                facts._replace(
                    request=_bytes(facts.request),
                    response=None if facts.response is None else _bytes(facts.response),
                    body=_bytes(facts.body),
                    ended=facts.ended and (facts.ended[0], facts.ended[1]),
                ),
            )

    def _flush(self) -> None:
        self._sorter.add(self._batch, self._facts, self._requests)
        self._batch = []
        self._facts = []
        self._requests = []
        self._batch_bytes = 0


class _Attempt(NamedTuple):
    """An attempt of a client, for the requests near it."""

    time_ns: int
    number: int
    who: str


class _Open(NamedTuple):
    """A connection that is open in the indexer."""

    number: int
    closed_ns: int
    ended: tuple[str, str] | None
    reported: Mapping[str, Any] | None


class Feed:
    """Records into the indexer, which is committed whenever enough has gathered.

    The thread that reads also writes. A second one that writes saves at most a twentieth of the time on two
    cores (measured) and takes a third more CPU: most of what either does needs the interpreter's lock.

    Args:
        indexer: of a new capture.
        is_live: others read the capture before `finish`.
    """

    def __init__(self, indexer: Indexer, *, is_live: bool = False) -> None:
        self.indexer = indexer
        indexer.is_restartable = is_live

    def finish(self, time_ns: int) -> None:
        """Nothing more will come; the capture ended cleanly."""
        self.indexer.is_restartable = True
        self.event(0, time_ns, events.EngineStopped())
        self.indexer.commit()
        self.indexer.mark_clean()
        self.indexer.commit()

    def add(self, record: Record) -> None:
        self.indexer.add(record)
        if self.indexer.weight > COMMIT_BYTES:
            self.indexer.commit()

    def data(self, connection: int, side: int, time_ns: int, data: bytes) -> None:
        """Bytes of a direction, as `add` takes them in a record; what many become is committed in between."""
        indexer = self.indexer
        if len(data) > _AT_ONCE:
            for start in range(0, len(data), _AT_ONCE):
                self.data(connection, side, time_ns, data[start : start + _AT_ONCE])
            return
        indexer.add_data(connection, side, time_ns, data)
        if indexer.weight > COMMIT_BYTES:
            indexer.commit()

    def event(self, connection: int, time_ns: int, event: events.Event) -> None:
        self.indexer.add_event(connection, time_ns, event)
        if self.indexer.weight > COMMIT_BYTES:
            self.indexer.commit()

    def head(self, connection: int, part: int, time_ns: int, raw: bytes) -> None:
        self.add(Record(HEAD, part, connection, time_ns, 0, raw))

    def close(self, one: _Open) -> None:
        """Record how a connection ended, and that it is closed."""
        if one.ended is not None:
            side, how = one.ended
            self.event(one.number, one.closed_ns, events.TransportEnded(side=side, how=how))
        self.event(one.number, one.closed_ns, events.Closed(reported=one.reported))

    def open(self, number: int, facts: Imported) -> None:
        """Record the opening handshake: the attempt, the heads, and how it ended."""
        at_ns = facts.attempt_ns
        asked = events.Attempt(
            client=facts.client,
            scheme=facts.scheme,
            host=facts.host,
            port=facts.port,
            path=facts.path,
            http_version=facts.http_version,
        )
        self.event(number, at_ns, asked)
        if facts.lacks:
            self.event(number, at_ns, events.Imported(lacks=list(facts.lacks)))
        for part in (HEAD_REQUEST_IN, HEAD_REQUEST_OUT):
            self.head(number, part, at_ns, facts.request)
        if facts.server is not None:
            self.event(number, at_ns, events.Server(address=facts.server, peer=facts.server, reused=False))
        if facts.response is None:
            error = facts.error or "no response"
            where = next((place for place, words in _FAILED_WHERE if words.search(error)), "response")
            self.event(number, at_ns, events.Failed(where=where, error=error))
            return
        for part in (HEAD_RESPONSE_IN, HEAD_RESPONSE_OUT):
            self.head(number, part, at_ns, facts.response)
        is_connect = _CONNECT.search(facts.request) is not None
        if facts.status == 101 or (is_connect and facts.status is not None and 200 <= facts.status <= 299):
            self.event(number, at_ns, events.Open())
            if facts.error:
                self.event(number, at_ns, events.ReportedError(error=facts.error))
            return
        self.event(number, at_ns, events.Refused(status=facts.status))
        if facts.body:
            self.add(Record(BODY, 0, number, at_ns, 0, facts.body))


def _bytes(text: str | bytes) -> bytes:
    """As staged: JSON has no bytes."""
    return text.encode("latin-1") if isinstance(text, str) else text


def _wire(first: int, data: bytes, side: int) -> bytes:
    """The frame, masked with zeros where a client sent it: nobody knows the key."""
    if len(data) < LENGTH_16:
        # The common case; the same as below.
        if side:
            return bytes((first, len(data))) + data
        return bytes((first, MASK_BIT | len(data))) + _NO_KEY + data
    return serialize_frame(
        first & 15, data, fin=first >= 0x80, rsv=first >> 4 & 7, key=None if side else _NO_KEY
    )


def to_ns(seconds: Any, what: str) -> int:
    """Epoch seconds, as a number or its text, exactly.

    Raises:
        CaptureError: no such time.
    """
    try:
        text = seconds if isinstance(seconds, str) else repr(seconds)
        whole, _, fraction = text.partition(".")
        if "e" in text or "E" in text or not whole.lstrip("-").isdigit() or len(whole) > 12:
            value = round(float(text) * 1e9)
        else:
            value = int(whole) * 10**9 + int((fraction + "0" * 9)[:9] or 0)
    except (TypeError, ValueError, OverflowError):
        raise CaptureError(f"{what} is not a valid time: {str(seconds)[:40]!r}") from None
    if not -_LATEST_NS < value < _LATEST_NS:
        raise CaptureError(f"{what} is not a valid time: {str(seconds)[:40]!r}")
    return value
