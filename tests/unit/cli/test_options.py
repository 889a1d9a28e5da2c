"""Taps, and option values that are refused as click refuses them."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from wsinspect.cli import options
from wsinspect.cli.main import cli
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


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("run --listen 1 --listen 2", "--listen was given twice: each further address is a tap of its own"),
        ("run -l 1 --listen=2 --headless", "--listen was given twice"),
        ("run --reverse http://a --reverse http://b", "--reverse was given twice"),
        ("run --capture a.db --capture b.db", "--capture was given twice"),
        ("run --like aws-alb --like nginx", "--like was given twice"),
        ("show x.db --filter a --filter b", "--filter was given twice: 'A B' is both"),
        ("mock x.yaml -l 1 -l 2", "--listen was given twice"),
        ("serve x.db --listen 1 --listen 2", "--listen was given twice"),
    ],
)
def test_of_two_values_none_is_left_out_silently(arguments, named):
    done = CliRunner().invoke(cli, arguments.split())
    assert done.exit_code == 2
    assert named in done.stderr


def test_the_same_value_twice_is_one():
    command = click.Command("x", params=[options.Once(["--listen"], type=options.ADDRESS)])
    with command.make_context("x", ["--listen", "8081", "--listen", "127.0.0.1:8081"]) as context:
        assert context.params == {"listen": Address("127.0.0.1", 8081)}
    with command.make_context("x", []) as context:
        assert context.params == {"listen": None}


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
