"""What is not made twice: contexts, options, hooks and hosts are what they were."""

import sys
from dataclasses import dataclass
from typing import Any

import pytest
from mitmproxy import http, options
from mitmproxy.net.http import url
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.test import tflow

from wsinspect.proxy.seams.waste import install_waste, shorten_queue


@pytest.fixture(autouse=True)
def _installed() -> None:
    install_waste()
    install_waste()


@dataclass
class WsinspectWasteHook(commands.StartHook):
    """A hook with a field."""

    subject: Any


def test_a_context_and_its_copy() -> None:
    context = Context(tflow.tclient_conn(), options.Options())
    outer: Any = object()
    context.layers = [outer]
    copy = context.fork()
    copy.layers.append(outer)
    assert (copy.client, copy.server, copy.options) == (context.client, context.server, context.options)
    assert copy.server is context.server
    assert context.layers == [outer]


def test_an_option_that_could_be_changed_is_a_copy() -> None:
    settings = options.Options()
    settings.update(ignore_hosts=["one"], ssl_insecure=True)
    settings.ignore_hosts.append("two")
    assert (settings.ignore_hosts, settings.ssl_insecure) == (["one"], True)
    settings.update(ignore_hosts=["three"], ssl_insecure=False)
    assert (settings.ignore_hosts, settings.ssl_insecure) == (["three"], False)
    settings.reset()
    assert settings.ignore_hosts == []


def test_hooks_and_answers_are_made_as_before() -> None:
    hook = WsinspectWasteHook(subject="it")
    assert hook.subject == "it"
    assert events.HookCompleted(hook).command is hook


@pytest.mark.parametrize("kind", [str, bytes])
def test_a_host_is_read_alike_each_time(kind: Any) -> None:
    good: Any
    bad: Any
    good, bad = ("[::1]:80", "a:b:c") if kind is str else (b"[::1]:80", b"a:b:c")
    for _ in range(2):
        assert url.parse_authority(good, check=True) == ("::1", 80)
        with pytest.raises(ValueError):
            url.parse_authority(bad, check=True)
        assert url.parse_authority(bad, check=False) == ("a:b:c", None)


@pytest.mark.parametrize("name", ["X-Two", "x-two", b"X-TWO"])
def test_a_field_is_found_by_its_name_in_any_case(name: Any) -> None:
    headers = http.Headers(
        [(b"X-Two", b"one"), (b"Host", b"h"), (b"x-two", b"tw\xf6"), (b"X-Twofold", b"no")]
    )
    assert headers.get_all(name) == ["one", "tw\udcf6"]
    assert headers.get(name) == headers[name] == "one, tw\udcf6"
    assert name in headers


def test_a_field_that_is_not_there() -> None:
    headers = http.Headers([(b"Host", b"")])
    assert headers.get_all("x-\udcf6") == []
    assert headers.get("x-\udcf6") is None
    assert headers.get("missing", "default") == "default"
    assert headers.get("host", "default") == ""
    assert "missing" not in headers
    with pytest.raises(KeyError):
        headers["missing"]
    headers["missing"] = "here"
    assert headers.get("Missing") == "here"


class _Waiting(Layer):
    """Waits for each event's hook, and says what it was given."""

    def _handle_event(self, event: events.Event) -> Any:
        yield commands.Log(repr(event))
        yield WsinspectWasteHook(event)


def test_what_comes_while_a_layer_waits_is_handled_in_order() -> None:
    layer = _Waiting(Context(tflow.tclient_conn(), options.Options()))
    shorten_queue(layer)
    said, hooks = [], []
    arrived = [events.DataReceived(layer.context.client, bytes([number])) for number in range(4)]

    def give(event: events.Event) -> None:
        for command in layer.handle_event(event):
            if isinstance(command, commands.Log):
                said.append(command.message)
            else:
                assert isinstance(command, commands.StartHook)
                hooks.append(command)

    for event in arrived:
        give(event)
    assert len(said) == 1
    while hooks:
        give(events.HookCompleted(hooks.pop()))
    assert said == [repr(event) for event in arrived]


def test_an_empty_queue_takes_no_room() -> None:
    layer = _Waiting(Context(tflow.tclient_conn(), options.Options()))
    shorten_queue(layer)
    assert sys.getsizeof(layer._paused_event_queue) < 100
