"""Each test of the screens has folders of its own.

SVG snapshots have one baseline Python: elsewhere they are deselected, not skipped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BASELINE = (3, 13)


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, exports and engines of the one who runs the tests stay out of them."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("NO_COLOR", "DISPLAY", "WAYLAND_DISPLAY", "TMUX", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect snapshots where glyphs, Rich or Textual may draw a little differently."""
    if sys.version_info[:2] == BASELINE:
        return
    left_out = [item for item in items if item.get_closest_marker("snapshot") is not None]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
