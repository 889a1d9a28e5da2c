"""The thread that asks the engine: every state of an engine is words, and no screen ever waits."""

from __future__ import annotations

import queue
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.control_lab import ControlLab, control_lab
from tests.support.small_servers import Page, pages
from wsinspect.launch.engines import register
from wsinspect.tui.engine import link as links
from wsinspect.tui.engine import requests
from wsinspect.tui.engine.link import Answer, ControlLink, EngineView
from wsinspect.tui.engine.rule_language import judge

PATIENCE_S = 20


@pytest.fixture
def capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "chat.db"


class Watcher:
    """A link, and what it told."""

    def __init__(self, capture: Path) -> None:
        self.views: queue.Queue[EngineView] = queue.Queue()
        self.link = ControlLink(capture, lambda call, *arguments: call(*arguments), self.views.put)
        self.link.start()

    def until(self, fact: Callable[[EngineView], bool]) -> EngineView:
        while True:
            view = self.views.get(timeout=PATIENCE_S)
            if fact(view):
                return view

    def ask(self, work: links.Work) -> Answer:
        answers: queue.Queue[Answer] = queue.Queue()
        self.link.ask(work, answers.put)
        return answers.get(timeout=PATIENCE_S)


@pytest.fixture
def watcher(capture: Path) -> Iterator[Callable[[], Watcher]]:
    made: list[Watcher] = []

    def make() -> Watcher:
        made.append(Watcher(capture))
        return made[-1]

    yield make
    for one in made:
        one.link.stop()
        one.link.join(PATIENCE_S)
        assert not one.link.is_alive()


@pytest.fixture
def lab(capture: Path) -> Iterator[ControlLab]:
    with control_lab(capture) as made:
        yield made


def test_rules_are_seen_added_changed_armed_and_taken_away(lab, watcher):
    watch = watcher()
    assert watch.until(lambda view: view.is_up).seed == 7341
    lab.arm(kind="drop", match="op:pong")
    assert watch.until(lambda view: view.armed == 1).rule("drop") is not None
    made = watch.ask(requests.add(judge("latency:s2c,latency=1s"), ["drop"]))
    assert [rule["name"] for rule in made.value] == ["latency_s2c"]
    view = watch.until(lambda view: view.armed == 2)
    old = view.rule("latency_s2c")
    assert old is not None
    assert watch.ask(requests.change(old, judge("latency,latency=2s,jitter=1s"))).value["jitter"] == "1s"
    assert watch.ask(requests.arm("latency_s2c", False)).value["armed"] is False
    assert watch.until(lambda view: view.armed == 1)
    assert lab.rules()[1] == {
        "name": "latency_s2c",
        "kind": "latency",
        "latency": "2s",
        "jitter": "1s",
        "armed": False,
    }
    assert watch.ask(requests.remove("drop")).value == {"removed": "drop"}
    answer = watch.ask(requests.reset())
    assert requests.reset_words(answer.value) == "removed 1 rule (latency_s2c); nothing was held back"
    assert watch.ask(requests.remove("drop")).error == "there is no rule 'drop'"


def test_presets_keep_their_names_where_these_are_free_and_phases_replace_all(lab, watcher):
    watch = watcher()
    made = watch.ask(requests.add(judge("like satellite"), ["line"]))
    assert [rule["name"] for rule in made.value] == ["latency", "line-2"]
    loaded = watch.ask(requests.add(judge("like server-deploy"), []))
    assert loaded.value["phases"] == 3
    assert [rule["name"] for rule in lab.rules()] == ["unavailable"]


def test_without_an_engine_it_says_so_and_finds_one_that_starts(capture, watcher):
    watch = watcher()
    view = watch.until(lambda view: view.state == links.NO_ENGINE)
    assert (view.words, view.is_up) == ("no proxy is recording to this file", False)
    assert watch.ask(requests.reset()).error == "no proxy is recording to this file"
    with control_lab(capture) as lab:
        watch.until(lambda view: view.is_up)
        lab.stop()
        watch.until(lambda view: not view.is_up)
        assert watch.ask(requests.reset()).error


def test_another_capture_s_engine_is_left_alone(tmp_path, lab, watcher, monkeypatch):
    other = ControlLink(tmp_path / "other.db", lambda call, *arguments: call(*arguments), lambda view: None)
    answers: queue.Queue[Answer] = queue.Queue()
    other.ask(requests.reset(), answers.put)
    other.start()
    assert answers.get(timeout=PATIENCE_S).error == "no proxy is recording to this file"
    other.stop()
    other.join(PATIENCE_S)


def test_an_engine_without_a_control_api_is_reported(capture, watcher):
    run_file = register(capture, [], None)
    view = watcher().until(lambda view: view.state == links.NO_API)
    assert view.words == "this proxy has no control API"
    run_file.close()


def test_a_token_file_that_is_gone_or_wrong_is_reported(capture, lab, watcher):
    token = capture.with_name("lab.token")
    right = token.read_text()
    token.write_text("wrong\n")
    view = watcher().until(lambda view: view.state == links.REFUSING)
    assert view.words.startswith("the proxy refuses: expected Authorization")
    token.unlink()
    view = watcher().until(lambda view: view.state == links.REFUSING)
    assert "cannot read the token file" in view.words
    token.write_text(right)
    watcher().until(lambda view: view.is_up)


def test_an_engine_that_accepts_and_never_answers_is_silent(capture, watcher, monkeypatch):
    monkeypatch.setattr(links, "_PATIENCE_SECONDS", 0.1)
    token = capture.with_name("token")
    token.write_text("t")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        run_file = register(capture, [], {"url": url, "token_file": str(token)})
        view = watcher().until(lambda view: view.state == links.SILENT)
        assert view.words == "the engine does not answer: timed out"
        run_file.close()


@pytest.mark.parametrize(
    ("status", "body", "state", "words"),
    [
        (404, b"{}", links.OLDER, "this proxy is too old for faults"),
        (500, b"oops", links.REFUSING, "the proxy refuses: HTTP 500"),
        (200, b"[1]", links.REFUSING, "the proxy's answer is not a JSON object"),
        (200, b"no json", links.REFUSING, "the proxy's answer is not a JSON object"),
        (200, b'{"faults": 3, "seed": "x"}', links.UP, ""),
    ],
)
def test_odd_answers_are_states(capture, watcher, status, body, state, words):
    token = capture.with_name("token")
    token.write_text("t")
    with pages(lambda _path: Page(body, status=status)) as port:
        facts = {"url": f"http://127.0.0.1:{port}", "token_file": str(token)}
        run_file = register(capture, [], facts)
        view = watcher().until(lambda view: view.state != links.SEEKING)
        assert (view.state, view.words) == (state, words)
        run_file.close()


def test_what_is_held_is_put_into_words():
    assert EngineView(status={"connections_held": 2, "bytes_held": 2048}).held == (2, 2048)
    assert EngineView(status={"connections_held": "x"}).held == (0, None)
    assert requests.held_words((2, 2048)) == "2 connections hold back 2.0 KiB"
    assert requests.held_words((1, None)) == "1 connection holds back frames"
    words = requests.reset_words({"removed": ["a", "b"], "held": (1, 10)})
    assert words == "removed 2 rules (a, b); released what 1 connection held back (10 B)"
    assert requests.reset_words({"removed": []}) == "there is no fault rule to remove"
