"""What survives a round trip: each cell of the table in docs/formats.md against an export imported again."""

from __future__ import annotations

import io
import re
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.chats import RESPONSE, Chat, said, store
from wsinspect.capture.reader import Capture
from wsinspect.formats.choice import EVERYTHING
from wsinspect.formats.exporting import EXPORTERS
from wsinspect.formats.importing import import_file
from wsinspect.formats.progress import nobody
from wsinspect.handshake.heads import RawHead
from wsinspect.wire.frame import serialize_frame

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "formats.md"
KEY: Final = b"\1\2\3\4"
_OFFER: Final = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
#: With two blanks, and in letters as nobody writes them.
REQUEST: Final = (
    b"GET /room?id=7 HTTP/1.1\r\nhOsT:  chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"X-Twice: 1\r\nX-Twice: 2\r\n" + _OFFER
)


def everything(path: Path) -> Path:
    """A capture with all that a capture may hold."""
    script = Chat()
    script.event(
        1,
        "attempt",
        tap="edge",
        client="127.0.0.1:5",
        listener="127.0.0.1:8080",
        scheme="ws",
        host="chat.example",
        port=80,
        path="/room?id=7",
        http_version="HTTP/1.1",
    )
    script.head(1, 0, REQUEST)
    script.head(1, 1, REQUEST.replace(b"hOsT:  chat.example", b"Host: inside"))
    script.event(1, "server", address="inside:80", peer="10.0.0.1:80", reused=False)
    script.answer(1, RESPONSE[:-2] + _OFFER)
    script.event(1, "open")
    squeeze = zlib.compressobj(wbits=-15)
    small = squeeze.compress(b"a" * 100) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    for opcode, content, options in (
        (1, b"hello", {}),
        (2, b"\0\1\xff", {}),
        (1, b"in two", {"fin": False}),
        (0, b" parts", {}),
        (1, small[:-4], {"rsv": 4}),
        (9, b"a ping", {}),
        (3, b"reserved", {}),
    ):
        script.now = script.now // 1000 * 1000 + 5_000_100  # a float of seconds is up to 240 ns off
        script.data(1, 0, serialize_frame(opcode, content, key=KEY, **options), 777)
    script.server(1, b"a ping", opcode=10)
    script.now = script.now // 1000 * 1000 + 1_000_100
    script.server(1, b"an answer")
    script.fault(1, "late", "latency", direction="s2c", frame=0)
    script.client(1, (4001).to_bytes(2, "big") + b"enough", opcode=8)
    script.server(1, (1000).to_bytes(2, "big"), opcode=8)
    script.event(1, "end", side="server", how="fin")
    script.event(1, "end", side="client", how="rst")
    script.event(1, "closed")
    script.tick()
    script.accept(2)
    script.data(2, 1, b"\x82\x7f" + b"\xff" * 8 + b"no frame has this length")
    script.event(2, "end", side="server", how="rst")
    script.event(2, "closed")
    script.tick()
    script.begin(3, REQUEST, "/room?id=7")
    script.answer(3, b"HTTP/1.1 403 Forbidden\r\nX-Why: a\r\nContent-Length: 8\r\n\r\n")
    script.body(3, b"no entry")
    script.event(3, "refused", status=403)
    script.event(3, "closed")
    script.tick()
    # What a hop that does not pass it on makes of an attempt: without Upgrade.
    script.begin(
        4, REQUEST.replace(b"Upgrade: websocket\r\nConnection: Upgrade", b"Connection: close"), "/room?id=7"
    )
    script.answer(4, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    script.event(4, "refused", status=404)
    script.event(4, "closed")
    return store(path, script)


Fact = Callable[[Path], Any]


def rows(sql: str) -> Fact:
    def read(path: Path) -> Any:
        with closing(sqlite3.connect(path)) as database:
            return database.execute(sql).fetchall()

    return read


def fields(column: str) -> Fact:
    read = rows(f"SELECT {column} FROM handshake ORDER BY connection_id")

    def parsed(path: Path) -> Any:
        return [[(one.name, one.value) for one in RawHead.parse(raw).fields] for (raw,) in read(path) if raw]

    return parsed


def messages(*which: int) -> Fact:
    def read(path: Path) -> Any:
        with Capture.open(path) as capture:
            numbers = [one.id for one in capture.connections()]
        return [[tuple(one[part] for part in which) for one in said(path, number)] for number in numbers]

    return read


FACTS: Final[dict[str, Fact]] = {
    "URL, status, state": rows("SELECT scheme, host, path, status, state FROM connection ORDER BY id"),
    "header fields, in order": lambda path: (fields("request_in")(path), fields("response_out")(path)),
    "header blocks, byte for byte": rows("SELECT request_in, response_out FROM handshake ORDER BY 1"),
    "what the proxy changed in them": rows("SELECT request_out FROM handshake ORDER BY connection_id"),
    "body of a refusal": rows("SELECT body FROM handshake WHERE body IS NOT NULL"),
    "messages: side, kind, content": messages(0, 1, 3),
    "their times, to the microsecond": lambda path: [
        [round(time_ns / 1000) for (time_ns,) in one] for one in messages(2)(path)
    ],
    "... to the nanosecond": messages(2),
    "when a frame was sent on": rows("SELECT sent_after_ns FROM frame ORDER BY id"),
    "fragments": rows("SELECT fin, opcode FROM frame WHERE opcode < 3 ORDER BY id"),
    "compression": rows("SELECT rsv1, wire_length FROM frame WHERE rsv1"),
    "masking keys": rows("SELECT substr(header, -4) FROM frame WHERE masked AND opcode < 3 ORDER BY id"),
    "PING and PONG": rows("SELECT is_s2c, opcode, payload FROM frame WHERE opcode IN (9, 10) ORDER BY id"),
    "first CLOSE frame": rows("SELECT is_s2c, payload FROM frame WHERE opcode = 8 ORDER BY id LIMIT 1"),
    "the other side's CLOSE frame": rows("SELECT is_s2c, payload FROM frame WHERE opcode = 8 ORDER BY id"),
    "FIN or RST that came first": rows(
        "SELECT connection_id, json_extract(detail, '$.side'), json_extract(detail, '$.how') "
        "FROM event WHERE kind = 'end' GROUP BY connection_id HAVING min(id)"
    ),
    "... and the other side's": rows(
        "SELECT connection_id, json_extract(detail, '$.side'), json_extract(detail, '$.how') FROM event "
        "WHERE kind = 'end' ORDER BY connection_id, id"
    ),
    "who ended the connection": rows("SELECT ended_by FROM connection ORDER BY id"),
    "frames with reserved opcodes": rows("SELECT header, payload FROM frame WHERE opcode = 3"),
    "bytes outside frames": rows("SELECT is_s2c, data FROM opaque"),
    "the client's address": rows("SELECT client FROM connection ORDER BY id"),
    "taps": rows("SELECT tap FROM connection ORDER BY id"),
    "faults": rows("SELECT rule, kind FROM fault_event"),
}
FORMATS: Final = {"JSONL": "jsonl", "HAR": "har", "flows": "flows", "pcapng": "pcapng"}


def again(folder: Path, source: Path, name: str) -> Path:
    out = io.BytesIO()
    with Capture.open(source) as capture:
        EXPORTERS[name].write(capture, out, choice=EVERYTHING, include_secrets=True, progress=nobody)
    (folder / f"x.{name}").write_bytes(out.getvalue())
    import_file(folder / f"x.{name}", folder / f"{name}.db")
    return folder / f"{name}.db"


def table() -> dict[str, dict[str, str]]:
    """The page's: by fact and format, `yes` or an empty cell."""
    part = PAGE.read_text("utf-8").partition("## What survives a round trip")[2].partition("\n## ")[0]
    lines = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in part.splitlines()
        if line.startswith("|") and not re.match(r"[-| ]+$", line)
    ]
    head = lines[0][1:]
    return {name: dict(zip(head, (*cells, "", "", "", ""), strict=False)) for name, *cells in lines[1:]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trips")


def test_each_cell_is_what_happens(folder: Path) -> None:
    source = everything(folder / "a.db")
    before = {name: read(source) for name, read in FACTS.items()}
    assert [name for name, found in before.items() if not found] == []
    found: dict[str, dict[str, str]] = {name: {} for name in FACTS}
    for head, name in FORMATS.items():
        back = again(folder, source, name)
        for fact, read in FACTS.items():
            found[fact][head] = "yes" if read(back) == before[fact] else ""
    assert table() == found
