"""The wheel holds what a checkout holds: the package, its types, its command, and the scripts for stock
mitmproxy."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.engine import private_environment

ROOT = Path(__file__).resolve().parents[2]
# Building fetches the build backend, so it needs a package index.
pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    (wheel,) = folder.glob("wsinspect-*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "unpacked")
    return folder / "unpacked"


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
    assert "wsinspect = wsinspect.cli.main:main" in (information / "entry_points.txt").read_text()
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
