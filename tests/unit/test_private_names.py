"""Private names of other libraries stand in wsinspect/proxy/seams/ alone, where a check at start covers each.

Four ways to lean on one are looked for: to import a private module or name, to read `other._name`, to ask for
it by name (`getattr`), and to override a private method of a foreign class.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import mitmproxy

from tests.support.sources import nodes as nodes_of
from tests.support.sources import source
from wsinspect.proxy.seams.__main__ import LEANS_ON, differences

PACKAGE = Path(__file__).resolve().parents[2] / "wsinspect"
SEAMS = PACKAGE / "proxy" / "seams"
#: Modules that may read some, each with its reason.
ALLOWED: dict[str, set[str]] = {
    # Textual has no other place for what is printed once its screen is gone; its version is capped for it.
    "wsinspect/tui/app.py": {"_exit_renderables", "_next_view"},
}
#: Methods that may be overridden, each with its reason.
OVERRIDDEN = {
    # Textual prints an exception with local variables, in which a peer's bytes are; nothing else stops it.
    "InspectApp._handle_exception",
    # Textual begins again at each SIGCONT, also while it ends.
    "TerminalDriver._sigcont_application",
}
#: What an extra brings, which not every Python has.
OPTIONAL = {"mcp"}
#: Names of the type checker's, of what has no public one: the objects that `zlib.compressobj()` makes.
TYPES = {"_Compress", "_Decompress"}
#: The standard library documents these, underscore or not.
DOCUMENTED = {"_exit", "_replace", "_asdict", "_fields", "_make", "_field_defaults", "_missing_", "_MEIPASS"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def sources() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if SEAMS not in path.parents:
            yield path.relative_to(PACKAGE.parent).as_posix(), path


#: A private name that is read of something.
_READ = re.compile(rb"\.(_(?!_)\w+)")
#: One that a file gives to something: a bare name, which is the file's own or imported; one in `__slots__`; a
#: part of `self`.
_GIVEN = re.compile(rb"(?<![\w.`])(_(?!_)\w+)|\b(?:self|cls)\.(_(?!_)\w+)(?=(?:, [\w.]+)*(?::[^=\n]*)? = )")
_QUOTED = re.compile(rb"""["']_(?!_)\w+["']""")
_SLOTS = re.compile(rb"__slots__[^=\n]*= \([^)]*\)")
#: One that is asked for by name.
_BY_NAME = re.compile(
    rb"""\b(?:[gs]etattr|hasattr|delattr|attrgetter|methodcaller)\([^\n]*?["'](_(?!_)\w+)["']"""
)
_ASKING = {"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller"}
#: A name that is put together or kept in a variable, and an object's own table of names.
_ASKED_LATER = re.compile(
    rb"""\b(?:[gs]etattr|hasattr|delattr)\((?![^,()]*, ["'])|\b(?:attrgetter|methodcaller)\((?!["'])"""
    rb"""|\b(?:[gs]etattr|hasattr|delattr)\([^,()]*, f?["'][^"']*["'] ?[+%]|, f["']_|\bvars\(|\b__dict__\b"""
)
_IMPORTED = re.compile(rb"^[ \t]*(?:from|import)\b.*\b_(?!_)\w", re.M)


@cache
def defined_in(path: Path) -> frozenset[str]:
    """The private names that a file gives to things of its own."""
    text = source(path)
    given = _GIVEN.findall(_QUOTED.sub(b"", text)) + _GIVEN.findall(b"".join(_SLOTS.findall(text)))
    return frozenset((one or other).decode() for one, other in given)


def is_plainly_its_own(path: Path) -> bool:
    """Whether a file reads only private names that it gives itself: it need not be parsed."""
    text = source(path)
    read = {one.decode() for one in (*_READ.findall(text), *_BY_NAME.findall(text))}
    return not (_IMPORTED.search(text) or _ASKED_LATER.search(text)) and read <= defined_in(path)


@cache
def known_to(path: Path) -> frozenset[str]:
    """Private names of the file and of every module of ours that it imports."""
    names = set(defined_in(path))
    for near in path.parent.glob("*.py"):
        names |= defined_in(near)  # parts of one class in several files of a package
    for node in nodes_of(path):
        modules = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wsinspect"):
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names if alias.name.startswith("wsinspect")]
        for module in modules:
            base = PACKAGE.parent.joinpath(*str(module).split("."))
            for found in (base.with_suffix(".py"), base / "__init__.py"):
                if found.is_file() and SEAMS not in found.parents:
                    names |= defined_in(found)
    return frozenset(names)


def texts(node: ast.AST) -> Iterator[str]:
    """All texts in an expression; those of a sum as one."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield "".join([*texts(node.left), *texts(node.right)])
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(text if (text := "".join(texts(one))) else "x" for one in node.values)
    else:
        for one in ast.iter_child_nodes(node):
            yield from texts(one)


@cache
def kept_in(path: Path) -> dict[str, list[str]]:
    """Each name that a file gives to texts, with them: `NAME = "_sock"`, `for name in ("_sock", "_ssl")`."""
    found: dict[str, list[str]] = {}
    for node in nodes_of(path):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            given, values = (node.targets if isinstance(node, ast.Assign) else [node.target]), node.value
        elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            given, values = [node.target], node.iter
        else:
            continue
        for name in (one.id for target in given for one in ast.walk(target) if isinstance(one, ast.Name)):
            found.setdefault(name, []).extend(texts(values))
    return found


def is_table(node: ast.Subscript | ast.Call) -> bool:
    """Whether an object's own table of names is asked: `vars(a)["_b"]`, `a.__dict__.get("_b")`."""
    of: ast.AST = node.value if isinstance(node, ast.Subscript) else node.func
    if isinstance(node, ast.Call):
        of = of.value if isinstance(of, ast.Attribute) else of
    if isinstance(of, ast.Call):
        return isinstance(of.func, ast.Name) and of.func.id == "vars"
    return isinstance(of, ast.Attribute) and of.attr == "__dict__"


