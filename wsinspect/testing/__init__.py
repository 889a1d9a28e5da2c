"""For tests of programs that use WebSockets: a proxy to break on purpose, facts, a pytest plugin.

`Proxy` works with any test runner; `wsinspect.testing.plugin` has the fixture `ws_proxy` (docs/testing.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsinspect.testing.proxy import AsyncProxy as AsyncProxy
    from wsinspect.testing.proxy import Fault as Fault
    from wsinspect.testing.proxy import Proxy as Proxy
    from wsinspect.testing.proxy import WaitError as WaitError

__all__ = ["AsyncProxy", "Fault", "Proxy", "WaitError"]


def __getattr__(name: str) -> Any:
    """Imported when asked for: pytest loads the plugin, and this with it, in every project's tests."""
    if name in __all__:
        from wsinspect.testing import proxy

        return getattr(proxy, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
