"""Presets: scenarios that imitate real hops and networks, each with the source of its numbers."""

from __future__ import annotations

import difflib
from importlib.resources import files

from wsinspect.faults.errors import FaultError
from wsinspect.faults.scenario import Scenario, load_text

_SUFFIX = ".yaml"


def preset_names() -> list[str]:
    """The names of all presets without their suffix, sorted."""
    found = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))


def load_preset(name: str) -> Scenario:
    """The scenario of a preset.

    Raises:
        FaultError: there is none of this name.
    """
    names = preset_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        guess = f"; did you mean {close[0]}?" if close else ""
        raise FaultError("", f"there is no preset {name!r}: expected one of {', '.join(names)}{guess}")
    return load_text(files(__name__).joinpath(name + _SUFFIX).read_text("utf-8"), f"preset {name}")
