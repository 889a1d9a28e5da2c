"""Pages in Chromium that never try, each for its own reason, and pages that do: the exact findings of each.

The pages are at names of their own over https (mixed content is exempt on loopback); the engine reaches them
through a forward proxy.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.certs import make_certificates
from tests.support.devtools import DevTools, devtools
from tests.support.engine import Engine
from tests.support.finding_lab import LOOPBACK, found_in
from tests.support.named_sites import NamedSites, Served
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.findings.model import Finding

pytestmark = pytest.mark.lab

ICON = '<!doctype html><link rel="icon" href="data:,"><title>waiting</title>'
TALK = """<script>
const socket = new WebSocket(`wss://${location.host}/ws`);
socket.onopen = () => socket.send("hello");
socket.onmessage = () => socket.close(1000);
socket.onclose = ({ code }) => (document.title = "told " + code);
</script>"""
#: Never reached: what a state left over from rendering on the server does.
LATER = """<script>
let socket = "left over";
const connect = () => socket || (socket = new WebSocket(`wss://${location.host}/ws`));
connect(); document.title = "loaded";
</script>"""


def opens(url: str) -> str:
    return f"""<script>
try {{ new WebSocket("{url}").onerror = () => (document.title = "error"); }}
catch (error) {{ document.title = error.name; }}
</script>"""


WORKER = (
    LATER
    + """<script>
navigator.serviceWorker.register("/sw.js").then(
  () => (document.title = "registered"), (error) => (document.title = String(error)));
</script>"""
)
SELF = "default-src 'self' 'unsafe-inline' 'unsafe-eval'"
PAGES = {
    "/works": Served(ICON + TALK),
    "/allowed": Served(ICON + TALK, policy=f"{SELF}; connect-src 'self' wss://allowed.test"),
    "/plain": Served(ICON + "<script>document.title = 'loaded'</script>"),
    "/never": Served(ICON + LATER),
    "/mixed": Served(ICON + opens("ws://mixed.test/ws")),
    "/http": Served(ICON + opens("http://mixed.test/ws")),
    "/csp": Served(ICON + opens("wss://api.other.test/ws"), policy=SELF),
    "/meta": Served(
        ICON
        + f'<meta http-equiv="Content-Security-Policy" content="{SELF}">'
        + opens("wss://api.other.test/ws")
    ),
    "/broken": Served(ICON + '<script src="/missing.js"></script>' + LATER),
    "/worker": Served(ICON + WORKER),
    "/sw.js": Served("self.onfetch = () => {}", "text/javascript"),
}
#: Page, the title that says it is done, its findings.
CASES = {
    "works": ("told 1000", []),
    "allowed": ("told 1000", []),
    "plain": ("loaded", []),
    "never": ("loaded", ["WS-PAGE-001"]),
    "mixed": ("SecurityError", ["WS-PAGE-003"]),
    "http": ("SecurityError", ["WS-PAGE-003"]),
    "csp": ("error", ["WS-PAGE-002"]),
    "meta": ("error", ["WS-PAGE-002"]),
    "broken": ("loaded", ["WS-PAGE-005"]),
    "worker": ("registered", ["WS-PAGE-001"]),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[DevTools]:
    with ThreadedLoop() as loop, devtools(loop) as browser:
        yield browser


@pytest.fixture(scope="module")
def found(browser, tmp_path_factory) -> Iterator[tuple[dict[str, list[Finding]], list[str]]]:
    """The findings by page, and what each page's title was."""
    folder = tmp_path_factory.mktemp("pages")
    sites = NamedSites(PAGES)
    context = make_certificates(folder / "certs").server_context()
    browser.loop.run(sites.start(context))
    try:
        with Engine.start(
            *("--mode", f"upstream:http://{LOOPBACK}:{sites.proxy_port}@{LOOPBACK}:0", "--insecure"),
            *("--page-wait", "3s"),
            folder=folder,
        ) as engine:
            proxy = engine.ready["listeners"][0]["port"]
            for name, (title, _) in CASES.items():
                browser.open(name, f"https://{name}.test/{name}", proxy=proxy)
                browser.until(name, f"document.title === {title!r}")
            wanted = sum(bool(ids) for _, ids in CASES.values())
            told = "WS-PAGE-"
            engine.wait_for(
                lambda _: sum(str(one.get("id")).startswith(told) for one in engine.events) >= wanted, 20
            )
            engine.stop()
        seen: dict[str, list[Finding]] = {name: [] for name in CASES}
        for one in found_in(engine.capture):
            name = next((name for name in CASES if f"page https://{name}.test" in one.evidence[0]), "")
            seen.setdefault(name, []).append(one)
        yield seen, sites.asked
    finally:
        browser.loop.run(sites.stop())


@pytest.mark.parametrize("name", CASES)
def test_each_page_has_its_own_finding(found, name):
    seen, asked = found
    assert [one.id for one in seen[name]] == CASES[name][1]
    is_healthy = name in ("works", "allowed")
    assert (f"{name}.test /ws" in asked) is is_healthy


def test_the_reason_is_in_the_evidence(found):
    seen, _ = found
    (worker,), (csp,), (mixed,), (broken,) = (seen[name] for name in ("worker", "csp", "mixed", "broken"))
    assert any("a service worker is registered: /sw.js" in line for line in worker.evidence)
    assert any("forbids wss://api.other.test/ws" in line for line in csp.evidence)
    assert any("ws://mixed.test/ws" in line for line in mixed.evidence)
    assert any("http://mixed.test/ws" in line for line in seen["http"][0].evidence)
    assert any("/missing.js answered 404" in line for line in broken.evidence)
    # What is said beside is about the lab's certificate, which --insecure bears, and its HTTP/1.1.
    assert {one.id for one in seen[""]} <= {"WS-TLS-020", "WS-H2-004"}
    assert "error" not in {one.severity for one in seen[""]}
