"""Captures of the default directory: names, what is empty, and removing them."""

from __future__ import annotations

import pytest

from tests.unit.cli.maker import CaptureMaker
from wsinspect.errors import CaptureError, UsageError
from wsinspect.journal.format import ENGINE_LOCK, journal_directory
from wsinspect.launch import captures, paths
from wsinspect.recorder.opening import open_capture


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return paths.ensure_private_dir(paths.captures_dir())


def made(path, *, connections=0):
    maker = CaptureMaker(path)
    for number in range(1, connections + 1):
        maker.attempt(number)
        maker.open(number)
    finished = maker.finish()
    open_capture(finished).close()  # indexes it
    return finished


def test_a_capture_that_nobody_used_is_discarded(place):
    path = made(place / "20260101-000000-1.db")
    assert captures.discard_if_empty(path)
    assert list(place.iterdir()) == []
    assert not captures.discard_if_empty(path)


def test_what_happened_is_kept(place):
    path = made(place / "20260101-000000-1.db", connections=1)
    assert not captures.discard_if_empty(path)
    assert path.exists()


def test_a_client_that_left_without_a_byte_is_something(place):
    maker = CaptureMaker(place / "a.db")
    maker.event(0, 5, event="client_left", tap="main", client="127.0.0.1:1", how="fin", ms=1.0)
    path = maker.finish()
    open_capture(path).close()
    assert not captures.discard_if_empty(path)


def test_what_is_not_indexed_yet_or_cannot_be_read_is_kept(place):
    maker = CaptureMaker(place / "a.db")
    maker.attempt(1)
    assert not captures.discard_if_empty(maker.finish(is_killed=True))
    (place / "b.db").write_bytes(b"no capture at all")
    assert not captures.discard_if_empty(place / "b.db")


def test_last_is_never_an_empty_one(place):
    used = made(place / "20260101-000000-1.db", connections=1)
    made(place / "20260102-000000-1.db")
    assert captures.resolve_capture("last") == used
    captures.remove(used)
    with pytest.raises(CaptureError, match="no capture"):
        captures.resolve_capture(None)


def test_a_name_is_a_file_here_first_then_one_of_the_default_place(place, tmp_path, monkeypatch):
    stored = made(place / "checkout-bug.db", connections=1)
    monkeypatch.chdir(tmp_path)
    assert captures.resolve_capture("checkout-bug") == stored
    assert captures.resolve_capture("checkout-bug.db") == stored
    (tmp_path / "checkout-bug").write_bytes(b"")
    assert captures.resolve_capture("checkout-bug").parent.parts == ()
    assert captures.resolve_capture("other").as_posix() == "other"
    assert captures.resolve_capture("../captures/checkout-bug").as_posix() == "../captures/checkout-bug"


@pytest.mark.parametrize("name", ["", "last", "7", "../x", "a/b", ".hidden", "-x", "a b", "x" * 101, "\x1b"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UsageError, match="invalid name"):
        captures.path_for(name)


def test_a_name_is_given_once(place):
    assert captures.path_for("one") == captures.path_for("one.db") == place / "one.db"
    made(place / "one.db")
    with pytest.raises(UsageError, match=r"exists.*wsinspect rm one"):
        captures.path_for("one")


def test_removing_takes_all_files_of_a_capture_and_no_other(place):
    path = made(place / "one.db", connections=1)
    other = made(place / "two.db", connections=1)
    journal_directory(path).mkdir()
    (journal_directory(path) / "00000001.seg").write_bytes(b"1234")
    size = captures.size_of(path)
    assert captures.remove(path) == size > 4
    assert list(place.iterdir()) == [other]


def test_a_damaged_capture_is_removed_in_the_default_place_alone(place, tmp_path):
    for folder in (place, tmp_path):
        (folder / "x.db").write_bytes(b"not a capture")
    captures.remove(place / "x.db")
    with pytest.raises(CaptureError, match="not a capture"):
        captures.remove(tmp_path / "x.db")
    assert (tmp_path / "x.db").exists()


def test_what_an_engine_writes_is_not_removed(place):
    maker = CaptureMaker(place / "live.db")
    assert (journal_directory(maker.path) / ENGINE_LOCK).exists()
    with pytest.raises(CaptureError, match="an engine is writing"):
        captures.remove(maker.path)
    assert not captures.discard_if_empty(maker.path)
    maker.finish()
