"""The pytest plugin: the fixture `ws_proxy`, and what the proxy saw in the report of a test that failed.

Registered as `wsinspect` (entry point `pytest11`); `-p no:wsinspect` switches it off. Nothing of wsinspect is
imported before a test asks for the fixture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wsinspect.testing.forking import ForkServer
    from wsinspect.testing.proxy import Proxy

_PROXIES: pytest.StashKey[list[Any]] = pytest.StashKey()


@pytest.fixture(scope="session")
def _ws_forking() -> Iterator[ForkServer]:
    from wsinspect.testing.forking import ForkServer

    with ForkServer() as server:
        yield server


@pytest.fixture
def ws_proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _ws_forking: ForkServer
) -> Iterator[Callable[..., Proxy]]:
    """Starts a proxy in front of a server: `proxy = ws_proxy("ws://127.0.0.1:3000/socket")`.

    Further arguments are options of `wsinspect run`. Each proxy ends with the test; if that fails, the report
    has its connections, its last frames and the path of the capture.
    """
    from wsinspect.testing.proxy import Proxy

    started = request.node.stash.setdefault(_PROXIES, [])
    with contextlib.ExitStack() as opened:

        def start(server: str, *options: str) -> Proxy:
            folder = tmp_path_factory.mktemp("wsinspect")
            proxy = Proxy(server, folder=folder, options=options, forking=_ws_forking)
            started.append(proxy)
            return opened.enter_context(proxy)

        yield start


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what each proxy saw: of the test, or of a fixture that uses one; in teardown it has ended."""
    report = yield
    if report.failed and (proxies := item.stash.get(_PROXIES, [])):
        from wsinspect.testing.proxy import lane_of

        for proxy in proxies:
            report.sections.append(("wsinspect", f"{lane_of(proxy.capture)}\n\ncapture: {proxy.capture}"))
    return report
