"""How the house is built: rules that no linter has.

Import directions and circles are contracts in pyproject.toml; test_import_hygiene.py looks at what is loaded,
test_private_names.py at other libraries' private names, test_layout.py at where tests live, test_doubles.py
at what they replace, test_words.py at the language, test_quantities.py at sizes and durations.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sources import nodes, suspects

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "wsinspect"
SOURCES = sorted(PACKAGE.rglob("*.py"))
#: What had names that said nothing; each with what it is called today.
OLD_NAMES = {
    **{"wishes": "requests", "Deaf": "what it does with the socket", "Hearer": "the same", "Ear": "the same"},
    **{"FaultDesk": "FaultController", "visits": "attempt_faults"},
    **{"surrender": "give_up", "spoiled": "the state", "condemned": "the state", "choked": "the state"},
    **{"is_lucky": "is_chosen", "BREATH_SECONDS": "what it waits for", "is_told": "is_reported"},
    **{"js_told": "js_sees", "JS_TOLD": "JS_SEE_EVIDENCE", "BarHints": "Words", "OwnEngine": "EngineChild"},
    **{"EngineProcess": "EngineChild", "Mixin": "a part that is held, not inherited"},
}
UNFINISHED = ("NotImplementedError",)
#: Names under which the parts of the program are passed on: each has a type.
PARTS = re.compile(
    r"(app|screen|page|pane|workspace|selection|model|engine|relay|link|board|controller|capture)s?"
)


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def name_of(node: ast.AST | None) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a body is only `...` or `pass`, or only raises NotImplementedError.

    One that has only a docstring is not: it says why nothing is to be done.
    """
    body = [one for one in function.body if not (isinstance(one, ast.Expr) and is_text(one.value))]
    if len(body) != 1:
        return False
    (only,) = body
    if isinstance(only, ast.Raise):
        raised = only.exc.func if isinstance(only.exc, ast.Call) else only.exc
        return name_of(raised) == "NotImplementedError"
    if isinstance(only, ast.Pass):
        return True
    return isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant) and only.value.value is ...


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def stubs(path: Path) -> Iterator[str]:
    """Stubs outside of protocols and overloads, where `...` is how they are written."""
    protocols = {
        id(one)
        for node in nodes(path)
        if isinstance(node, ast.ClassDef) and any(name_of(base) == "Protocol" for base in node.bases)
        for one in node.body
    }
    for node in nodes(path):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or id(node) in protocols:
            continue
        if is_stub(node) and not {name_of(mark) for mark in node.decorator_list} & {
            "overload",
            "abstractmethod",
        }:
            yield place(path, node)


