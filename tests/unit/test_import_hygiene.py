"""The direction of imports as it happens: what the static contracts in pyproject.toml cannot see.

A deferred import is in no static graph's way, and a sans-I/O package that is clean itself may still pull in
an event loop by what it imports. So modules are imported in fresh interpreters, and every import statement is
read.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import sources
from tests.support.chats import chat_capture
from tests.support.sql_guard import SqlElsewhereError
from wsinspect.capture import schema
from wsinspect.capture.reader import Capture
from wsinspect.cli.main import COMMANDS
from wsinspect.vocabulary import EventKind

PACKAGE = Path(__file__).resolve().parents[2] / "wsinspect"
SANS_IO = [
    name
    for name in ("wire", "handshake", "decoders", "filters", "faults", "findings", "clients")
    if (PACKAGE / name).is_dir()
]
# What does I/O, keeps time, draws random numbers or starts something.
IMPURE = {
    "asyncio",
    "threading",
    "multiprocessing",
    "concurrent",
    "socket",
    "ssl",
    "select",
    "selectors",
    "subprocess",
}
IMPURE |= {
    "time",
    "random",
    "secrets",
    "sqlite3",
    "tempfile",
    "signal",
    "logging",
    "mitmproxy",
    "click",
    "textual",
}
#: Of tornado it is a compiled function, without the event loop around it.
THIRD_PARTY = {"wire": {"wsproto", "tornado"}, "handshake": {"h11", "brotli", "backports", "compression"}}


def modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every module below a folder of the package: dotted name and path."""
    for path in sorted(folder.rglob("*.py")):
        parts = ["wsinspect", *path.relative_to(PACKAGE).with_suffix("").parts]
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported_by(path: Path) -> set[str]:
    """The top-level names that a file imports, at its top or in a function."""
    return {name.partition(".")[0] for name in sources.imports(path)}


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running `code`."""
    return {name.partition(".")[0] for name in every_module_after(code)}


@functools.cache
def every_module_after(code: str) -> set[str]:
    """All modules that a fresh interpreter has loaded after running `code`."""
    report = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("package", SANS_IO)
def test_a_sans_io_package_imports_nothing_impure_anywhere(package):
    for name, path in modules(PACKAGE / package):
        assert not imported_by(path) & IMPURE, name


#: What would make an answer depend on more than what was given: files, clocks, chance, the environment.
OUTSIDE = {
    *("open", "now", "utcnow", "today", "urandom", "getrandbits", "getenv", "environ", "uuid1", "uuid4"),
    *("cwd", "getcwd", "home", "expanduser", "gethostname", "getpid", "input", "print"),
}
#: Modules of these packages that read files given by name, or write a page of the documentation.
READERS = {
    "faults/documents.py": "a scenario file, with the place of each value",
    "filters/documentation.py": "docs/filters.md",
}


def test_what_is_sans_io_asks_for_nothing_that_it_was_not_given():
    words = rb"\b(%b)\b" % b"|".join(sorted(word.encode() for word in OUTSIDE))
    found: dict[str, list[str]] = {}
    for package in SANS_IO:
        for path in sources.suspects(words, [path for _, path in modules(PACKAGE / package)]):
            for node in sources.nodes(path):
                called = node.func if isinstance(node, ast.Call) else None
                name = getattr(called, "attr", None) or getattr(called, "id", None)
                if isinstance(node, ast.Attribute) and node.attr == "environ":
                    name = node.attr
                if name in OUTSIDE:
                    found.setdefault(path.relative_to(PACKAGE).as_posix(), []).append(str(name))
    assert {name: found[name] for name in found.keys() - READERS.keys()} == {}
    assert READERS.keys() <= found.keys(), "a reason that is needed no longer"


@pytest.mark.parametrize("package", [name for name in SANS_IO if name in THIRD_PARTY])
def test_a_sans_io_package_imports_its_own_third_party_parser_alone(package):
    allowed = sys.stdlib_module_names | {"wsinspect"} | THIRD_PARTY[package]
    for name, path in modules(PACKAGE / package):
        assert imported_by(path) <= allowed, name


@pytest.mark.parametrize("package", SANS_IO)
def test_a_sans_io_package_loads_no_event_loop_and_no_sockets(package):
    imports = "\n".join(f"import {name}" for name, _ in modules(PACKAGE / package))
    loaded = loaded_after(imports) - loaded_after("import h11, wsproto.frame_protocol, wsproto.extensions")
    assert not loaded & {"asyncio", "socket", "ssl", "selectors", "sqlite3", "mitmproxy", "click", "textual"}


#: Modules of doctor/ that do I/O or read a clock; all others are asked with values.
DOCTORS_IO = {
    "asker": "asks",
    "certificates": "the paths where OpenSSL looks for authorities",
    "examination": "how long it took",
    "holder": "holds connections",
    "lateness": "a timer that measures how late it runs",
    "tls_refusal": "asks what TLS a server would take",
    "proof.application": "the server behind a hop that is tried",
    "proof.programs": "the hop's own program",
    "proof.proving": "asks that hop",
}


def test_in_the_doctor_few_modules_do_io():
    """The contract in pyproject.toml names modules that must not; a new one is in neither list."""
    found = {
        name.removeprefix("wsinspect.doctor.")
        for name, path in modules(PACKAGE / "doctor")
        if imported_by(path) & (IMPURE - {"tempfile", "signal", "logging"})
    }
    assert found == set(DOCTORS_IO)


def test_reading_a_capture_loads_nothing_that_writes_one():
    loaded = every_module_after("import wsinspect.capture.reader")
    ours = {name for name in loaded if name.startswith("wsinspect.")}
    assert not {name for name in ours if name.startswith(("wsinspect.recorder", "wsinspect.diagnosis"))}
    assert "wsinspect.journal.writer" not in ours
    assert len(ours) < 16, sorted(ours)


#: Statements of SQL; words of it in a sentence are not followed like this.
SQL = re.compile(
    r"\s*(SELECT ([\w(*']|$)|(INSERT|REPLACE) (OR \w+ )?INTO |UPDATE \w+ SET |DELETE FROM |PRAGMA \w|ATTACH "
    r"|VACUUM|CREATE (TEMP )?(TABLE|INDEX|VIEW|TRIGGER) |DROP TABLE |BEGIN IMMEDIATE"
    r"|WITH (RECURSIVE )?\w+.* AS \("
    r"|select [\w(*'][^.;]* from [a-z_]+( |;|$)|(insert|replace) into |update \w+ set |delete from "
    r"|with \w+ as \(|pragma \w+[ =(])"
)
TABLES = "|".join(re.findall(r"^CREATE TABLE ([a-z_]+)", schema.TABLES, re.M))
#: A part of one, wherever it stands: no sentence has these words in capitals.
PART_OF_SQL = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE|TABLE) ({TABLES})\b|\bIS (NOT )?NULL\b|\bORDER BY [a-z]")
#: What runs one.
RUNNING_SQL = {"execute", "executemany", "executescript", "blobopen"}
#: What hands rows out, asked with a statement: `Capture.query`, `Capture.page`.
ASKING = {"query", "_query", "page"}
#: Textual's `query` of widgets: a class, or a selector.
WIDGETS = re.compile(r"[A-Z][a-z]\w*|[#*.].*")


def name_of(node: ast.AST | None) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def asked_for_rows(nodes: list[ast.AST]) -> Iterator[ast.Call]:
    """Calls of what asks a capture: its methods, parameters of type `Query`, and other names for them."""
    called: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.arg) and name_of(node.annotation) == "Query":
            called.add(node.arg)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and asks(node.value, called):
            called |= {
                name_of(one) for one in (node.targets if isinstance(node, ast.Assign) else [node.target])
            }
    for node in nodes:
        if isinstance(node, ast.Call) and not is_for_widgets(node):
            by_name = {one.value for one in node.args if isinstance(one, ast.Constant)} & ASKING
            is_passed = bool(node.args) and asks(node.args[0], called)
            how = name_of(node.func)
            if (
                asks(node.func, called)
                or (by_name and how in ("getattr", "methodcaller"))
                or (is_passed and how in ("map", "partial"))
            ):
                yield node


def asks(node: ast.AST | None, called: set[str]) -> bool:
    return name_of(node) in called or (isinstance(node, ast.Attribute) and node.attr in ASKING)


def is_for_widgets(call: ast.Call) -> bool:
    said = call.args[0] if len(call.args) == 1 else None
    text = said.value if isinstance(said, ast.Constant) else name_of(said)
    return isinstance(text, str) and WIDGETS.fullmatch(text) is not None


def is_sql(text: str) -> bool:
    return bool(SQL.match(text) or PART_OF_SQL.search(text))


def sql_outside(nodes: list[ast.AST]) -> Iterator[str]:
    """What a file has that runs statements, or is one."""
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(one.value) if isinstance(one, ast.Constant) else "x" for one in node.values)
            if is_sql(text):
                yield f"{node.lineno}: {text}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if is_sql(node.value) or node.value in RUNNING_SQL:
                yield f"{node.lineno}: {node.value}"
        elif isinstance(node, ast.Attribute) and node.attr in RUNNING_SQL:
            yield f"{node.lineno}: {node.attr}"


def test_sql_stands_in_the_package_of_the_capture_alone():
    words = rb"\b(SELECT|INSERT|REPLACE|UPDATE|DELETE|PRAGMA|ATTACH|VACUUM|CREATE|DROP|BEGIN|WITH|FROM|JOIN"
    words += rb"|INTO|TABLE|NULL|ORDER BY|execute\w*|blobopen|select\b[^\n]*\bfrom|(insert|replace) into"
    words += rb"|update \w+ set|delete from|with \w+ as|pragma)\b"
    named = {path: name for name, path in modules(PACKAGE) if not name.startswith("wsinspect.capture")}
    for path in sources.suspects(words, list(named)):
        assert list(sql_outside(sources.nodes(path))) == [], path


def test_no_data_file_has_a_statement():
    """A statement in a table of TOML would run from there."""
    files = [path for kind in ("toml", "yaml", "json") for path in PACKAGE.rglob(f"*.{kind}")]
    assert len(files) > 30
    found = {path.name: line for path in files for line in path.read_text("utf-8").split('"') if is_sql(line)}
    assert found == {}, "statements are written in wsinspect/capture/"


def test_nobody_else_asks_a_capture_with_a_statement():
    """Whoever needs rows calls a function of `capture/`, and hands it the capture's `query`."""
    words = rb"""\.(_?query|page)\b|\bQuery\b|["'](_?query|page)["']"""
    found = {
        path.relative_to(PACKAGE).as_posix(): [f"{path}:{node.lineno}" for node in calls]
        for path in sources.suspects(words, [path for _, path in modules(PACKAGE)])
        if PACKAGE / "capture" not in path.parents and (calls := list(asked_for_rows(sources.nodes(path))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "def f(capture, text): return capture.query(text)",
        "def f(capture, text): return capture.page(text, (), 0)",
        "def f(capture, text):\n    ask = capture.query\n    return ask(text)",
        "def f(ask: Query, text): return ask(text)",
        "def f(capture, text): return getattr(capture, 'query')(text)",
        "def f(capture, texts): return list(map(capture.query, texts))",
        "def f(capture, text): return partial(capture.query, text)()",
    ],
)
def test_a_statement_in_a_variable_is_found(source):
    assert list(asked_for_rows(list(ast.walk(ast.parse(source)))))


@pytest.mark.parametrize(
    "source",
    [
        "def f(database, text): return database.execute(text)",
        "def f(database, text):\n    run = database.execute\n    return run(text)",
        "def f(database, text): return getattr(database, 'execute')(text)",
        "TEXT = 'SELECT id FROM frame'",
        "def f(names): return f'SELECT {names} FROM frame'",
        "def f(table): return f'UPDATE {table} SET id = 1'",
        "def f(names): return 'SELECT ' + names + ' FROM frame'",
        "def f(names): return f'{names} FROM frame WHERE id = 1'",
        "TEXT = 'WITH ended AS (SELECT 1) SELECT * FROM ended'",
        "TEXT = 'replace into frame values (1)'",
        "COLUMN = 'payload IS NOT NULL'",
    ],
)
def test_what_runs_a_statement_is_found(source):
    assert list(sql_outside(list(ast.walk(ast.parse(source)))))


@pytest.mark.parametrize(
    "source",
    [
        "def f(capture, text): return capture.query(text)",
        "def f(capture, text): return (lambda ask: ask(text))(capture.query)",
        "def f(capture, text): return capture._database.execute(text).fetchall()",
        "def f(capture, text): return list(map(getattr(capture, 'que' + 'ry'), [text]))[0]",
        "def g(ask, sql): return ask(sql)\ndef f(capture, text): return g(capture.query, text)",
    ],
)
def test_a_statement_that_runs_is_asked_for_its_maker(tmp_path, source):
    """Whatever way it takes; where it was made in `capture/`, or in a test, nothing is said."""
    with Capture.open(chat_capture(tmp_path / "chat.db")) as capture:
        for folder, is_refused in (("diagnosis", True), ("capture", False)):
            names: dict[str, Any] = {}
            exec(compile(source, str(PACKAGE / folder / "made_up.py"), "exec"), names)
            if is_refused:
                with pytest.raises(SqlElsewhereError, match=r"diagnosis/made_up\.py:\d"):
                    names["f"](capture, "SELECT 1")
            else:
                assert names["f"](capture, "SELECT 1") == [(1,)]
        assert capture.query("SELECT 1") == [(1,)]


def test_sqlite_is_imported_where_captures_are_read_and_written():
    for name, path in modules(PACKAGE):
        if not name.startswith(("wsinspect.capture", "wsinspect.recorder")):
            assert "sqlite3" not in imported_by(path), name


def test_events_of_the_journal_are_records_and_not_literals():
    """mypy holds that a journal takes records; here, that nobody writes down the object of one elsewhere."""
    kinds = {str(kind) for kind in EventKind}
    writers = ("proxy", "faults", "formats", "journal", "capture", "replay", "launch")
    named = {path: name for name, path in modules(PACKAGE) if [*name.split("."), ""][1] in ("", *writers)}
    for path in sources.suspects(rb"""[{"']event["']:|\bevent=["']""", list(named)):
        name = named[path]
        for node in sources.nodes(path):
            said: list[ast.expr] = []
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                said = [
                    value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "event"
                ]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
                said = [one.value for one in node.keywords if one.arg == "event"]
            written = {one.value for one in said if isinstance(one, ast.Constant)}
            assert not written & kinds, (name, path)


#: Who imports or runs what it is given by name, and what that may be. Nothing in `lint-imports` sees it.
BY_NAME = {
    "cli/main.py": "the module of the command that is called",
    "findings/registry.py": "the rules, named in _MODULES",
    "launch/telemetry.py": "asks whether an extra is installed",
    "proxy/imports.py": "asks where mitmproxy is",
    "proxy/scripts.py": "the script of `run -s`",
    "testing/forking.py": "modules that were named on its command line, and wsinspect itself",
}


def test_few_places_import_by_name():
    """An import that no contract can read, in whichever way it is written."""
    words = rb"\b(import_module|__import__|find_spec|module_from_spec|exec_module|SourceFileLoader|runpy"
    words += rb"|zipimport|pkgutil|imp)\b|(?<![\w.])(exec|eval)\("
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in sources.suspects(words, [path for _, path in modules(PACKAGE)])
        if re.search(words, b"\n".join(line.partition(b"#")[0] for line in sources.source(path).splitlines()))
    }
    assert found == set(BY_NAME), "import it by a statement, or say here why not"


