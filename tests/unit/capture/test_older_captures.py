"""Captures and journals that the first release wrote: tests/support/format1 is never made again.

Both files hold the same made-up traffic of five connections: `capture.db.gz` as that release's recorder
indexed it, `journal.seg.gz` as its engine wrote it.
"""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.journals import dump, is_sound, need
from wsinspect import api
from wsinspect.capture import schema
from wsinspect.cli.main import cli
from wsinspect.journal.format import journal_directory

OLD = Path(__file__).parents[2] / "support" / "format1"
ROWS = {"connection": 5, "handshake": 5, "frame": 92, "message": 52, "ping": 12, "opaque": 3}


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((OLD / "capture.db.gz").read_bytes()))
    return path


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A capture whose engine and recorder died before anything was indexed."""
    path = tmp_path / "killed.db"
    schema.create(path)
    folder = journal_directory(path)
    folder.mkdir()
    (folder / "00000001.seg").write_bytes(gzip.decompress((OLD / "journal.seg.gz").read_bytes()))
    return path


def test_a_capture_of_the_first_release_opens_as_it_was(capture: Path) -> None:
    with api.open_capture(capture) as opened:
        rows = [
            (one.state, one.ended_by, one.how, one.js_code, one.c2s_frames, one.s2c_frames) for one in opened
        ]
        assert rows == [
            ("lost", "unknown", None, None, 5, 4),
            ("closed", "server", "rst", 1006, 13, 5),
            ("closed", "client", "close-frame", 1000, 14, 3),
            ("closed", "client", "rst", 1006, 9, 1),
            ("lost", "unknown", None, None, 21, 17),
        ]
        assert len(list(opened.frames())) == ROWS["frame"]
        assert len(list(opened.messages())) > 0
        list(opened.findings())
    assert {table: len(found) for table, found in dump(capture, tuple(ROWS)).items()} == ROWS


def test_a_journal_of_the_first_release_is_indexed_to_the_same_rows(capture: Path, killed: Path) -> None:
    with api.open_capture(killed) as opened:
        assert opened.meta["closed_cleanly"] is True
        # Its engine ended what was still open, which that release called lost.
        assert Counter(one.state for one in opened) == {"closed": 5}
        assert need(opened.connection(3).closed_ns) > 0
    assert is_sound(killed)
    for table in ("handshake", "frame", "ping", "message"):
        assert dump(killed, (table,)) == dump(capture, (table,)), table


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("show", "the proxy exited"),
        ("show 3", "CLOSE"),
        ("diagnose", "6 errors, 5 warnings; 5 connections looked at"),
        ("export --format har -o out.har", "5 connections"),
        ("export --format jsonl -o out.jsonl", "frames"),
        ("export --format flows -o out.flows", "connections"),
        ("export --format pcapng -o out.pcapng", "packets"),
        ("report -o out.html", "out.html"),
    ],
)
def test_each_reader_takes_a_capture_of_the_first_release(
    capture: Path, line: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = capture.read_bytes()
    command, *options = line.split()
    done = CliRunner().invoke(cli, [command, str(capture), *options])
    assert done.exception is None
    assert words in done.output
    assert capture.read_bytes() == before
