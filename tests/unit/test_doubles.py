"""What tests put in the place of ours, and when they sleep.

A test that replaces a part of the program tests something else than the program, and a sleep hides a race
until a machine is slow. Both are found in the source of the tests, whichever way they are written; what stays
has its reason here.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support import sources

TESTS = Path(__file__).resolve().parents[1]
#: Functions and classes of ours that a test replaces, each with its reason. Numbers (a limit made small, a
#: wait made short) and functions of the system (a full disk) need none.
REPLACED = {
    "playbook/test_faults_order.py": {"_leave": "counted, and called"},
    "unit/capture/test_damage.py": {"broken_structure": "a check that lasts, which no small file has"},
    "unit/capture/test_pages.py": {"page": "counted, and called"},
    "unit/capture/test_reader.py": {
        "finish": "killed between two steps",
        "open_for_writing": "a folder that nobody may write to, which root may",
    },
    "unit/cli/test_ls_rm.py": {
        "_is_terminal": "click's runner is no terminal",
        "newest_first": "files that come and go between two steps; called",
    },
    "unit/diagnosis/test_live.py": {
        "_judge": "counted",
        "diagnose": "a mistake of ours, or a full disk",
        "diagnose_capture": "the time that it takes",
    },
    "unit/diagnosis/test_live_pairs.py": {"_judge_chain": "counted", "worth_comparing": "a mistake of ours"},
    "unit/journal/test_journal.py": {
        "segment_numbers": "a folder that changes between two steps",
        "_read_segment": "the same; called",
    },
    "unit/launch/browser/test_session.py": {"clients_of": "a browser that never asks, among others that do"},
    "unit/launch/test_engines.py": {"_lock": "a file that is removed between two steps; called"},
    "unit/proxy/test_listening.py": {"_bind_any": "a port that is taken between two steps; called"},
    "unit/proxy/seams/test_http2_portions.py": {"of": "a handler that no engine of ours began"},
    "unit/cli/test_ps_stop.py": {"prose_columns": "a terminal of some width"},
    "unit/recorder/test_indexer.py": {
        "_parse_event": "an event that no writer of ours writes",
        "?": "a mistake of ours in feed, or in feed_whole",
        "add_head": "a mistake of ours",
    },
    "unit/tui/screens/test_main.py": {"start": "a capture that takes long to read; called"},
    "unit/tui/dialogs/test_configuration.py": {"prove": "nginx, which not every machine has"},
    "unit/tui/dialogs/test_dialogs.py": {"ago": "a time in a picture", "ask": "an engine that never answers"},
    "unit/tui/screens/test_faults.py": {"ago": "a time in a picture"},
    "unit/tui/screens/test_timeline.py": {"_story": "counted, and called"},
    "unit/tui/test_start.py": {
        "watch": "a mistake of ours, or a signal, at that moment",
        "get_default_screen": "a signal at that moment; called",
        "_is_terminal_gone": "pytest has no terminal",
    },
}
#: Where a test, or what has no peers, sleeps outside of a loop that looks for something, and why.
SLEEPS = {
    "integration/test_recorder_process.py": "a kill at a moment by chance; an idle process is watched",
    "integration/test_scale_connections.py": "nothing may be said for a time",
    "property/test_replay_hostile.py": "a server that closes late",
    "unit/proxy/test_lag.py": "a late timer is what is measured",
    "unit/proxy/test_scripts.py": "a hook that takes its time is what is tested",
    "unit/proxy/test_memory.py": "a timer of no time, which may not act",
}


def dotted(node: ast.AST) -> str:
    """`a.b.c`; empty for anything else than names."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (of := dotted(node.value)):
        return f"{of}.{node.attr}"
    return ""


def imported(nodes: list[ast.AST]) -> dict[str, str]:
    """Each name that a file imports, with the whole name of what it stands for."""
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            for one in node.names:
                names[one.asname or one.name.partition(".")[0]] = (
                    one.name if one.asname else one.name.partition(".")[0]
                )
    return names


def resolve(name: str) -> Any:
    """The object of a whole name: a module, or a part of one. None where there is none."""
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError):
        return None


def is_code(thing: Any) -> bool:
    """Whether it is a function or a class of the program, and not of a library that it uses."""
    is_some = inspect.isroutine(thing) or inspect.isclass(thing)
    return is_some and str(getattr(thing, "__module__", "")).startswith("wsinspect")


@cache
def definitions() -> str:
    """The source of the whole program."""
    return "\n".join(path.read_text("utf-8") for path in sorted(sources.PACKAGE.rglob("*.py")))


