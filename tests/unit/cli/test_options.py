"""Taps, and option values that are refused as click refuses them."""

from __future__ import annotations

import click
import pytest

from wsinspect.cli import options
from wsinspect.cli.options import TapSpec
from wsinspect.net import Address, Endpoint


def test_tap_is_read():
    tap = options.parse_tap("edge=8081=http://127.0.0.1:80")
    assert tap == TapSpec("edge", Address("127.0.0.1", 8081), Endpoint("http", "127.0.0.1", 80))
    assert str(tap.target) == "http://127.0.0.1:80"


@pytest.mark.parametrize(
    "text", ["", "edge", "edge=8081", "=1=http://x", "a b=1=http://x", "e=x=http://x", "e=1=x"]
)
def test_wrong_tap_is_refused(text):
    with pytest.raises(ValueError, match=r"tap|port|URL"):
        options.parse_tap(text)


def test_types_refuse_as_click_does():
    assert options.SIZE.convert(7, None, None) == 7
    assert options.SIZE.convert("7", None, None) == 7
    with pytest.raises(click.BadParameter, match="column 3"):
        options.SIZE.convert("7 KiQ", None, None)


def test_narration_breaks_between_words_on_a_terminal_alone(monkeypatch):
    from wsinspect.cli.output import narration

    line = "wsinspect: 2 captures of earlier runs in /home/ada/.local/share/wsinspect/captures; wsinspect ls"
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    assert narration(line) == line
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    assert narration(line).split("\n") == [
        "wsinspect: 2 captures of earlier runs in",
        "  /home/ada/.local/share/wsinspect/captures; wsinspect ls",
    ]
