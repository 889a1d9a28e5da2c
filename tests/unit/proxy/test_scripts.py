"""Script files: what is loaded, and what is refused in one line."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from tests.support.faulted import Facts
from wsinspect.errors import UsageError
from wsinspect.faults.scripting import Connection, Message
from wsinspect.proxy import scripts
from wsinspect.proxy.scripts import call_in_time, load_script, rule_of


def test_hooks_are_found_and_the_file_sees_itself(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "import json\nLIMIT = 5\ndef helper(): return LIMIT\ndef on_message(m): return helper()\n"
    )
    script = load_script(path, print)
    assert list(script.hooks) == ["on_message"]
    path.write_text(
        "on_end = print\nclass Counter:\n    def __call__(self, m): pass\non_message = Counter()\n"
    )
    assert set(load_script(path, print).hooks) == {"on_message", "on_end"}
    path.write_text("from functools import partial\ndef f(a, m): pass\non_message = partial(f, 1)\n")
    assert list(load_script(path, print).hooks) == ["on_message"]
    assert rule_of(script).settings() == {"name": "script", "kind": "script", "armed": True}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1", "has no hook"),
        ("def on_mesage(m): pass", "did you mean on_message"),
        ("def on_message(m:", "a.py:1: SyntaxError"),
        ("\nimport nothing_of_that_name", "a.py:2: ModuleNotFoundError"),
        ("raise ValueError('no')", "a.py:1: ValueError: no"),
        ("import sys\nsys.exit(4)", "a.py:2: SystemExit: 4"),
        ("async def on_message(m): pass", "a.py: on_message is async"),
        ("def on_message(m): yield m", "a.py: on_message has yield"),
        ("def on_end(): pass", "a.py: on_end takes other arguments than one"),
        ("def on_end(e, more): pass", "a.py: on_end takes other arguments than one"),
        ("def f(a, b): pass\non_end = f", "other arguments than one: expected def on_end(x)"),
        ("from functools import partial\ndef f(a): pass\non_message = partial(f, 1)", "def on_message(x)"),
        ("class Two:\n    def __call__(self, a, b): pass\non_end = Two()", "expected def on_end(x)"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, source, words):
    path = tmp_path / "a.py"
    path.write_text(source)
    with pytest.raises(UsageError) as caught:
        load_script(path, print)
    assert words in caught.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        load_script(tmp_path / "a.py", print)


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "import time; time.sleep(30)",
        "while True:\n        try: 1/0\n        except Exception: pass",
    ],
)
def test_a_hook_that_does_not_return_is_interrupted(body, tmp_path, monkeypatch):
    monkeypatch.setattr(scripts, "HOOK_SECONDS", 0.05)
    before = signal.getsignal(signal.SIGALRM)
    file = tmp_path / "loop.py"
    file.write_text(f"def on_message(m):\n    {body}\n")
    said: list[str] = []
    made = load_script(file, said.append)
    for _ in range(2):
        assert made.message(Message(Connection(Facts()), "c2s", "text", b"a")) is None
    [line] = said
    assert line.startswith(f"{file}:")
    assert ": on_message: did not return within 50 ms" in line
    assert made.summary().endswith("hooks failed once (on_message 1)")
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def slow(content: str) -> str:
    time.sleep(0.05)
    return content * 2


def test_a_hook_that_returns_in_time_is_not_disturbed(monkeypatch):
    monkeypatch.setattr(scripts, "HOOK_SECONDS", 30.0)
    assert call_in_time(slow, "a") == "aa"
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_signals_reach_no_other_thread_so_a_hook_there_has_no_limit(monkeypatch):
    monkeypatch.setattr(scripts, "HOOK_SECONDS", 0.01)
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(call_in_time(slow, "late")))
    thread.start()
    thread.join()
    assert got == ["latelate"]
