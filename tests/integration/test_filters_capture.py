"""Filters over a capture: SQL and predicates say the same; `show --filter` prints it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest
import websockets

from tests.support import warm
from tests.support.engine import Engine, private_environment
from tests.support.journals import Script, index, text, write_journal
from tests.support.small_servers import echo
from wsinspect.capture.filtering import FrameScan, FrameView, matching_connections
from wsinspect.capture.reader import Capture
from wsinspect.filters import FIELDS, parse
from wsinspect.recorder.opening import open_capture


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three connections: compressed, plain with fragments, refused."""
    folder = tmp_path_factory.mktemp("filters")

    async def main() -> Path:
        async with websockets.serve(echo, "127.0.0.1", 0, subprotocols=["chat.v2"]) as server:  # type: ignore[list-item]
            port = next(iter(server.sockets)).getsockname()[1]
            reverse = ("--listen", "0", "--reverse", f"http://127.0.0.1:{port}")
            engine = await asyncio.to_thread(Engine.start, *reverse, folder=folder)
            uri = f"ws://127.0.0.1:{engine.port('reverse')}"
            for compression in ("deflate", None):
                async with websockets.connect(
                    f"{uri}/chat?room=7",
                    compression=compression,
                    subprotocols=["chat.v2"],  # type: ignore[list-item]
                ) as connection:
                    for number in range(20):
                        await connection.send(json.dumps({"op": "sub" if number % 2 else "pub", "n": number}))
                        await connection.recv()
                    await connection.send([b"three ", b"fragments ", b"here"])
                    await connection.recv()
                    await (await connection.ping(b"?"))
                    await connection.close(4001, "so long")
            await asyncio.to_thread(engine.stop)
            return engine.capture

    return asyncio.run(main())


FILTERS = [
    *(example for key in FIELDS.values() for example in key.examples),
    "json:$.n>10 dir:c2s",
    "op:text !json:$.op=sub",
    "body:fragments",
    "body~/three .*here/",
    "frag:2",
    "len<20 | op:close",
    "!(op:text | op:ping)",
    "code:4001 reason:long",
    "rtt:*",
    "gap>0 op:text",
    "delta>0ms",
    "conn:2 op:data",
    "close:4001 op:pong",
    "header:Upgrade dir:s2c",
]


@pytest.mark.parametrize("source", FILTERS)
@pytest.mark.parametrize("only", [None, 2])
def test_sql_and_predicate_agree(path: Path, source: str, only: int | None) -> None:
    flt = parse(source)
    with open_capture(path) as capture:
        scan = FrameScan(capture, flt, connection_id=only)
        found = [one for batch in scan.batches() for one in batch.ids]
        scan.stored_messages = frozenset(row[0] for row in capture.query("SELECT id FROM stored_message"))
        passes = flt.frame_predicate()
        columns = "id, connection_id, is_s2c, bits, time_ns, length(header), wire_length, message_id"
        rows = capture.query(f"SELECT {columns} FROM frame ORDER BY id")
        expected = [row[0] for row in rows if (only in (None, row[1])) and passes(FrameView(scan, row))]
    assert found == expected


def test_some_of_them_find_something(path: Path) -> None:
    with open_capture(path) as capture:
        counts = {
            source: sum(len(batch.ids) for batch in FrameScan(capture, parse(source)).batches())
            for source in FILTERS
        }
    assert sum(1 for count in counts.values() if count) > 30
    # The frame that ends a message stands for it; a middle one that is not compressed for itself, too.
    assert counts["body:fragments"] == 5
    assert counts["json:$.n>10 dir:c2s"] == 2 * 9


def test_connections(path: Path) -> None:
    with open_capture(path) as capture:
        assert [one.id for one in matching_connections(capture, parse("close:4001"))] == [1, 2]
        assert [
            one.id
            for one in matching_connections(capture, parse("header:sec-websocket-extensions:deflate conn<2"))
        ] == [1]
        assert matching_connections(capture, parse("proto=other")) == []


