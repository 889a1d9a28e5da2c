"""The wheel and the sdist hold what a checkout holds, and work in an empty environment, as README shows it.

`python -m build` makes both. Building and installing fetch other packages, so a package index is needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support import documented
from tests.support.engine import private_environment

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, made as a packager makes them."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="module")
def unpacked(built: Path) -> Path:
    """The files of the wheel."""
    (wheel,) = built.glob("wsinspect-*.whl")
    zipfile.ZipFile(wheel).extractall(built / "unpacked")
    return built / "unpacked"


def tracked(folder: str, pattern: str) -> set[str]:
    return {path.relative_to(ROOT / folder).as_posix() for path in (ROOT / folder).rglob(pattern)}


def test_the_wheel_has_every_module_and_the_types(unpacked):
    modules = {
        path.relative_to(unpacked / "wsinspect").as_posix() for path in (unpacked / "wsinspect").rglob("*.py")
    }
    assert {name for name in modules if not name.startswith("_addons/")} == tracked("wsinspect", "*.py")
    assert (unpacked / "wsinspect" / "py.typed").is_file()


def test_the_wheel_has_the_scripts_for_stock_mitmproxy(unpacked):
    scripts = {path.name for path in (unpacked / "wsinspect" / "_addons").glob("*.py")}
    assert scripts == tracked("addons", "*.py")


def test_the_wheel_names_the_command_and_the_licence(unpacked):
    (information,) = unpacked.glob("*.dist-info")
    assert "wsinspect = wsinspect.__main__:main" in (information / "entry_points.txt").read_text()
    assert (information / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_addons_prints_the_folder_in_the_wheel(unpacked, tmp_path):
    environment = {**private_environment(tmp_path), "PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-m", "wsinspect", "addons"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == unpacked / "wsinspect" / "_addons"


def test_the_sdist_has_what_it_takes_to_build_and_to_test(built):
    (sdist,) = built.glob("wsinspect-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("wsinspect", "addons", "tests"):
        assert {f"{folder}/{name}" for name in tracked(folder, "*.py") if "node_modules" not in name} <= names
    assert {
        "README.md",
        "LICENSE",
        "pyproject.toml",
        "constraints.txt",
        "Makefile",
        ".ci/env",
        "docs/install.md",
    } <= names


def found_python(*minor: str) -> str:
    """The path of a Python of this minor version, or of the newest; empty where there is none."""
    asked = subprocess.run(
        ["sh", str(ROOT / ".ci/find-python"), *minor], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_wheel_and_sdist_run_the_demo_in_an_empty_environment(built, tmp_path):
    """On the oldest Python that is supported and the newest, of those that are here."""
    pythons = {found_python("3.11"), found_python()} - {""}
    assert pythons
    for number, python in enumerate(sorted(pythons)):
        folder = tmp_path / str(number)
        folder.mkdir()
        install_and_run_the_demo(python, built, folder)


def install_and_run_the_demo(python: str, built: Path, folder: Path) -> None:
    """Without constraints: what the declared ranges bring, as a user installs it."""
    venv = folder / "venv"
    environment = private_environment(folder / "home")
    del environment["PYTHONPATH"]

    def call(*command: str) -> str:
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
        return done.stdout

    call(python, "-m", "venv", str(venv))
    pip = (str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    (wheel,) = built.glob("wsinspect-*.whl")
    (sdist,) = built.glob("wsinspect-*.tar.gz")
    for what, options in ((wheel, ()), (sdist, ("--force-reinstall", "--no-deps"))):
        call(*pip, *options, str(what))
        told = call(str(venv / "bin/wsinspect"), "demo", "--headless", "--seconds", "2")
        assert "WS-HS-" in told
        assert (venv / "bin/wsinspect").exists()
    call(str(venv / "bin/python"), "-m", "wsinspect.proxy.seams")
    environment["PATH"] = os.pathsep.join([str(venv / "bin"), environment["PATH"]])
    reader = documented.Reader(folder / "reader", environment)
    try:
        for page in (ROOT / "README.md", ROOT / "docs" / "install.md"):
            for line in documented.command_lines(page.read_text("utf-8")):
                if not documented.reason_not_to_run(line):
                    reader.type(line)
    finally:
        reader.close()
    installed = json.loads(call(str(venv / "bin/python"), "-m", "pip", "list", "--format", "json"))
    assert "pytest" not in {each["name"] for each in installed}
