"""Hooks that are answered in place: order, errors, and what has to wait."""

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy import exceptions, options
from mitmproxy.master import Master
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.server import TimeoutWatchdog
from mitmproxy.test import tflow
from mitmproxy.test.tutils import treq

from wsinspect.proxy.seams.hooks import Addons, Answering


@dataclass
class GreetingHook(commands.StartHook):
    """A hook that layers wait for."""

    subject: Any


@dataclass
class RemarkHook(commands.StartHook):
    """A hook that nothing waits for."""

    subject: Any
    blocking = False


class Listener:
    """An addon that notes what it was called with."""

    def __init__(self, name: str, heard: list[Any], answer: Any = None) -> None:
        self.name = name
        self.heard = heard
        self.answer = answer

    def greeting(self, subject: Any) -> Any:
        self.heard.append((self.name, subject))
        return self.answer() if self.answer else None

    def remark(self, subject: Any) -> None:
        self.heard.append((self.name, "remark"))

    def update(self, flows: Any) -> None:
        self.heard.append((self.name, "update", list(flows)))


class Asking(layer.Layer):
    """At each event: a remark, a greeting, and a line once the greeting was answered."""

    subject: Any = "it"

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield RemarkHook(self.subject)
        yield commands.Log("asking")
        yield GreetingHook(self.subject)
        yield commands.Log("answered")


class Handler:
    """What `Answering` needs of a ConnectionHandler; it collects the lines that the layers log."""

    def __init__(self, inner: layer.Layer) -> None:
        self.layer: Any = inner
        self.lines: list[str] = []
        self.added = asyncio.Event()
        self.timeout_watchdog = TimeoutWatchdog(60, self.never)

    async def never(self) -> None:
        raise AssertionError("no timeout here")

    async def server_event(self, event: events.Event) -> None:
        self.take(event)

    def take(self, event: events.Event) -> None:
        for command in self.layer.handle_event(event):
            assert isinstance(command, commands.Log)
            self.lines.append(command.message)
            self.added.set()

    async def has_lines(self, count: int) -> None:
        while len(self.lines) < count:
            self.added.clear()
            await self.added.wait()


async def _set_up(*addons: Any, subject: Any = "it") -> Handler:
    master = Master(options.Options())
    master.addons = Addons(master)
    master.addons.add(*addons)
    inner = Asking(SimpleNamespace(layers=[], options=master.options))  # type: ignore[arg-type]
    inner.subject = subject
    handler = Handler(inner)
    handler.layer = Answering(handler, master.addons)  # type: ignore[arg-type]
    return handler


def test_hook_when_all_addons_answer_at_once_no_task_is_made():
    async def run() -> None:
        heard: list[Any] = []
        handler = await _set_up(Listener("first", heard), Listener("second", heard))
        handler.take(events.Start())
        assert heard == [("first", "remark"), ("second", "remark"), ("first", "it"), ("second", "it")]
        assert handler.lines == ["asking", "answered"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_hook_when_nobody_listens_the_layer_goes_on():
    async def run() -> None:
        handler = await _set_up()
        handler.take(events.Start())
        assert handler.lines == ["asking", "answered"]

    asyncio.run(run())


def test_hook_when_one_addon_waits_the_next_is_called_after_it():
    async def run() -> None:
        heard: list[Any] = []
        gate = asyncio.Event()
        handler = await _set_up(Listener("slow", heard, gate.wait), Listener("next", heard))
        handler.take(events.Start())
        await asyncio.sleep(0)
        assert handler.lines == ["asking"]
        assert ("next", "it") not in heard
        handler.take(events.DataReceived(SimpleNamespace(), b"meanwhile"))  # type: ignore[arg-type]
        gate.set()
        await handler.has_lines(4)
        assert handler.lines == ["asking", "answered", "asking", "answered"]
        assert [each for each in heard if each[1] == "it"] == [
            ("slow", "it"),
            ("next", "it"),
            ("slow", "it"),
            ("next", "it"),
        ]

    asyncio.run(run())


def test_hook_when_an_addon_fails_it_is_logged_and_the_next_is_called(caplog):
    async def run() -> None:
        heard: list[Any] = []

        def fail() -> None:
            raise ValueError("a mistake of the addon")

        handler = await _set_up(Listener("faulty", heard, fail), Listener("next", heard))
        handler.take(events.Start())
        assert ("next", "it") in heard
        assert handler.lines == ["asking", "answered"]

    asyncio.run(run())
    assert "a mistake of the addon" in caplog.text


def test_hook_when_an_addon_halts_the_rest_is_not_called():
    async def run() -> None:
        heard: list[Any] = []

        def halt() -> None:
            raise exceptions.AddonHalt

        handler = await _set_up(Listener("first", heard, halt), Listener("next", heard))
        handler.take(events.Start())
        assert ("next", "it") not in heard
        assert handler.lines == ["asking", "answered"]

    asyncio.run(run())


def test_hook_when_options_are_wrong_the_error_goes_up():
    async def run() -> None:
        def refuse() -> None:
            raise exceptions.OptionsError("no such option")

        handler = await _set_up(Listener("first", [], refuse))
        with pytest.raises(exceptions.OptionsError):
            handler.take(events.Start())

    asyncio.run(run())


def test_hook_of_a_flow_that_is_held_back_waits_for_its_release():
    async def run() -> None:
        heard: list[Any] = []
        flow = tflow.tflow(req=treq())
        handler = await _set_up(Listener("only", heard, flow.intercept), subject=flow)
        handler.take(events.Start())
        await asyncio.sleep(0)
        assert handler.lines == ["asking"]
        assert ("only", "update", [flow]) in heard
        flow.resume()
        await handler.has_lines(2)
        assert handler.lines == ["asking", "answered"]

    asyncio.run(run())


def test_functions_when_addons_come_and_go_are_looked_up_again():
    async def run() -> None:
        heard: list[Any] = []
        handler = await _set_up(Listener("first", heard))
        addons = handler.layer._addons
        handler.take(events.Start())
        late = Listener("late", heard)
        addons.add(late)
        heard.clear()
        handler.take(events.Start())
        assert ("late", "it") in heard
        addons.remove(late)
        heard.clear()
        handler.take(events.Start())
        assert heard == [("first", "remark"), ("first", "it")]

    asyncio.run(run())


def test_lifecycle_when_an_addon_waits_it_is_waited_for():
    async def run() -> None:
        heard: list[Any] = []

        async def soon() -> None:
            await asyncio.sleep(0)
            heard.append("done")

        handler = await _set_up(Listener("slow", heard, soon))
        await handler.layer._addons.handle_lifecycle(GreetingHook("it"))
        assert heard[-1] == "done"

    asyncio.run(run())