def foreign_reads(path: Path) -> Iterator[str]:
    """`other._name` that no code of ours defines, and private parts of what is imported."""
    known = known_to(path) | DOCUMENTED | TYPES
    for node in nodes_of(path):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if node.attr not in known:
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif (
            isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in _ASKING
        ):
            asked = [text for one in node.args[-2:] for text in texts(one)]
            names = {one.id for one in node.args if isinstance(one, ast.Name)}
            asked += [text for name in names for text in kept_in(path).get(name, ())]
            yield from (f"{node.lineno}: .{one}" for one in asked if is_private(one) and one not in known)
        elif isinstance(node, ast.Subscript | ast.Call) and is_table(node):
            asked = list(texts(node.slice if isinstance(node, ast.Subscript) else node))
            yield from (f"{node.lineno}: .{one}" for one in asked if is_private(one) and one not in known)
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("wsinspect"):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            if any(is_private(part) for part in parts):
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Import) and any(
            is_private(part) for alias in node.names for part in alias.name.split(".")
        ):
            yield f"{node.lineno}: {ast.unparse(node)}"


def test_a_private_name_of_another_library_is_found(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(
        "from socket import _GLOBAL\n\n\nclass A:\n    def __init__(self, other):\n        self._own = 1\n"
        "        self._own = other._theirs + self._own + other.part._own\n        # `_theirs` is there\n"
    )
    assert not is_plainly_its_own(path)
    assert list(foreign_reads(path)) == ["1: from socket import _GLOBAL", "7: other._theirs"]
    for way in (
        "a._theirs",
        "getattr(a, '_theirs')",
        "operator.attrgetter('_theirs')(a)",
        "hasattr(a.b(), '_theirs')",
        "getattr(a, '_' + 'theirs')",
        "getattr(a, f'_{\"theirs\"}', None)",
        "getattr(a, NAME)",
        "[getattr(a, one) for one in ('_theirs',)]",
        "vars(a)['_theirs']",
        "a.__dict__.get('_theirs')",
    ):
        path = tmp_path / f"other{len(list(tmp_path.iterdir()))}.py"  # what was read of a file is kept
        path.write_text(f"def f(a):\n    return {way}\n\n\nNAME = '_theirs'\n")
        assert not is_plainly_its_own(path)
        assert list(foreign_reads(path)) in (["2: a._theirs"], ["2: ._theirs"])


def test_no_private_name_of_another_library_is_read():
    found = {
        name: reads
        for name, path in sources()
        if not is_plainly_its_own(path)
        and (
            reads := [
                read for read in foreign_reads(path) if read.rpartition(".")[2] not in ALLOWED.get(name, ())
            ]
        )
    }
    assert found == {}


def overrides(module: str) -> Iterator[str]:
    """Private methods in a module's classes that a base class of elsewhere has, too."""
    try:
        members = vars(importlib.import_module(module))
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] in OPTIONAL:
            return
        raise
    for cls in members.values():
        if not inspect.isclass(cls) or cls.__module__ != module:
            continue
        foreign = [
            one for one in cls.__mro__[1:] if one.__module__.partition(".")[0] not in ("wsinspect", "enum")
        ]
        for name, value in vars(cls).items():
            if not is_private(name) or not inspect.isfunction(value):
                continue
            for base in foreign:
                stock = vars(base).get(name)
                if inspect.isfunction(stock) and not getattr(stock, "__isabstractmethod__", False):
                    yield f"{cls.__name__}.{name} overrides {base.__module__}.{base.__name__}"


def test_no_private_method_of_another_library_is_overridden():
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name, _ in sources()
        if not name.endswith("__main__.py")
    ]
    found = [one for module in modules for one in overrides(module)]
    assert [one for one in found if one.partition(" ")[0] not in OVERRIDDEN] == []
    assert {one.partition(" ")[0] for one in found} == OVERRIDDEN


def test_every_private_name_that_a_seam_reads_is_checked_at_start():
    """`seams/check.py` names it, so an engine does not start where it is missing."""
    checked = (SEAMS / "check.py").read_text()
    for path in sorted(SEAMS.glob("*.py")):
        if path.name not in ("check.py", "__main__.py"):
            names = {read.rpartition(".")[2] for read in foreign_reads(path) if " import " not in read}
            missing = {name for name in names if name not in checked}
            assert missing == set(), path.name


def test_the_command_for_a_new_mitmproxy_says_what_changed(tmp_path):
    """Against a copy with another line that line's function, and nothing of what is the same."""
    installed = Path(mitmproxy.__file__).parents[1]
    for file in LEANS_ON:
        copied = tmp_path / file
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes((installed / file).read_bytes())
    layer = tmp_path / "mitmproxy/proxy/tunnel.py"
    layer.write_text(layer.read_text().replace("def receive_close(self)", "def receive_close(self, extra)"))
    (tmp_path / "mitmproxy/new.py").write_text(
        "def load(loader):\n    loader.add_option('sign_it', bool, False, '')\n"
    )
    (tmp_path / "mitmproxy/proxy/layers/tcp.py").unlink()
    assert list(differences(installed, tmp_path)) == [
        "mitmproxy/proxy/layers/tcp.py: TCPLayer is gone",
        "mitmproxy/proxy/tunnel.py: TunnelLayer.receive_close is changed",
        "option sign_it is new: read what it does before it can be given with --set",
    ]
