"""The findings page reads a hop's configuration: the line and the diff become part of the finding."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from tests.support.tui_captures import CaptureBuilder
from tests.support.tui_pilot import Screen, opened
from wsinspect.doctor.proof import proving
from wsinspect.doctor.proof.proving import Proof
from wsinspect.findings.model import Proven
from wsinspect.tui.dialogs.configuration import ConfigurationDialog

pytestmark = pytest.mark.asyncio
FAULTY = """server {
    listen 8080;
    server_name localhost;
    location /chat {
        proxy_pass http://127.0.0.1:8765;
    }
}
"""


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "x.db"
    with CaptureBuilder(path) as builder:
        builder.refused(1, 0, 426)
        builder.finding("WS-HS-101", "error", 1, None, title="the upgrade is removed", fault_of="hop")
        builder.finding("WS-FR-003", "warning", 1, None, title="a frame of no hop")
    return path


def details(screen: Screen) -> str:
    return "\n".join(screen.pane("findings"))


async def fill(screen: Screen, path: str) -> ConfigurationDialog:
    top = screen.app.screen
    assert isinstance(top, ConfigurationDialog)
    top.input("configuration-path").value = path
    await screen.press()
    return top


def is_read(dialog: ConfigurationDialog) -> bool:
    return dialog._reading is None


async def read(screen: Screen, path: str) -> None:
    await screen.press("r")
    await fill(screen, path)
    await screen.press("enter")
    await screen.until(lambda: not isinstance(screen.app.screen, ConfigurationDialog))


async def test_the_line_and_the_diff_are_on_the_findings_card(tmp_path, capture):
    place = tmp_path / "app.conf"
    place.write_text(FAULTY)
    async with opened(capture, size=(120, 50)) as screen:
        await screen.press("i")
        assert "r reads the proxy's configuration" in details(screen)
        await read(screen, str(place))
        words = screen.app.page.document_text()
        assert f"location /chat in {place}:4" in words
        assert f"{place}:5" in words
        assert "+        proxy_set_header Upgrade $http_upgrade;" in words
        assert "proven" not in words
        # It is remembered: the next look needs no path, and the field has it.
        await screen.press("escape", "i")
        assert f"location /chat in {place}:4" in screen.app.page.document_text()
        await screen.press("r")
        top = screen.app.screen
        assert isinstance(top, ConfigurationDialog)
        assert top.input("configuration-path").value == str(place)
        await screen.press("escape")


async def test_what_does_not_explain_it_is_said(tmp_path, capture):
    place = tmp_path / "app.conf"
    place.write_text(
        FAULTY.replace(
            "proxy_pass",
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
            " proxy_set_header Connection $http_connection; proxy_set_header Host $http_host; proxy_pass",
        )
    )
    async with opened(capture, size=(120, 50)) as screen:
        await screen.press("i")
        await read(screen, str(place))
        words = screen.app.page.document_text()
        assert "which does not explain it" in words
        assert "+++" not in words


async def test_what_cannot_be_read_is_said_in_the_dialog_and_a_pipe_is_not_waited_for(tmp_path, capture):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.conf").write_text("nothing here\n")
    os.mkfifo(tmp_path / "pipe")
    async with opened(capture) as screen:
        await screen.press("i", "r")
        for name in ("gone", "empty.conf", "folder", "pipe"):
            top = await fill(screen, str(tmp_path / name))
            await screen.press("enter")
            await screen.until(partial(is_read, top))
            assert screen.app.screen is top, name
            said = top.words("dialog-verdict").render_line(0).text
            assert "is not there" in said or "not a configuration" in said, (name, said)
        await screen.press("escape")
        assert screen.app.workspace.places.read == ()


async def test_a_finding_of_no_hop_has_no_configuration(capture):
    async with opened(capture) as screen:
        await screen.press("i", "down")
        assert "r reads" not in details(screen)
        await screen.press("r")
        assert screen.app.screen is screen.app.page
        assert "no configuration" in screen.app.workspace.said()


async def test_the_proof_is_drawn(tmp_path, capture, monkeypatch):
    place = tmp_path / "app.conf"
    place.write_text(FAULTY)
    asked: list[str] = []

    async def prove(explained, target) -> Proof:
        asked.append(str(explained.defect.at))
        proven = Proven("nginx", "1.22.1", "426", "101")
        return Proof(f"nginx 1.22.1, {explained.defect.at}, before: 426, after: 101", proven)

    monkeypatch.setattr(proving, "prove", prove)
    async with opened(capture, size=(120, 50)) as screen:
        await screen.press("i", "r")
        top = await fill(screen, str(place))
        top.pick("configuration-proof").choose("yes")
        await screen.press("enter")
        await screen.until(lambda: not isinstance(screen.app.screen, ConfigurationDialog))
        assert asked == [f"{place}:5"]
        assert "proven: nginx 1.22.1" in screen.app.page.document_text()


@pytest.mark.parametrize(
    ("silence", "is_offered"), [("15.4 ms", False), ("740 us", False), ("60 s", True), ("1 min 2 s", True)]
)
async def test_reading_a_configuration_is_offered_where_a_line_of_it_could_be_why(
    tmp_path, silence, is_offered
):
    """An end after milliseconds is no timeout of a proxy, though others of its rule are."""
    path = tmp_path / "x.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1, 0, state="closed", how="fin", js_code=1006)
        evidence = [f"silence s>c before the end: {silence}"]
        builder.finding("WS-DROP-006", "error", 1, None, title="ended", fault_of="server", evidence=evidence)
    async with opened(path, size=(120, 40)) as screen:
        await screen.press("i")
        assert ("r read configuration" in screen.line("keys")) == is_offered
        assert ("r reads the proxy's configuration" in details(screen)) == is_offered
        await screen.press("r")
        assert isinstance(screen.app.screen, ConfigurationDialog) == is_offered
