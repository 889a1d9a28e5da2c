"""Script files: what is loaded, and what is refused in one line."""

from __future__ import annotations

import pytest

from wsinspect.errors import UsageError
from wsinspect.proxy.scripts import load_script, rule_of


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
