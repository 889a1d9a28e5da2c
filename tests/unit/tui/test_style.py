"""Styles: the theme's ground is painted, NO_COLOR and ansi themes leave the terminal's own."""

from __future__ import annotations

import pytest
from textual.strip import Strip

from tests.support.tui_captures import chat_capture
from tests.support.tui_pilot import opened
from wsinspect.tui.style import STYLE_NAMES, Palette

DARK = ("#e0e0e0", "#121212")
LIGHT = ("#1f1f1f", "#e0e0e0")


def grounds(strip: Strip) -> set[str | None]:
    return {one.style.bgcolor.name if one.style and one.style.bgcolor else None for one in strip}


@pytest.mark.parametrize("name", sorted(STYLE_NAMES))
def test_every_style_stands_on_the_ground_or_on_one_of_its_own(name):
    strip = Palette(ground=DARK).strip([("text", name)], 10)
    assert None not in grounds(strip)
    assert all(one.style and one.style.color for one in strip)


def test_a_chosen_row_has_the_cursors_ground_from_end_to_end():
    palette = Palette(ground=DARK)
    assert grounds(palette.strip([("a", "muted"), ("b", "")], 10, "cursor")) == {"#2d3f55"}
    assert grounds(palette.strip([("a", "muted")], 10)) == {"#121212"}


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: tuple[int, int, int]) -> float:
        parts = [part / 255 for part in colour]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("over", ["", "cursor", "idle"])
@pytest.mark.parametrize(("is_dark", "ground"), [(True, DARK), (False, LIGHT)])
def test_text_can_be_read_on_every_ground(is_dark, ground, over):
    """At least 4.5:1 (1.4.3); rules and scroll bars are no text."""
    palette = Palette(is_dark, ground=ground)
    faint = {}
    for name in sorted(STYLE_NAMES - {"rule"}):
        style = next(iter(palette.strip([("text", name)], 4, over))).style
        assert style is not None
        assert style.color is not None
        assert style.bgcolor is not None
        ratio = contrast(style.color.get_truecolor(), style.bgcolor.get_truecolor())
        if ratio < 4.5:
            faint[name] = round(ratio, 2)
    assert not faint


def test_without_colour_no_ground_is_painted():
    palette = Palette(has_colour=False, ground=DARK)
    for name in STYLE_NAMES:
        assert grounds(palette.strip([("text", name)], 10)) == {None}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("theme", "ground"),
    [("textual-light", "#e0e0e0"), ("textual-dark", "#121212"), ("ansi-dark", None), ("ansi-light", None)],
)
async def test_the_ground_is_the_themes(tmp_path, theme, ground):
    async with opened(chat_capture(tmp_path / "chat.db")) as screen:
        screen.app.theme = theme
        await screen.press("3", "g")
        assert grounds(screen.main.frames.render_line(0)) == {ground}


@pytest.mark.asyncio
async def test_the_way_out_is_in_the_footer_however_narrow(tmp_path):
    for width in (60, 80, 120):
        async with opened(chat_capture(tmp_path / f"chat-{width}.db"), size=(width, 24)) as screen:
            assert screen.line("keys").endswith("q quit")
            assert "? help" in screen.line("keys")


@pytest.mark.asyncio
async def test_a_long_banner_takes_two_lines(tmp_path):
    path = chat_capture(tmp_path / "chat.db", clean=False)
    async with opened(path, size=(80, 24)) as screen:
        screen.model.was_live = True
        await screen.until(lambda: "The proxy has exited" in screen.line("banner"))
        banner = screen.main.banner
        await screen.until(lambda: banner.size.height == 2)
        text = " ".join(banner.render_line(y).text.strip() for y in range(2))
        assert text.endswith("wsinspect run --append continues this recording, q quits.")
