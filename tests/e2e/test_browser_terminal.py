"""`wsinspect browser` on a real terminal: the timeline next to a real Chromium, and the end of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.certs import make_certificates
from tests.support.page_server import PageServer
from tests.support.short_folder import ShortFolder
from tests.support.tmux import Tmux, private, wsinspect
from wsinspect.capture.reader import Capture

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(150)]


def test_one_command_shows_the_frames_of_a_page(tmp_path: Path) -> None:
    capture = tmp_path / "page.db"
    certificates = make_certificates(tmp_path / "certs")
    folder = ShortFolder()
    home = private(tmp_path) | {"TMPDIR": str(folder.path)}
    try:
        with PageServer(certificates.server_context()) as pages:
            url = f"https://localhost:{pages.tls_port}/?mark=terminal"
            words = ["browser", "--browser=chromium", "--insecure", f"--capture={capture}", url]
            words += ["--", "--headless", "--remote-debugging-port=0"]
            with Tmux(wsinspect(*words), home) as terminal:
                terminal.wait_for("LIVE", "from the page", "CLOSED")
                terminal.press("q")
                terminal.wait_for("recorded in", "ended with 0")
        assert list(folder.path.iterdir()) == [], "the profile is gone"
    finally:
        folder.remove()
    with Capture.open(capture) as opened:
        assert [one.client_close_code for one in opened.connections()] == [1000]


def test_a_certificate_that_is_refused_is_on_the_screen_with_its_remedy(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certs")
    folder = ShortFolder()
    home = private(tmp_path) | {"TMPDIR": str(folder.path)}
    try:
        with PageServer(certificates.server_context()) as pages:
            words = ["browser", "--browser=chromium", f"--capture={tmp_path / 'page.db'}"]
            words += [f"https://localhost:{pages.tls_port}/", "--", "--headless", "--remote-debugging-port=0"]
            with Tmux(wsinspect(*words), home) as terminal:
                # Also behind what Chromium's own requests leave, which come with the page's.
                terminal.wait_for("This proxy refused a server's certificate", "--insecure", "WS-TOOL-007")
                terminal.press("q")
                terminal.wait_for("ended with 0")
        assert list(folder.path.iterdir()) == [], "the profile is gone"
    finally:
        folder.remove()


def test_a_key_of_an_empty_timeline_starts_a_browser_or_says_why_not(tmp_path: Path) -> None:
    home = private(tmp_path) | {"PATH": "/nowhere", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    command = wsinspect("run", "--listen=0", f"--capture={tmp_path / 'a.db'}")
    with Tmux(command, home) as terminal:
        terminal.wait_for("No connections yet.", "Press b for a browser")
        terminal.press("b")
        terminal.wait_for("no Chromium, Chrome, Edge or Firefox was found")
        terminal.press("q")
        terminal.wait_for("ended with 0")
