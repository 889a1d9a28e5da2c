"""Private names of other libraries stand in wsinspect/proxy/seams/ alone, where a check at start covers each.

Three ways to lean on one are looked for: to import a private module or name, to read `other._name`, and to
override a private method of a foreign class.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import mitmproxy

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
}
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


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_bytes())))


@cache
def defined_in(path: Path) -> frozenset[str]:
    """The private names that a file gives to things of its own."""
    names: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            names.add(node.value)  # __slots__
    return frozenset(name for name in names if is_private(name))


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


def foreign_reads(path: Path) -> Iterator[str]:
    """`other._name` that no code of ours defines, and private parts of what is imported."""
    known = known_to(path) | DOCUMENTED | TYPES
    for node in nodes_of(path):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if node.attr not in known:
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("wsinspect"):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            if any(is_private(part) for part in parts):
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Import) and any(
            is_private(part) for alias in node.names for part in alias.name.split(".")
        ):
            yield f"{node.lineno}: {ast.unparse(node)}"


def test_no_private_name_of_another_library_is_read():
    found = {
        name: reads
        for name, path in sources()
        if (
            reads := [
                read for read in foreign_reads(path) if read.rpartition(".")[2] not in ALLOWED.get(name, ())
            ]
        )
    }
    assert found == {}


OVERRIDES = """
import importlib, inspect, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for cls in vars(module).values():
        if not inspect.isclass(cls) or cls.__module__ != name:
            continue
        ours = ("wsinspect", "enum")
        foreign = [base for base in cls.__mro__[1:] if base.__module__.partition(".")[0] not in ours]
        for attribute, value in vars(cls).items():
            if not attribute.startswith("_") or attribute.endswith("__") or not inspect.isfunction(value):
                continue
            for base in foreign:
                stock = vars(base).get(attribute)
                if inspect.isfunction(stock) and not getattr(stock, "__isabstractmethod__", False):
                    print(f"{name}: {cls.__name__}.{attribute} overrides {base.__module__}.{base.__name__}")
"""


def test_no_private_method_of_another_library_is_overridden():
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name, _ in sources()
        if not name.endswith("__main__.py")
    ]
    done = subprocess.run(
        [sys.executable, "-c", OVERRIDES, *modules],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    assert [line for line in done.stdout.splitlines() if line.split(" ")[1] not in OVERRIDDEN] == []


def test_every_private_name_that_a_seam_reads_is_checked_at_start():
    """`seams/check.py` names it, so an engine does not start where it is missing."""
    checked = (SEAMS / "check.py").read_text()
    for path in sorted(SEAMS.glob("*.py")):
        if path.name not in ("check.py", "__main__.py"):
            names = {read.rpartition(".")[2] for read in foreign_reads(path) if " import " not in read}
            missing = {name for name in names if name not in checked}
            assert missing == set(), path.name


def test_the_command_for_a_new_mitmproxy_says_what_changed(tmp_path):
    """Against itself nothing; against a copy with another line, that line's function."""
    installed = Path(mitmproxy.__file__).parents[1]
    assert list(differences(installed, installed)) == []
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