def test_nothing_is_unfinished() -> None:
    marks = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b|[\"'](not (yet )?implemented|TODO)\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: finish it, or leave it out"
        for path in suspects(rb"(?i)todo|fixme|xxx|hack|implemented", SOURCES)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if marks.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "def f(): raise NotImplementedError",
        "def f(): raise NotImplementedError('later')",
        "def f(): ...",
        "def f():\n    'Some words.'\n    pass",
        "class A:\n    async def f(self): pass",
        "def f():\n    def g(): ...\n    return g",
    ],
)
def test_a_stub_is_found(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "some.py"
    path.write_text(source)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert len(list(stubs(path))) == 1


def test_nothing_is_a_stub() -> None:
    unfinished = list(suspects(rb"NotImplementedError", SOURCES))
    assert [place(path, n) for path in unfinished for n in nodes(path) if name_of(n) in UNFINISHED] == []
    assert [
        found
        for path in suspects(rb"(?m)(^|:)[ \t]*(\.\.\.|pass)(?=[ \t]*(?:#.*)?$)", SOURCES)
        for found in stubs(path)
    ] == []


#: Who starts processes that live on after the call, and what.
STARTERS = {
    "launch/child.py": "the engine, for every command that has one",
    "launch/checking.py": "the client of `check`",
    "launch/browser/session.py": "a browser",
    "launch/telemetry.py": "what sends spans to an OpenTelemetry collector",
    "launch/browser/visiting.py": "a browser that visits one page",
    "proxy/recording.py": "the engine's recorder",
    "testing/forking.py": "the process that forks engines for tests",
    "doctor/proof/programs.py": "a hop's own program, for as long as it is tried",
}
STARTING = {
    *(
        "Popen",
        "popen",
        "create_subprocess_exec",
        "create_subprocess_shell",
        "subprocess_exec",
        "subprocess_shell",
    ),
    *("fork", "forkpty", "system", "posix_spawn", "posix_spawnp", "Process", "ProcessPoolExecutor"),
    *(f"spawn{how}" for how in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
}
_OF_LIBRARIES = {"subprocess", "os", "pty", "asyncio", "multiprocessing", "futures"}


def starts_something(nodes: list[ast.AST]) -> bool:
    """Whether what starts a process is called, imported by its name, or given to a variable or a call."""
    types = {id(node.value) for node in nodes if isinstance(node, ast.Subscript)}  # `Popen[bytes]`
    others = _OF_LIBRARIES | {
        one.asname
        for node in nodes
        if isinstance(node, ast.Import)
        for one in node.names
        if one.asname and one.name.partition(".")[0] in _OF_LIBRARIES | {"concurrent"}
    }
    for node in nodes:
        if isinstance(node, ast.Call) and name_of(node.func) in STARTING - {"fork"}:
            return True
        if isinstance(node, ast.ImportFrom) and {one.name for one in node.names} & STARTING:
            return True
        is_other = isinstance(node, ast.Attribute) and name_of(node.value) in others
        if is_other and name_of(node) in STARTING and id(node) not in types:
            return True
    return False


def test_few_places_start_processes_and_one_starts_engines() -> None:
    words = rb"\b(%b)\b" % "|".join(sorted(STARTING)).encode()
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in suspects(words, SOURCES)
        if starts_something(nodes(path))
    }
    assert found == set(STARTERS), "an engine is started by launch/child.py"


@pytest.mark.parametrize(
    "source",
    [
        "subprocess.Popen(['x'])",
        "from subprocess import Popen as Start\nStart(['x'])",
        "start = subprocess.Popen\nstart(['x'])",
        "import subprocess as s\nstart = s.Popen",
        "partial(subprocess.Popen, ['x'])",
        "os.spawnv(0, 'x', [])",
        "os.fork()",
        "loop.subprocess_exec(object, 'x')",
        "multiprocessing.Process(target=print).start()",
    ],
)
def test_what_starts_a_process_is_found(source: str) -> None:
    assert starts_something(list(ast.walk(ast.parse(source))))


def test_a_type_and_a_run_to_its_end_start_nothing_that_lives_on() -> None:
    source = "def f(one: subprocess.Popen[bytes]) -> None:\n    subprocess.run(['x'])\n    context.fork()\n"
    assert not starts_something(list(ast.walk(ast.parse(source))))


def test_type_checking_imports_and_defines_nothing() -> None:
    """A base class, an attribute or a function that only mypy sees is a mixin to please it."""
    found = []
    for path in suspects(rb"TYPE_CHECKING", SOURCES):
        for node in nodes(path):
            if isinstance(node, ast.If) and name_of(node.test) == "TYPE_CHECKING":
                # `if sys.version_info` around imports is one, too.
                inner = [one for one in node.body if not isinstance(one, ast.Import | ast.ImportFrom)]
                found += [place(path, one) for one in inner] + [place(path, one) for one in node.orelse]
    assert found == []


def reaches_up(node: ast.expr) -> bool:
    """`a.__mro__`, `a.mro()`, `a.__bases__`, `inspect.getmro(a)`."""
    of = node.func if isinstance(node, ast.Call) else node
    return name_of(of) in ("__mro__", "mro", "getmro", "__bases__")


def test_nobody_reaches_for_a_class_by_its_place_in_the_mro() -> None:
    found = [
        place(path, node)
        for path in suspects(rb"mro(__)?\b|__bases__", SOURCES)
        for node in nodes(path)
        if isinstance(node, ast.Subscript) and reaches_up(node.value)
    ]
    assert found == []


def annotated(path: Path) -> Iterator[tuple[ast.AST, str, ast.expr]]:
    """Each name with its annotation."""
    for node in nodes(path):
        if isinstance(node, ast.arg) and node.annotation is not None:
            yield node, node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign):
            yield node, name_of(node.target), node.annotation