def replacements(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """Line and name of every part of ours that a file replaces.

    By `monkeypatch.setattr`, `setattr`, `mock.patch` or an assignment to what was imported. Of an object
    whose class the source does not tell, a method by a name that the program has.
    """
    names = imported(nodes)
    for node in nodes:
        if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in (
            "setattr",
            "patch",
            "object",
        ):
            if len(node.args) < 2 or dotted(node.func) == "object.__setattr__":
                continue
            if isinstance(node.args[0], ast.Constant):
                whole = str(node.args[0].value)
            elif len(node.args) > 2:
                of = dotted(node.args[0])
                first, _, rest = of.partition(".")
                known = names.get(first)
                name = str(node.args[1].value) if isinstance(node.args[1], ast.Constant) else "?"
                if not known:
                    if of != "self" and f"def {name}(" in definitions():
                        yield node.lineno, name
                    continue
                whole = ".".join(filter(None, (known, rest, name)))
            else:
                continue
            if whole.startswith("wsinspect") and (whole.endswith("?") or is_code(resolve(whole))):
                yield node.lineno, whole.rpartition(".")[2]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                first, _, rest = dotted(target).partition(".")
                if (
                    rest
                    and names.get(first, "").startswith("wsinspect")
                    and is_code(resolve(f"{names[first]}.{rest}"))
                ):
                    yield node.lineno, rest.rpartition(".")[2]


def sleeps(tree: ast.AST, *, is_whole_file: bool) -> Iterator[int]:
    """Lines where a test sleeps for a time and looks for nothing.

    Args:
        is_whole_file: every function is judged, not the tests alone: there are no peers in it, whose
            silences are what is tested.
    """
    judged: list[tuple[ast.AST, bool]] = [(tree, False)]
    while judged:
        node, is_test = judged.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.While | ast.For | ast.AsyncFor):
                continue
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                judged.append((child, child.name.startswith("test_")))
                continue
            judged.append((child, is_test))
            if isinstance(child, ast.Call) and dotted(child.func).rpartition(".")[2] == "sleep":
                is_none = (
                    len(child.args) == 1
                    and isinstance(child.args[0], ast.Constant)
                    and not child.args[0].value
                )
                if not is_none and (is_test or is_whole_file):
                    yield child.lineno


def files(*folders: str) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted((TESTS / folder).rglob("*.py"))
        if "node" not in path.parts
    ]


def test_what_is_replaced_has_its_reason() -> None:
    words = rb"setattr\(|\bpatch\b|^[ \t]*\w+\.[\w.]+(: [^=\n]+)? = "
    found: dict[str, dict[str, str]] = {}
    for path in sources.suspects(
        b"(?m)" + words, files("unit", "property", "playbook", "integration", "e2e", "support")
    ):
        for line, name in replacements(sources.nodes(path)):
            place = path.relative_to(TESTS).as_posix()
            if name not in REPLACED.get(place, {}):
                found.setdefault(place, {})[name] = (
                    f"line {line}: real parts are tested; else say in REPLACED why not"
                )
    assert found == {}


def test_each_reason_is_needed() -> None:
    for place, names in REPLACED.items():
        assert {name for _, name in replacements(sources.nodes(TESTS / place))} == set(names), place
    assert [place for place in SLEEPS if not list(sleeps_in(TESTS / place))] == []


def sleeps_in(path: Path) -> Iterator[int]:
    has_peers = path.relative_to(TESTS).parts[0] in ("integration", "e2e")
    return sleeps(ast.parse(sources.source(path)), is_whole_file=not has_peers)


def test_no_test_sleeps_where_it_can_wait_for_a_fact() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}: wait for what shows it; else say in SLEEPS why not"
        for path in sources.suspects(
            rb"\bsleep\(", files("unit", "property", "playbook", "integration", "e2e")
        )
        if path.relative_to(TESTS).as_posix() not in SLEEPS
        for line in sleeps_in(path)
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "from wsinspect import net\nmonkeypatch.setattr(net, 'url_of', print)",
        "from wsinspect import net as n\nwith m.context() as patch: patch.setattr(n, 'url_of', print)",
        "monkeypatch.setattr('wsinspect.net.url_of', print)",
        "import wsinspect.net\nsetattr(wsinspect.net, 'url_of', print)",
        "import wsinspect.net\nwsinspect.net.url_of = print",
        "from unittest import mock\nmock.patch('wsinspect.net.url_of', print)",
        "from wsinspect.net import Address\nmock.patch.object(Address, '__str__', print)",
        "def test(screen): monkeypatch.setattr(screen.app, 'watch', print)",
    ],
)
def test_a_replaced_part_is_found(source: str) -> None:
    assert list(replacements(list(ast.walk(ast.parse(source)))))


@pytest.mark.parametrize(
    "source",
    [
        "import os\nmonkeypatch.setattr(os, 'writev', print)",
        "from wsinspect.wire import stream\nmonkeypatch.setattr(stream, 'REREAD_LIMIT', 0)",
        "def test(self): setattr(self, 'name', 1)",
    ],
)
def test_a_limit_and_a_part_of_the_system_are_not(source: str) -> None:
    assert not list(replacements(list(ast.walk(ast.parse(source)))))


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("def test_it():\n    time.sleep(0.1)", True),
        ("from time import sleep\n\ndef test_it():\n    sleep(wait)", True),
        ("async def test_it():\n    await asyncio.sleep(0)", False),
        ("def test_it():\n    while not there():\n        time.sleep(0.1)", False),
        ("async def test_it():\n    async def peer():\n        await asyncio.sleep(2)", False),
    ],
)
def test_a_sleep_is_found(source: str, is_found: bool) -> None:
    assert bool(list(sleeps(ast.parse(source), is_whole_file=False))) is is_found
