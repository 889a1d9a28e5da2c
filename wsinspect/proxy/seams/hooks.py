"""Seam: how mitmproxy calls its addons (`AddonManager`, `ConnectionHandler.hook_task`).

Stock mitmproxy asks every addon for every hook, looks the hook's fields up, makes a task for it, and lets the
task wait for the lock under which it was made: nearly half of what an opening handshake cost the engine. Here
the functions of a hook are looked up once, and a hook whose functions answer at once is answered where it is
asked for. What waits (an addon that returns an awaitable, a flow that is held back) gets a task, as before.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from mitmproxy import addonmanager, exceptions, flow, hooks
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.server import ConnectionHandler

_UPDATE: Final = hooks.UpdateHook.name


class Addons(addonmanager.AddonManager):
    """mitmproxy's addon manager; what it knows of an addon is kept until addons come or go."""

    def __init__(self, master: Any) -> None:
        self._functions: dict[str, Sequence[Callable[..., Any]]] = {}
        super().__init__(master)  # type: ignore[no-untyped-call]

    def register(self, addon: Any) -> Any:
        """mitmproxy's method, for each addon that is added."""
        self._functions.clear()
        return super().register(addon)  # type: ignore[no-untyped-call]

    def add(self, *addons: Any) -> None:
        """Add to the end of the chain; what was found before is forgotten."""
        super().add(*addons)  # type: ignore[no-untyped-call]
        self._functions.clear()

    def remove(self, addon: Any) -> None:
        """Remove one with all below it; what was found before is forgotten."""
        super().remove(addon)  # type: ignore[no-untyped-call]
        self._functions.clear()

    def clear(self) -> None:
        """Remove all; what was found before is forgotten."""
        super().clear()  # type: ignore[no-untyped-call]
        self._functions.clear()

    def functions(self, name: str) -> Sequence[Callable[..., Any]]:
        """What the addons have for a hook, in their order."""
        found = self._functions.get(name)
        if found is None:
            found = self._functions[name] = tuple(self._find(name))
        return found

    def _find(self, name: str) -> Iterable[Callable[..., Any]]:
        for addon in addonmanager.traverse(self.chain):
            function = getattr(addon, name, None)
            if callable(function):
                yield function

    def call(self, hook: hooks.Hook, data: Any) -> Any:
        """Call a hook's functions with what it is about.

        Returns:
            None when all have answered; a coroutine for the rest when one of them has to be waited for.
        """
        return self.answer(hook.name, data)

    def answer(self, name: str, data: Any) -> Any:
        """The same, by the hook's name."""
        waiting = self._call(self.functions(name), data)
        if waiting is None and isinstance(data, flow.Flow):
            return self._call(self.functions(_UPDATE), [data])
        return waiting if waiting is None else self._then_update(waiting, data)

    def _call(self, functions: Sequence[Callable[..., Any]], data: Any) -> Any:
        for number, function in enumerate(functions):
            try:
                result = function(data)
            except exceptions.AddonHalt:
                return None
            except Exception:
                # `safecall` logs what an addon raises; around each call it costs more than the call does.
                with addonmanager.safecall():
                    raise
            else:
                if result is not None and inspect.isawaitable(result):
                    return self._wait(result, functions[number + 1 :], data)
        return None

    async def _wait(self, result: Any, rest: Sequence[Callable[..., Any]], data: Any) -> None:
        try:
            with addonmanager.safecall():
                await result
        except exceptions.AddonHalt:
            return
        waiting = self._call(rest, data)
        if waiting is not None:
            await waiting

    async def _then_update(self, waiting: Any, data: Any) -> None:
        await waiting
        if isinstance(data, flow.Flow):
            update = self._call(self.functions(_UPDATE), [data])
            if update is not None:
                await update

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """mitmproxy's method: a hook of a connection or a flow."""
        waiting = self.call(event, _subject(event))
        if waiting is not None:
            await waiting


class Answering:
    """A client's outermost layer, with its hooks answered in place where nothing has to wait.

    Args:
        handler: whose `layer` it takes the place of.
        addons: what answers.
    """

    def __init__(self, handler: ConnectionHandler, addons: Addons) -> None:
        self._handler = handler
        self._layer = handler.layer
        self._addons = addons
        self._tasks: set[asyncio.Task[None]] = set()
        self.context = handler.layer.context

    def handle_event(self, event: events.Event) -> Any:
        """What `ConnectionHandler.server_event` asks: the commands that an event leads to."""
        pending = deque([event])
        while pending:
            for command in self._layer.handle_event(pending.popleft()):
                if not isinstance(command, commands.StartHook):
                    yield command
                elif self._is_answered(command) and command.blocking:
                    pending.append(events.HookCompleted(command))

    def _is_answered(self, hook: commands.StartHook) -> bool:
        data = _subject(hook)
        waiting = self._addons.call(hook, data)
        if waiting is None and not (isinstance(data, flow.Flow) and data.intercepted):
            return True
        task = asyncio.get_running_loop().create_task(self._answer_later(waiting, hook, data))
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return False

    async def _answer_later(self, waiting: Any, hook: commands.StartHook, data: Any) -> None:
        with self._handler.timeout_watchdog.disarm():
            if waiting is not None:
                await waiting
            if isinstance(data, flow.Flow):
                await data.wait_for_resume()
        if hook.blocking:
            await self._handler.server_event(events.HookCompleted(hook))


def _subject(hook: hooks.Hook) -> Any:
    """What a hook is about: its first field, and all hooks of connections and flows have one."""
    return getattr(hook, type(hook).__match_args__[0])  # type: ignore[attr-defined]


def answer_in_place(handler: ConnectionHandler, addons: addonmanager.AddonManager) -> None:
    """Have a client's hooks answered in place; nothing happens under another addon manager than ours."""
    if isinstance(addons, Addons):
        handler.layer = Answering(handler, addons)  # type: ignore[assignment]


__all__ = ["Addons", "Answering", "answer_in_place"]
