"""Python files of `run -s`: loaded, and their hooks found."""

from __future__ import annotations

import difflib
import inspect
import runpy
import signal
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from wsinspect.errors import UsageError
from wsinspect.faults.rule import Rule
from wsinspect.faults.scripting import HOOKS, Hook, OverdueError, Script
from wsinspect.faults.stages.scripted import Scripted
from wsinspect.units import SECOND, format_duration

#: A hook that has not returned by then is interrupted, and not called again: all traffic waits for it.
HOOK_SECONDS: Final = 5.0


def load_script(path: Path, say: Callable[[str], None]) -> Script:
    """Run a file, and take its hooks.

    Raises:
        UsageError: it cannot be read, it fails, or it has no hook.
    """
    name = str(path)
    try:
        namespace = runpy.run_path(name, run_name="wsinspect_script")
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from None
    except (Exception, SystemExit) as error:  # a user's code may raise anything, and call `sys.exit()`
        raise UsageError(f"{_place(name, error)}: {type(error).__name__}: {error}") from None
    hooks: dict[str, Hook] = {}
    for key, value in namespace.items():
        if key in HOOKS and callable(value):
            if reason := _why_no_hook(key, value):
                raise UsageError(f"{name}: {key} {reason}")
            hooks[key] = value
        elif key.startswith("on_") and callable(value):
            close = difflib.get_close_matches(key, HOOKS, 1)
            guess = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"{name}: unknown hook {key}: expected one of {', '.join(HOOKS)}{guess}")
    if not hooks:
        raise UsageError(f"{name} has no hook: expected a function {', '.join(HOOKS)}")
    return Script(name, hooks, say, call_in_time)


def call_in_time(hook: Hook, argument: Any) -> Any:
    """What a hook returns.

    The event loop, and SIGINT with it, waits for the hook: only a signal ends one that never returns. Signals
    reach the main thread alone, which is the engine's; elsewhere a hook has no limit.

    Raises:
        OverdueError: it took more than `HOOK_SECONDS`.
        BaseException: whatever the hook raises.
    """
    if threading.current_thread() is not threading.main_thread():
        return hook(argument)
    is_running = True

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if is_running:  # it may have returned just before
            limit = format_duration(round(HOOK_SECONDS * SECOND))
            raise OverdueError(f"did not return within {limit}, while all traffic waited")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, HOOK_SECONDS)
    try:
        return hook(argument)
    finally:
        is_running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _why_no_hook(name: str, function: Callable[..., object]) -> str:
    """What is wrong with a function as a hook; empty where it can be called with one object."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "is async: hooks are plain functions (def, not async def)"
    if inspect.isgeneratorfunction(function):
        return "has yield: hooks are plain functions, which return what takes a message's place"
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        return f"takes other arguments than one: expected def {name}(x)"
    except ValueError:
        return ""  # written in C, without a signature
    return ""


def rule_of(script: Script) -> Rule:
    """The rule that lets a script see every message."""
    return Rule(name="script", fault=Scripted(runner=script))


def _place(name: str, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    return f"{name}:{lines[-1]}" if lines else name