def test_mitmproxy_is_imported_where_it_may_be():
    for name, path in modules(PACKAGE):
        if not name.startswith(("wsinspect.proxy", "wsinspect.formats")):
            assert "mitmproxy" not in imported_by(path), name


def test_textual_is_imported_where_it_may_be():
    for name, path in modules(PACKAGE):
        if not name.startswith("wsinspect.tui"):
            assert not imported_by(path) & {"textual", "rich"}, name


def test_the_pytest_plugin_loads_nothing_of_wsinspect():
    """pytest imports it in every project of whoever has installed wsinspect."""
    loaded = every_module_after("import wsinspect.testing.plugin")
    ours = {name for name in loaded if name.partition(".")[0] == "wsinspect"}
    assert ours == {"wsinspect", "wsinspect.version", "wsinspect.testing", "wsinspect.testing.plugin"}


def test_the_command_line_loads_nothing_heavy():
    assert not loaded_after("import wsinspect.cli.main") & {
        "mitmproxy",
        "textual",
        "rich",
        "asyncio",
        "sqlite3",
    }


@pytest.mark.parametrize(
    "options",
    [
        ["--capture", __file__],
        ["--mode", "nonsense"],
        ["--tap", "a=0=http://x", "--tap", "a=0=http://y"],
        ["--fault", "nonsense"],
        ["--faults", f"{__file__}.none"],
    ],
    ids=lambda options: options[0],
)
def test_run_refuses_before_it_loads_the_engine(options):
    code = (
        "import contextlib, io\n"
        "from wsinspect.cli.main import main\n"
        "with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.suppress(SystemExit):\n"
        f"    main(['run', '--headless', '--capture', '/nowhere/x.db', *{options!r}])\n"
        "assert said.getvalue().startswith('wsinspect: '), said.getvalue()"
    )
    assert not every_module_after(code) & {"mitmproxy.master", "wsinspect.proxy.engine"}