def show(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = ["show", str(path), *arguments]
    return warm.run(words, folder=path.parent, environment=private_environment(path.parent))


def test_show_lists_connections_or_frames(path: Path) -> None:
    connections = show(path, "--filter", "close:4001")
    assert connections.returncode == 0
    assert len(connections.stdout.splitlines()) == 3
    frames = show(path, "--filter", "op:ping")
    assert len(frames.stdout.splitlines()) == 3
    assert "PING" in frames.stdout
    one = show(path, "2", "--filter", "op:ping", "--json")
    assert [frame["connection"] for frame in json.loads(one.stdout)["frames"]] == [2]


def test_show_says_where_a_filter_is_wrong(path: Path) -> None:
    result = show(path, "--filter", "op:text opp:x")
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert lines[-2] == " " * 8 + "^"
    assert "column 9" in lines[-1]
    assert "did you mean 'op'" in lines[-1]


def fragmented(folder: Path, fragments: int) -> Path:
    """One long message each way, its fragments between each other's."""
    script = Script()
    script.open(1)
    for number in range(fragments):
        for side in (0, 1):
            opcode = 0 if number else 1
            chunk = text(b"part ", opcode=opcode, fin=number == fragments - 1, masked=not side)
            script.data(1, side, chunk)
    script.end(1)
    path = folder / f"{fragments}.db"
    write_journal(path, script.stop())
    index(path)
    return path


def test_places_in_a_message_cost_one_pass(tmp_path: Path) -> None:
    """SQLite's own steps are counted: twice the fragments, twice the work."""
    steps = {}
    for fragments in (500, 1000):
        with open_capture(fragmented(tmp_path, fragments)) as capture:
            count = 0

            def note() -> int:
                nonlocal count
                count += 1
                return 0

            capture._database.set_progress_handler(note, 100)
            for source, places in (("frag>0", 2 * fragments), ("frag:7", 2), (f"frag>{fragments - 3}", 6)):
                found = [one for batch in FrameScan(capture, parse(source)).batches() for one in batch.ids]
                assert len(found) == places
                assert found == sorted(found)
            steps[fragments] = count
    assert steps[1000] < steps[500] * 2.5


def test_a_frame_that_is_marked_with_a_fault_has_it(tmp_path: Path) -> None:
    path = fragmented(tmp_path, 3)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO fault_event VALUES (1, 0, 1, NULL, 'slow', 'latency', NULL, '{}')")
        database.execute("INSERT INTO fault_event VALUES (2, 0, 1, 5, 'lose', 'drop', NULL, '{}')")
        database.execute("UPDATE frame SET fault_event_id = 1 WHERE id = 3")
    with open_capture(path) as capture:
        found = {
            source: [one for batch in FrameScan(capture, parse(source)).batches() for one in batch.ids]
            for source in ("frag:* fault:latency", "frag:* fault:drop", "frag:* fault:*")
        }
    assert list(found.values()) == [[3], [5], [3, 5]]


def test_a_connection_has_no_end_before_it_is_over(path: Path, tmp_path: Path) -> None:
    """Refused, but the engine has not said yet that nothing more comes."""
    script = Script()
    script.attempt(1)
    script.event(1, "refused", status=403)
    write_journal(tmp_path / "x.db", script.steps)
    index(tmp_path / "x.db", is_over=False)
    with Capture.open(tmp_path / "x.db") as capture:
        assert matching_connections(capture, parse("close:*")) == []
        assert [one.state for one in capture.connections()] == ["refused"]
    with open_capture(path) as capture:
        assert [one.id for one in matching_connections(capture, parse("close:*"))] == [1, 2]


def test_rows_come_with_their_columns_whether_many_pass_or_few(path: Path) -> None:
    with open_capture(path) as capture:
        for source in ("body:op", "body:zzz | op:close", "json:$.n>3", "op:text", "frag:*", "!body:nowhere"):
            scan = FrameScan(capture, parse(source), columns=("bits", "wire_length"))
            for is_dense in (False, True, False):
                scan._is_dense = is_dense
                for batch in scan.batches():
                    listed = ",".join(map(str, batch.ids))
                    sql = f"SELECT id, bits, wire_length FROM frame WHERE id IN ({listed}) ORDER BY id"
                    assert batch.rows == capture.query(sql)
