"""What is imported of mitmproxy's addons: those that are used.

`mitmproxy.addons` imports all thirty of them as soon as one is wanted, and with them Flask, an LDAP client
and three parsers: a third of the CPU time of a start. Here the package is there without that, and its one
function imports them when it is called after all.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any, Final

_PACKAGE: Final = "mitmproxy.addons"
_FUNCTION: Final = "default_addons"


def import_addons_singly() -> None:
    """Import addons one by one from now on; nothing happens where all are imported already."""
    spec = importlib.util.find_spec(_PACKAGE)
    if _PACKAGE in sys.modules or spec is None or spec.loader is None:
        return
    package: Any = importlib.util.module_from_spec(spec)
    loader = spec.loader

    def find(name: str) -> Any:
        if name != _FUNCTION:  # a submodule: Python imports it where this says that it is not there yet
            raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")
        del package.__getattr__
        loader.exec_module(package)
        return getattr(package, name)

    package.__getattr__ = find
    sys.modules[_PACKAGE] = package
    sys.modules["mitmproxy"].addons = package  # type: ignore[attr-defined]


__all__ = ["import_addons_singly"]
