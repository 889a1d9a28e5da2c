"""Tables of the rules, TOML files read once: fixes, known limits, software, the catalogue of causes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def table(name: str) -> dict[str, Any]:
    """The contents of `<name>.toml`."""
    return tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text("utf-8"))
