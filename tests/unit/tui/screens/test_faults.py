"""The faults page and the dialogs over it, driven by keys against a real control API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.control_lab import ControlLab, control_lab
from tests.support.svg import assert_same_screen
from tests.support.tui_captures import CaptureBuilder, chat_capture, hold_engine_lock
from tests.support.tui_pilot import Screen, opened
from wsinspect.faults.held import Held
from wsinspect.faults.kinds import KINDS
from wsinspect.tui.dialogs.rule import RuleDialog
from wsinspect.tui.dialogs.sheet import Dialog, Question
from wsinspect.tui.screens.faults import FaultsPane
from wsinspect.tui.widgets.words import Words

pytestmark = pytest.mark.asyncio
KNOWN = Path(__file__).parents[1] / "snapshots"
SIZES = [(80, 24), *(pytest.param(size, marks=pytest.mark.slow) for size in ((120, 36), (200, 50)))]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """A capture that an engine writes."""
    path = chat_capture(tmp_path / "chat.db", clean=False)
    lock = hold_engine_lock(path)
    yield path
    lock.release()


@pytest.fixture
def lab(live: Path) -> Iterator[ControlLab]:
    with control_lab(live) as made:
        yield made


def dialog(screen: Screen) -> list[str]:
    """What the dialog or question on top says."""
    words = screen.app.screen.query(Words)
    return [one.render_line(y).text.rstrip() for one in words for y in range(one.size.height)]


async def enter(screen: Screen, text: str) -> None:
    """Type a rule and wait until the engine has agreed."""
    top = screen.app.screen
    assert isinstance(top, RuleDialog)
    top.input("rule-line").value = text
    await screen.press("enter")
    await screen.until(lambda: not isinstance(screen.app.screen, RuleDialog))


async def test_nothing_armed_says_what_could_be(lab, live):
    async with opened(live) as screen:
        await screen.press("f")
        text = "\n".join(screen.pane("faults"))
        assert "no rules" in text
        assert "latency_c2s" in text  # of the ledger
        assert "latency, removed" in text
        assert "FAULTS ON" not in screen.line("header")
        # Of rules that are gone none is changed, armed or removed.
        assert "a add" in screen.line("keys")
        assert not any(
            word in screen.line("keys") for word in ("enter change", "space arm", "x remove", "copy")
        )
        lab.arm(name="slow", kind="latency", latency="250ms")
        await screen.until(lambda: "slow" in "\n".join(screen.pane("faults")))
        await screen.press("g")
        assert "space disarm" in screen.line("keys")


@pytest.mark.parametrize("size", [(80, 24), (80, 12)])
async def test_what_is_said_of_the_chosen_candidate_is_whole(lab, live, size):
    async with opened(live, size=size) as screen:
        await screen.press("f", "a")
        height = len(dialog(screen))
        seen = 0
        for kind in KINDS.values():
            text = dialog(screen)
            assert len(text) == height
            assert any(line.startswith(f" ▸ {kind.name} ") for line in text)
            begin = next(number for number, line in enumerate(text) if line.startswith(" ▸ "))
            about = " ".join(line[26:].strip() for line in text[begin : begin + 4])
            seen += about.startswith(kind.summary)
            await screen.press("down")
        assert seen == len(KINDS)


async def test_a_rule_is_typed_completed_and_armed(lab, live):
    async with opened(live) as screen:
        await screen.press("f", "a")
        assert "Add a fault rule" in dialog(screen)[0]
        assert any("▸ drop" in line for line in dialog(screen))
        await screen.press("l", "a", "t")
        assert "✗ kind: unknown kind 'lat'; did you mean latency?" in "\n".join(dialog(screen))
        await screen.press("tab", "down", "tab")
        top = screen.app.screen
        assert isinstance(top, RuleDialog)
        assert top.input("rule-line").value == "latency:s2c"
        assert "✗ latency needs `latency`" in "\n".join(dialog(screen))
        await screen.press("enter")
        assert screen.app.screen is top
        await screen.press("tab", *"300ms")
        assert "✓ enter arms it" in "\n".join(dialog(screen))
        await screen.press("enter")
        await screen.until(lambda: "FAULTS ON: 1 rule" in screen.line("header"))
        assert "armed latency_s2c; F removes all" in screen.line("keys")
        row = screen.pane("faults")[2]
        assert "▸[x] s>c  latency_s2c" in row
        assert "latency=300ms" in row
        assert lab.rules()[0]["direction"] == "s2c"


async def test_rules_are_disarmed_changed_copied_and_removed(lab, live):
    lab.arm(name="slow", kind="latency", latency="1s", match="op:text")
    async with opened(live) as screen:
        await screen.press("f")
        await screen.until(lambda: "[x]" in screen.pane("faults")[2])
        assert "slow" in screen.pane("faults")[2]
        assert "space disarm" in screen.line("keys")
        await screen.press("y")
        assert "copied the rule" in screen.line("keys")
        assert screen.app.clipboard == "--fault 'latency,latency=1s,match=op:text,name=slow'"
        await screen.press("space")
        await screen.until(lambda: "[ ]" in screen.pane("faults")[2])
        assert "slow is disarmed; what it held was released" in screen.line("keys")
        screen.app.workspace.unsay()
        await screen.until(lambda: "space arm" in screen.line("keys"))
        await screen.press("enter")
        assert "Change slow" in dialog(screen)[0]
        await enter(screen, "latency:c2s,latency=2s")
        await screen.until(lambda: "c>s" in screen.pane("faults")[2])
        assert lab.rules() == [
            {"name": "slow", "kind": "latency", "direction": "c2s", "latency": "2s", "armed": True}
        ]
        await screen.press("x")
        await screen.until(lambda: lab.rules() == [])
        await screen.until(lambda: "removed slow" in screen.line("keys"))


async def test_f_takes_all_away_and_says_what_was_released(lab, live):
    lab.arm(kind="hold", direction="s2c", count=100)
    lab.arm(kind="drop", match="op:pong", armed=False)
    lab.engine.held_count = 1
    async with opened(live) as screen:
        await screen.until(lambda: "FAULTS ON: 1 rule" in screen.line("header"))
        await screen.until(lambda: screen.app.workspace.engine_view.held[0] == 1)
        await screen.press("F")
        await screen.until(lambda: "FAULTS ON" not in screen.line("header"))
        words = "removed 2 rules (hold_s2c, drop); released what 1 connection held back"
        assert words in screen.line("keys")


async def test_remove_all_is_offered_where_there_is_a_rule(lab, live):
    async with opened(live) as screen:
        await screen.press("f")
        await screen.until(lambda: "no rules" in screen.pane("faults")[0])
        assert "a add" in screen.line("keys")
        assert "remove all" not in screen.line("keys")
        lab.arm(kind="drop", match="op:pong", armed=False)
        await screen.until(lambda: "F remove all" in screen.line("keys"))


@pytest.mark.parametrize(
    ("size", "colour"),
    [
        ((60, 15), False),
        ((200, 50), True),
        *(
            pytest.param(size, colour, marks=pytest.mark.slow)
            for size, colour in [((60, 15), True), ((80, 24), True), ((80, 24), False), ((200, 50), False)]
        ),
    ],
)
async def test_that_faults_are_on_is_said_on_every_page(lab, live, size, colour, monkeypatch):
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    async with opened(live, size=size) as screen:
        lab.arm(kind="drop")
        lab.arm(kind="latency", latency="1s")
        await screen.until(lambda: "FAULTS ON: 2 rules" in screen.line("header"))
        for keys in (("f",), ("h",), ("t",), ("i",), ("question_mark",), ("escape", "a")):
            await screen.press(*keys)
            assert "FAULTS ON: 2 rules" in screen.line("header")
            svg = screen.app.export_screenshot()
            assert "FAULTS&#160;ON:&#160;2&#160;rules" in svg


async def test_what_the_engine_refuses_is_said_and_the_line_stays(lab, live):
    lab.arm(name="slow", kind="latency", latency="1s")
    lab.arm(name="other", kind="drop")
    async with opened(live) as screen:
        await screen.press("f")
        await screen.until(lambda: screen.app.workspace.engine_view.armed == 2)
        await screen.press("enter")
        top: Any = screen.app.screen
        top.input("rule-line").value = "latency,latency=1s,name=other"
        await screen.press("enter")
        await screen.until(lambda: "✗ rule 'other' exists already" in "\n".join(dialog(screen)))
        assert top.input("rule-line").value == "latency,latency=1s,name=other"
        await screen.press("ctrl+c")
        assert not isinstance(screen.app.screen, Dialog)


async def test_a_preset_with_phases_is_warned_of(lab, live):
    lab.arm(kind="drop")
    async with opened(live) as screen:
        await screen.press("f", "a")
        top: Any = screen.app.screen
        top.input("rule-line").value = "like server-deploy"
        await screen.pilot.pause()
        assert "▲ it replaces all rules" in "\n".join(dialog(screen))
        await enter(screen, "like server-deploy")
        await screen.until(lambda: "phase not under way" in screen.line("faults"))
        assert [rule["name"] for rule in lab.rules()] == ["unavailable"]


async def test_a_rule_that_can_never_act_is_armed_and_that_is_said(lab, live):
    async with opened(live, size=(120, 36)) as screen:
        await screen.press("f", "a")
        await enter(screen, "drop,tap=nowhere")
        await screen.until(lambda: "armed drop, but it can never act" in screen.line("keys"))
        assert "there is no tap 'nowhere' (reverse)" in screen.line("keys")


async def test_a_preset_cannot_replace_one_rule(lab, live):
    lab.arm(kind="drop")
    async with opened(live) as screen:
        await screen.press("f")
        await screen.until(lambda: screen.app.workspace.engine_view.armed == 1)
        await screen.press("enter")
        top: Any = screen.app.screen
        top.input("rule-line").value = "like satellite"
        await screen.press("enter")
        assert "✗ one rule can only be replaced by one rule" in "\n".join(dialog(screen))


async def test_an_engine_that_exits_is_reported_and_keys_say_why(lab, live):
    lab.arm(kind="drop")
    async with opened(live, size=(200, 50)) as screen:
        await screen.press("f")
        await screen.until(lambda: "FAULTS ON" in screen.line("header"))
        assert " a add " in screen.line("keys")
        lab.stop()
        await screen.until(lambda: "no proxy is recording to this file" in screen.line("faults"))
        assert "FAULTS ON" not in screen.line("header")
        assert "(a add)" in screen.line("keys")
        for key in ("a", "enter", "space", "x", "F"):
            await screen.press(key)
            assert "no proxy" in screen.line("keys")
            assert screen.app.screen is screen.app.page


async def test_a_recorded_file_shows_the_ledger_and_that_no_engine_runs(tmp_path):
    async with opened(chat_capture(tmp_path / "old.db"), size=(80, 24)) as screen:
        await screen.press("f")
        text = "\n".join(screen.pane("faults"))
        assert "2 rules acted, 2 hits" in text
        assert "no proxy is recording to this file" in text
        assert "latency_c2s" in text
        await screen.press("a")
        assert "faults: this is a recording: no proxy is running on it" in screen.line("keys")


async def test_what_a_breakpoint_holds_counts_as_hits(lab, live):
    async with opened(live, size=(120, 36)) as screen:
        await screen.press("f")
        lab.arm(name="orders", kind="break", match="op:text")
        lab.arm(name="other", kind="break", match="op:bin")
        for number in (1, 2):
            lab.call(lambda number=number: lab.engine.waiting.update({f"m3-c2s-{number}": held(number)}))
        await screen.until(lambda: any("2 held, B shows them:" in line for line in screen.pane("faults")))
        [row] = [line for line in screen.pane("faults") if " orders" in line]
        assert row.split()[-2:] == ["2", "-"]
        [row] = [line for line in screen.pane("faults") if " other" in line]
        assert row.split()[-2:] == ["0", "-"]
        assert "4 hits" in screen.pane("faults")[0]
        lab.call(lab.engine.waiting.clear)
        await screen.until(lambda: "2 hits" in screen.pane("faults")[0])


def held(number: int) -> Held:
    """A message that the rule `orders` holds."""
    return Held(
        name=f"m3-c2s-{number}",
        rule="orders",
        connection=3,
        what="message",
        direction="c2s",
        since_ns=0,
        until_ns=None,
        opcode=1,
        data=b"x",
    )


async def test_one_hit_is_said_in_the_singular(tmp_path):
    with CaptureBuilder(tmp_path / "one.db") as builder:
        builder.connection(1)
        builder.fault("drop_c2s", "drop", 1, builder.frame(1, 10, 1, b"x"), 10)
    async with opened(tmp_path / "one.db") as screen:
        await screen.press("f")
        assert "1 rule acted, 1 hit " in screen.pane("faults")[0]
        assert "It has acted in this capture." in "\n".join(screen.pane("faults")), (
            "nobody knows if it is gone"
        )


@pytest.mark.parametrize("line", ["like ", "like apach"])
async def test_a_preset_that_is_typed_is_not_answered_with_all_of_them(lab, live, line):
    async with opened(live) as screen:
        await screen.press("f", "a")
        top = screen.app.screen
        assert isinstance(top, RuleDialog)
        top.input("rule-line").value = line
        await screen.until(lambda: any("apache-default" in one for one in dialog(screen)))
        verdict = top.words("dialog-verdict").lines
        assert not any("aws-alb, azure-lb" in text for one in verdict for text, _ in one)
        assert (verdict[0][0][1] == "error") == (line != "like ")


async def test_hostile_names_are_shown_escaped(lab, live):
    lab.arm(kind="refuse", body="\x1b[2J[bold]x", headers={"X": "\x1b]0;owned"[4:]})
    async with opened(live) as screen:
        await screen.press("f")
        await screen.until(lambda: screen.app.workspace.engine_view.armed == 1)
        text = "\n".join(screen.pane("faults"))
        assert "\x1b" not in text
        assert "␛[2J[bold]x" in text


async def test_the_mouse_chooses_a_rule(lab, live):
    lab.arm(kind="drop")
    lab.arm(kind="latency", latency="1s")
    async with opened(live) as screen:
        await screen.press("f")
        await screen.until(lambda: screen.app.workspace.engine_view.armed == 2)
        await screen.pilot.click("#faults", offset=(5, 3))
        chosen = screen.widget("faults", FaultsPane).chosen()
        assert chosen is not None
        assert chosen.name == "latency"


async def test_the_palette_adds_faults(lab, live):
    async with opened(live) as screen:
        commands = {one.title: one for one in screen.app.get_system_commands(screen.app.screen)}
        assert {"fault: add latency", "export: HAR", "fault: like a preset"} <= set(commands)
        commands["fault: add bandwidth"].callback()
        await screen.pilot.pause()
        top: Any = screen.app.screen
        assert top.input("rule-line").value == "bandwidth"


# -- pictures


def compare(screen: Screen, name: str, scratch: Path) -> None:
    assert_same_screen(screen.app.export_screenshot(title="wsinspect"), KNOWN / f"{name}.svg", scratch)


async def two_rules(lab: ControlLab, screen: Screen) -> None:
    lab.arm(name="slow", kind="latency", direction="c2s", latency="250ms", jitter="50ms", match="op:text")
    lab.arm(kind="close", code=1012, when={"after": "100frames"}, armed=False)
    lab.arm(name="latency_c2s", kind="latency", direction="c2s", latency="250ms")
    await screen.until(lambda: len(screen.app.workspace.engine_view.rules) == 3)


@pytest.mark.snapshot
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", ["rules", "form-error", "form", "question"])
async def test_picture(lab, live, tmp_path, monkeypatch, state, size):
    from wsinspect.tui.screens import faults

    monkeypatch.setattr(faults, "ago", lambda _ns: "1.0 s")
    async with opened(live, size=size) as screen:
        await two_rules(lab, screen)
        await screen.press("f")
        if state.startswith("form"):
            await screen.press("a")
            top: Any = screen.app.screen
            top.input("rule-line").value = "latency:s2c,latency=300" + (
                "fortnights" if "error" in state else "ms"
            )
            await screen.pilot.pause()
        elif state == "question":
            lab.engine.held_count = 2
            await screen.until(lambda: screen.app.workspace.engine_view.held[0] == 2)
            await screen.press("q")
            await screen.until(lambda: isinstance(screen.app.screen, Question))
        screen.app.workspace._said_until = 0.0
        screen.model.lag_ns = None
        screen.app.page.refresh_lines()
        await screen.pilot.pause()
        compare(screen, f"faults-{state}-{size[0]}x{size[1]}", tmp_path)


@pytest.mark.snapshot
async def test_picture_without_colour(lab, live, tmp_path, monkeypatch):
    from wsinspect.tui.screens import faults

    monkeypatch.setattr(faults, "ago", lambda _ns: "1.0 s")
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(live, size=(80, 24)) as screen:
        await two_rules(lab, screen)
        await screen.press("f")
        screen.model.lag_ns = None
        screen.app.page.refresh_lines()
        await screen.pilot.pause()
        compare(screen, "faults-no-colour", tmp_path)


@pytest.mark.snapshot
@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_picture_of_no_rules(tmp_path, size):
    from tests.support.tui_captures import CaptureBuilder

    path = tmp_path / "chat.db"
    builder = CaptureBuilder(path)
    builder.close(clean=False)
    lock = hold_engine_lock(path)
    with control_lab(path):
        async with opened(path, size=size) as screen:
            await screen.press("f")
            assert "No fault rules: traffic passes untouched." in "\n".join(screen.pane("faults"))
            compare(screen, f"faults-none-{size[0]}x{size[1]}", tmp_path)
    lock.release()
