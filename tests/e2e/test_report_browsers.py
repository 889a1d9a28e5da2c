"""The report in Chromium and Firefox: opened from disk, attacked, looked at by axe, used by keys."""

from __future__ import annotations

import contextlib
import re
import zlib
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
    for width in (1200, 800, 480, 360):
        firefox.look(width=width, scheme=scheme)
        firefox.run(
            "document.querySelectorAll('details').forEach((one) => { one.open = true; }); arguments[0](0)"
        )
        found = firefox.run(
            f"{AXE.read_text()}; {CHECK}.then(arguments[0], (error) => arguments[0](String(error)))"
        )
        assert found == []
        facts = (
            "[matchMedia('(prefers-color-scheme: dark)').matches, innerWidth, "
            "document.documentElement.scrollWidth]"
        )
        is_dark, inner, wide = firefox.run(f"arguments[0]({facts})")
        assert (is_dark, inner) == (scheme == "dark", width)
        assert wide <= width


#: What the keyboard has to reach, and what is in focus: of the document's elements, the numbers.
REACHABLE = (
    "[...document.querySelectorAll('a[href], button, select, summary, [tabindex=\"0\"]')]"
    ".filter((one) => !one.disabled && one.checkVisibility())"
)
FOCUSED = (
    f"(() => {{ const one = document.activeElement; return [{REACHABLE}.indexOf(one), "
    "getComputedStyle(one).outlineStyle]; })()"
)


@pytest.mark.parametrize("name", ["attack", "long"])
def test_tab_reaches_every_control_in_firefox(firefox: Marionette, pages: dict[str, Path], name: str) -> None:
    firefox.open("about:blank")
    firefox.look(width=1000, scheme="light")
    firefox.open(pages[name].as_uri())
    count = firefox.run(f"arguments[0]({REACHABLE}.length)")
    assert count > 8
    for number in range(count):
        firefox.press("Tab")
        assert firefox.run(f"arguments[0]({FOCUSED})") == [number, "solid"]


def test_the_report_by_keys_in_firefox(firefox: Marionette, pages: dict[str, Path]) -> None:
    firefox.look(width=1000, scheme="light")
    firefox.open(pages["long"].as_uri())

    def press(at: str, *keys: str) -> str:
        firefox.run("document.querySelector(arguments[0]).focus(); arguments[1](0)", at)
        firefox.press(*keys)
        return str(firefox.run("arguments[0](document.querySelector('#where').textContent)"))

    def shown(script: str) -> object:
        return firefox.run(f"arguments[0]({script})")

    assert press("#canvas", "0").startswith("connection 1 (closed): 3,000 frames from ")
    zoomed = press("#canvas", "+", "+", "+")
    assert 0 < int(zoomed.split(": ")[1].split(" frames")[0].replace(",", "")) < 1500
    assert press("#canvas", "ArrowRight") != zoomed
    assert press("#canvas", "ArrowDown").startswith("connection 2")
    press("#canvas", "ArrowUp", "Enter")
    first = shown("document.querySelector('#range').textContent")
    assert str(first).endswith(" of 3,000")
    press("#after", "Enter")
    assert shown("document.querySelector('#range').textContent") != first
    assert press("[data-do=fit]", "Space").startswith("connection 1 (closed): 3,000 frames from ")
    press("#which", "ArrowDown")
    assert shown("document.querySelector('#which').selectedIndex") == 1
    assert shown("document.querySelector('#range').textContent") == "no frames"
    is_open = shown("document.querySelector('details').open")
    press("summary", "Enter")
    assert shown("document.querySelector('details').open") is not is_open


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_firefox_prints_the_report(firefox: Marionette, pages: dict[str, Path], scheme: str) -> None:
    firefox.look(width=1200, scheme=scheme)
    firefox.open(pages["attack"].as_uri())
    closed = "arguments[0](document.querySelectorAll('details:not([open])').length)"
    before = firefox.run(closed)
    assert before > 0
    paper = unpacked(firefox.printed())
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) in range(3, 15)
    # The timeline has the paper's width, and is as high as that makes it.
    (size,) = set(re.findall(rb"/Subtype\s*/Image\s*/Width (\d+)\s*/Height (\d+)", paper))
    (drawn,) = re.findall(rb"([\d.]+) 0 0 -([\d.]+) [\d. ]+ cm\s[^\n]*/x\d+ Do", paper)
    wide, high = map(float, drawn)
    assert wide > 500
    assert wide / high == pytest.approx(int(size[0]) / int(size[1]), rel=0.03)
    assert firefox.run(closed) == before  # what was opened for the paper is closed again


def unpacked(paper: bytes) -> bytes:
    """A PDF, and behind it what its compressed streams hold."""
    found = [paper]
    for start in re.finditer(rb"stream\r?\n", paper):
        with contextlib.suppress(zlib.error):  # a stream of another kind
            found.append(zlib.decompressobj().decompress(paper[start.end() :]))
    return b"\n".join(found)


def test_zooming_and_moving_stays_smooth_in_firefox(firefox: Marionette, tmp_path: Path) -> None:
    """Of 100,000 frames: the work of a step is what a page can do between two pictures on a busy machine."""
    firefox.look(width=1200, scheme="light")
    firefox.open(report(long_capture(tmp_path / "very long.db", 100_000)).as_uri())
    steps = firefox.run(
        """
        const done = arguments[0], canvas = document.querySelector("#canvas"), taken = [];
        const keys = ["0", "+", "ArrowRight", "-", "ArrowLeft", "-"];
        const step = () => {
            const key = keys[taken.length % 6];
            canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            const before = performance.now();
            // The page's own callback was asked for first: this one is called behind it, in the same picture.
            requestAnimationFrame((now) => {
                taken.push(performance.now() - Math.max(now, before));
                if (taken.length < 60) setTimeout(step, 0); else done(taken.sort((a, b) => a - b));
            });
        };
        step();
        """
    )
    assert len(steps) == 60
    assert steps[30] < 100