def test_an_engine_imports_the_addons_that_it_uses_alone():
    loaded = loaded_after("import wsinspect.proxy.engine")
    assert "mitmproxy" in loaded
    assert not loaded & {"flask", "werkzeug", "jinja2", "ldap3"}


def test_all_addons_of_mitmproxy_are_still_there_for_who_asks():
    code = "import wsinspect.proxy.engine, mitmproxy.addons as all; assert len(all.default_addons()) > 20"
    assert "ldap3" in loaded_after(code)


@pytest.fixture(scope="module")
def loaded_by_help() -> dict[str, list[str]]:
    """Each command with what its `--help` loaded that the ones before it had not, in one interpreter."""
    code = (
        "import contextlib, io, json, sys\n"
        "from wsinspect.cli.main import COMMANDS, main\n"
        "found, seen = {}, set(sys.modules)\n"
        "for command in sorted(COMMANDS):\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        "        main([command, '--help'])\n"
        "    assert 'Usage' in out.getvalue()\n"
        "    found[command] = sorted(set(sys.modules) - seen)\n"
        "    seen |= set(sys.modules)\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_loads_neither_mitmproxy_nor_textual(loaded_by_help, command):
    loaded = {name.partition(".")[0] for name in loaded_by_help[command]}
    assert not loaded & {"mitmproxy", "mitmproxy_rs", "textual", "rich"}


def test_help_loads_few_modules():
    """What it costs is what it imports; a time would be the machine's, too."""
    code = (
        "import contextlib, io, sys\n"
        "sys.argv = ['wsinspect', 'show', '--help']\n"
        "from wsinspect.__main__ import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main()"
    )
    more = every_module_after(code) - every_module_after("import click, json, importlib.metadata")
    assert len(more) < 50, sorted(more)


def test_the_program_imports_next_to_nothing_before_it_takes_an_interrupt():
    """Until then Ctrl-C prints a traceback. An installer's script has loaded `re`, as good as all of it."""
    known = every_module_after("import re, signal")
    added = every_module_after("import re, signal, wsinspect.__main__") - known
    assert added <= {"__future__", "wsinspect", "wsinspect.version", "wsinspect.__main__"}
