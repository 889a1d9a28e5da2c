"""The report in Chromium and Firefox: opened from disk, attacked, looked at by axe, used by keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chats import Chat, store
from tests.support.devtools import DevTools, devtools
from tests.support.marionette import Marionette
from tests.support.report_pages import attacking_capture
from tests.support.threaded_loop import ThreadedLoop
from wsinspect.cli.main import cli, execute

pytestmark = pytest.mark.lab
#: A capture's name is a stranger's, too.
NAME = "<img src=x onerror=window.hacked=4>'\"&.db"
AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
#: All rules for WCAG 2.2 A and AA, and axe's best practices.
CHECK = "axe.run().then(({violations}) => violations.map(({id, nodes}) => [id, nodes[0].html.slice(0, 200)]))"


@pytest.fixture(scope="module")
def browser() -> Iterator[DevTools]:
    with ThreadedLoop() as loop, devtools(loop) as found:
        yield found


def report(path: Path, *options: str) -> Path:
    page = path.with_suffix(".html")
    args = ("report", str(path), "-o", str(page), "--force", *options)
    assert execute(lambda: cli.main(args, prog_name="wsinspect", standalone_mode=False)) == 0
    return page


def long_capture(path: Path, frames: int = 3000) -> Path:
    script = Chat()
    script.accept(1)
    script.begin(2, b"GET / HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\n\r\n", "/")
    for number in range(frames):
        script.tick(1)
        script.server(1, b'{"tick":%d}' % number)
    return store(path, script)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    return {
        "attack": report(attacking_capture(folder / NAME), "--include-secrets"),
        "long": report(long_capture(folder / "long.db")),
    }


def test_no_script_of_a_peer_runs_and_nothing_is_loaded(browser: DevTools, pages: dict[str, Path]) -> None:
    browser.open("attack", pages["attack"].as_uri())
    facts = browser.run(
        "attack",
        "[typeof window.hacked, document.images.length, document.scripts.length, "
        "performance.getEntriesByType('resource').length, document.querySelectorAll('iframe,form').length]",
    )
    assert facts == ["undefined", 0, 2, 0, 0]
    assert browser.console("attack") == []
    shown = browser.run("attack", "document.querySelector('#frames').textContent")
    assert "window.hacked=1" in shown
    # And what an injected one would meet: the policy.
    browser.run(
        "attack", "document.body.append(Object.assign(document.createElement('script'), {text: 'hacked=3'}))"
    )
    assert browser.run("attack", "typeof window.hacked") == "undefined"
    assert any("Content Security Policy" in line for line in browser.console("attack"))


@pytest.mark.parametrize("name", ["attack", "long"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_axe_finds_nothing(
    browser: DevTools, pages: dict[str, Path], tmp_path: Path, name: str, scheme: str, width: int
) -> None:
    page = f"{name} {scheme} {width}"
    browser.open(page, pages[name].as_uri())
    browser.look(page, str(tmp_path / "a.png"), width=width, height=800, scheme=scheme)
    browser.run(page, "document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.run(page, AXE.read_text() + ";0")
    assert browser.run(page, CHECK) == []
    # Nothing is wider than the screen but what scrolls by itself.
    assert browser.run(page, "document.documentElement.scrollWidth") <= width
    browser.close(page)


def test_the_timeline_by_keys(browser: DevTools, pages: dict[str, Path]) -> None:
    browser.open("keys", pages["long"].as_uri())

    def press(*keys: str) -> str:
        for key in keys:
            browser.press("keys", "#canvas", key)
        return str(browser.run("keys", "document.querySelector('#where').textContent"))

    assert press("0").startswith("connection 1 (closed): 3,000 frames from ")
    zoomed = press("+", "+", "+")
    count = int(zoomed.split(": ")[1].split(" frames")[0].replace(",", ""))
    assert 0 < count < 1500
    assert press("ArrowRight") != zoomed
    assert press("ArrowDown").startswith("connection 2")
    press("ArrowUp", "Enter")
    shown = "document.querySelector('#range').textContent"
    before = browser.run("keys", shown)
    assert before.endswith(" of 3,000")
    assert browser.run("keys", "document.querySelectorAll('#frames tbody tr').length") == 100
    browser.run("keys", "document.querySelector('#after').click()")
    assert browser.run("keys", shown) != before
    # Something was drawn: pixels that are neither empty nor of one colour.
    colors = browser.run(
        "keys",
        "(() => { const c = document.querySelector('#canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; const s = new Set(); "
        "for (let i = 0; i < d.length; i += 4) if (d[i + 3]) s.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); "
        "return s.size; })()",
    )
    assert colors > 3


def test_frames_close_to_each_other_are_few_rectangles(browser: DevTools, pages: dict[str, Path]) -> None:
    """As many as there are frames would make each step of zooming take as long as they do."""
    browser.open("few", pages["long"].as_uri())
    browser.run(
        "few",
        "(() => { const of = CanvasRenderingContext2D.prototype, real = of.fillRect; window.drawn = []; "
        "of.fillRect = function (...box) { drawn.push(box); return real.apply(this, box); }; })()",
    )
    browser.run("few", "document.querySelector('[data-do=fit]').click()")
    drawn = browser.until("few", "drawn.length && drawn")
    assert len(drawn) < 100
    # One of them is all that the server said: from its first frame to the last one, without a hole.
    assert max(box[2] for box in drawn if box[3] == 11) > 500
    browser.close("few")


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Marionette]:
    with Marionette(tmp_path_factory.mktemp("firefox")) as found:
        yield found


def test_firefox_runs_no_script_of_a_peer_and_has_nothing_to_complain_of(
    firefox: Marionette, pages: dict[str, Path]
) -> None:
    for name in ("attack", "long"):
        firefox.open(pages[name].as_uri())
        facts = "[typeof window.hacked, document.images.length, document.scripts.length]"
        assert firefox.run(f"arguments[0]({facts})") == ["undefined", 0, 2]
        assert [one for one in firefox.console() if pages[name].name in one] == []


@pytest.mark.parametrize("name", ["attack", "long"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_firefox(
    firefox: Marionette, pages: dict[str, Path], name: str, scheme: str
) -> None:
    """Marionette's scripts are in a sandbox, which the page's policy does not concern."""
    firefox.open(pages[name].as_uri())
    for width in (1200, 500):
        firefox.look(width=width, scheme=scheme)
        firefox.run(
            "document.querySelectorAll('details').forEach((one) => { one.open = true; }); arguments[0](0)"
        )
        found = firefox.run(
            f"{AXE.read_text()}; {CHECK}.then(arguments[0], (error) => arguments[0](String(error)))"
        )
        assert found == []
        facts = "[matchMedia('(prefers-color-scheme: dark)').matches, document.documentElement.scrollWidth]"
        is_dark, wide = firefox.run(f"arguments[0]({facts})")
        assert is_dark is (scheme == "dark")
        assert wide <= width
