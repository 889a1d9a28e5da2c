"""What the timeline remembers between runs: theme, clock, columns, saved filters.

Contract: one JSON file of the user's; what cannot be read in it is left out, never an error: a timeline opens
without its memory. Written whole, by a rename.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from wsinspect.present.clock import KINDS, RELATIVE
from wsinspect.present.rows import COLUMNS

_MOST_FILTERS: Final = 50
_MOST_CELLS: Final = 60
_MOST_BYTES: Final = 64 * 1024


@dataclass
class Settings:
    """See the module docstring.

    Attributes:
        theme: a name of Textual's; empty for the default.
        clock: one of `present.clock.KINDS`.
        columns: names in order; empty for the usual ones.
        widths: cells by name.
        filters: those that were saved, the newest first.
        requests: whether plain requests near an attempt have rows.
    """

    theme: str = ""
    clock: str = RELATIVE
    columns: list[str] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    filters: list[str] = field(default_factory=list)
    requests: bool = True

    def save_filter(self, text: str) -> bool:
        """Keep a filter, the newest first, or drop it where it is kept already; whether it is kept now."""
        is_new = text not in self.filters
        self.filters = (
            [text, *self.filters][:_MOST_FILTERS] if is_new else [one for one in self.filters if one != text]
        )
        return is_new


def settings_path() -> Path:
    """Where they are, next to the key map."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "wsinspect" / "timeline.json"


def read_settings(path: Path) -> Settings:
    """As much of them as can be read."""
    try:
        with path.open("rb") as file:
            loaded = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError):
        return Settings()
    return _settings(loaded) if isinstance(loaded, dict) else Settings()


def _settings(loaded: dict[str, Any]) -> Settings:
    found = Settings()
    if isinstance(loaded.get("theme"), str):
        found.theme = loaded["theme"]
    if loaded.get("clock") in KINDS:
        found.clock = loaded["clock"]
    columns = loaded.get("columns")
    if isinstance(columns, list):
        found.columns = [
            name for number, name in enumerate(columns) if name in COLUMNS and name not in columns[:number]
        ]
    widths = loaded.get("widths")
    if isinstance(widths, dict):
        found.widths = {
            name: cells
            for name, cells in widths.items()
            if name in COLUMNS and type(cells) is int and 1 <= cells <= _MOST_CELLS
        }
    filters = loaded.get("filters")
    if isinstance(filters, list):
        found.filters = [one for one in filters if isinstance(one, str)][:_MOST_FILTERS]
    found.requests = loaded.get("requests") is not False
    return found


def write_settings(path: Path, settings: Settings) -> None:
    """Write them.

    Raises:
        OSError: they cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".timeline")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(settings), file, indent=2)
            file.write("\n")
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
