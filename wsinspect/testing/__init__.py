"""For tests of programs that use WebSockets: a proxy to break on purpose, facts, a pytest plugin.

`Proxy` works with any test runner; `wsinspect.testing.plugin` has the fixture `ws_proxy` (docs/testing.md).
"""

from wsinspect.testing.proxy import AsyncProxy, Fault, Proxy, WaitError

__all__ = ["AsyncProxy", "Fault", "Proxy", "WaitError"]
