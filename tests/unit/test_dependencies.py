"""Every import is declared: what a module imports is a dependency of its own, not of a dependency.

mitmproxy 12.3 replaced one of its dependencies, and a program that leaned on the old one no longer started.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import sources
from wsinspect.proxy.seams.check import is_known_version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES_OF = {
    # Distributions whose modules have other names.
    "pyopenssl": {"OpenSSL"},
    "google-re2": {"re2"},
    "python-socketio": {"socketio"},
    "python-engineio": {"engineio"},
    "ruamel-yaml": {"ruamel"},
    "backports-zstd": {"backports"},
    "opentelemetry-sdk": {"opentelemetry"},
    "grpcio": {"grpc"},
}
RUNTIME = PROJECT["dependencies"]
OPTIONAL = RUNTIME + [
    line
    for extra in ("pytest", "mcp", "serve", "parquet", "otel")
    for line in PROJECT["optional-dependencies"][extra]
]
#: What only a script of the tests needs, installed by .ci/test-deps.
FLEET = ["duckdb", "chdb"]
TEST = [*RUNTIME, *FLEET] + PROJECT["optional-dependencies"]["test"]


@functools.cache
def imports_of(folder: str) -> dict[str, list[str]]:
    """The top-level modules that files below a folder import from elsewhere, each with the files."""
    elsewhere = sys.stdlib_module_names | {"wsinspect", "tests", "addons", "compression"}
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        if "node_modules" in path.parts:
            continue
        for top in {name.partition(".")[0] for name in sources.imports(path)} - elsewhere:
            found.setdefault(top, []).append(str(path.relative_to(ROOT)))
    return found


def distribution(requirement: str) -> str:
    """'ruamel.yaml>=0.17; python_version < "3.12"' -> 'ruamel-yaml'"""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def modules_of(requirements: list[str]) -> set[str]:
    names = {distribution(requirement) for requirement in requirements}
    return set().union(*(MODULES_OF.get(name, {name.replace("-", "_")}) for name in names))


@pytest.mark.parametrize(
    ("folder", "declared"), [("wsinspect", OPTIONAL), ("addons", RUNTIME), ("tests", TEST)]
)
def test_every_import_is_declared(folder, declared):
    undeclared = {
        module: files for module, files in imports_of(folder).items() if module not in modules_of(declared)
    }
    assert undeclared == {}


def test_every_dependency_is_imported():
    used = set(imports_of("wsinspect")) | set(imports_of("addons"))
    assert modules_of(RUNTIME) - used == set()


def test_the_mitmproxy_that_is_installed_is_one_that_the_seams_know():
    assert is_known_version(importlib.metadata.version("mitmproxy"))


def test_the_tests_run_with_the_newest_mitmproxy_that_is_admitted():
    """constraints.txt and pyproject.toml move together: the upper bound is the next minor version."""
    bounds = re.findall(r"mitmproxy>=[\d.]+,<(\d+)\.(\d+)", (ROOT / "pyproject.toml").read_text())
    tested = re.findall(r"^mitmproxy==(\d+)\.(\d+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert [(int(major), int(minor)) for major, minor in bounds] == [
        (int(major), int(minor) + 1) for major, minor in tested
    ]