def is_any(annotation: ast.expr | None) -> bool:
    """Whether it is `Any`, or that or something else."""
    if isinstance(annotation, ast.BinOp):
        return is_any(annotation.left) or is_any(annotation.right)
    if isinstance(annotation, ast.Subscript) and name_of(annotation.value) in ("Optional", "Union"):
        inner = annotation.slice
        return any(map(is_any, inner.elts)) if isinstance(inner, ast.Tuple) else is_any(inner)
    return name_of(annotation) == "Any"


def test_no_part_of_the_program_is_any() -> None:
    found = [
        f"{place(path, node)} {name}"
        for path in suspects(rb"\b_*%b: [^,=\n]*\bAny\b" % PARTS.pattern.encode(), SOURCES)
        for node, name, annotation in annotated(path)
        if is_any(annotation) and PARTS.fullmatch(name.strip("_"))
    ]
    assert found == []


def test_names_that_said_nothing_stay_away() -> None:
    words = re.compile(rf"\b({'|'.join(OLD_NAMES)}|(?<=class )\w+Mixin)\b")
    found = [
        f"{path.relative_to(ROOT)}: {name} (today {OLD_NAMES.get(name, OLD_NAMES['Mixin'])})"
        for path in SOURCES
        for name in words.findall(path.read_text("utf-8"))
    ]
    assert found == []
    assert not [path for path in SOURCES if path.stem in OLD_NAMES]


def test_a_document_that_is_named_is_there() -> None:
    """In comments, docstrings and messages: `docs/replay.md`, `test_live.py`, `capture-format.md`."""
    known = {path.name for path in ROOT.glob("*.md")} | {path.name for path in (ROOT / "docs").glob("*")}
    known.add("SKILL.md")  # it lies where agents are told to look
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*SOURCES, *(ROOT / "addons").glob("*.py"), *(ROOT / "docs").glob("*.md")]
        for name in re.findall(r"(?<![\w/])(?:docs/)?[\w-]+\.md\b", path.read_text("utf-8"))
        if name.removeprefix("docs/") not in known
    ]
    assert missing == []


@pytest.mark.parametrize(
    "name", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", "Makefile", ".ci/run"]
)
def test_those_who_carry_on_find(name: str) -> None:
    assert (ROOT / name).read_text("utf-8").strip()


def test_the_workflow_runs_the_same_check_on_every_python() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    assert all(f"3.{minor}" in workflow for minor in range(11, 15))
    assert ".ci/run" in workflow


# docs/architecture.md


def table() -> dict[str, str]:
    """Its packages and modules, with what each does."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows: dict[str, str] = {}
    for names, what in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|$", page, re.M):
        rows |= dict.fromkeys(re.findall(r"`([\w/]+)`", names), what)
    return rows


def test_the_architecture_has_a_row_for_every_package_and_no_other() -> None:
    packages = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    rows = {name for name in table() if not name.startswith("tests/")}
    assert rows == packages | modules


def test_the_architecture_names_files_that_are_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.(?:py|md|toml|yml)|(?:tests|docs)/[\w/]+)`", page))
    assert len(named) > 10
    there = [
        f"/{path.relative_to(ROOT).as_posix()}" for path in [*SOURCES, *(ROOT / "tests").rglob("test_*.py")]
    ]
    assert {
        name
        for name in named
        if not (ROOT / name).exists() and not any(path.endswith(f"/{name}") for path in there)
    } == set()


def test_the_architecture_is_read_in_five_minutes() -> None:
    """At 300 words a minute, tables and diagrams looked over."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    prose = [line for line in page.splitlines() if line and not line.startswith(("|", "#", "```", " "))]
    assert sum(len(line.split()) for line in prose) < 1500
