"""`diagnose --config`: what two taps saw of a real nginx, and the line of its configuration that did it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine import Engine, wsinspect_json
from tests.support.hops import LOOPBACK, NGINX_GOOD, nginx
from tests.support.sandwich_lab import echo_server, play, standing, talk
from tests.support.small_servers import free_port
from wsinspect.capture.reader import Capture

pytestmark = pytest.mark.lab


def test_the_line_and_the_diff_are_named_for_what_failed_alone(tmp_path: Path) -> None:
    def make(port: int, folder: Path):
        passed = f"proxy_pass http://{LOOPBACK}:{port};"
        return nginx(
            folder, f"location /good {{ {passed} {NGINX_GOOD} }}\nlocation /bad {{\n    {passed}\n}}"
        )

    play(make, ["/good", "/bad"], tmp_path)
    (capture,) = (tmp_path / "engine").rglob("*.db")
    _, plain = wsinspect_json(tmp_path, "diagnose", capture)
    code, found = wsinspect_json(tmp_path, "diagnose", capture, "--config", tmp_path / "hop")
    assert code == 1, found
    assert [one["id"] for one in found["findings"]] == [one["id"] for one in plain["findings"]]
    places = [
        (one["id"], fix["file"], fix["diff"])
        for one in found["findings"]
        for fix in one["fixes"]
        if "diff" in fix
    ]
    assert [one[0] for one in places] == ["WS-HS-101"]
    assert places[0][1] == str(tmp_path / "hop" / "nginx.conf")
    assert "+    proxy_set_header Upgrade $http_upgrade;" in places[0][2]
    finding = next(one for one in found["findings"] if one["id"] == "WS-HS-101")
    assert "location /bad in" in finding["evidence"][0]


def test_findings_name_the_line_while_traffic_passes(tmp_path: Path) -> None:
    async def run() -> Engine:
        async with echo_server() as (_, app):
            origin = free_port()
            location = f"location /bad {{\n    proxy_pass http://{LOOPBACK}:{origin};\n}}"
            with await asyncio.to_thread(nginx, tmp_path / "hop", location) as hop:
                taps = (
                    f"edge=127.0.0.1:0=http://{LOOPBACK}:{hop.port}",
                    f"origin=127.0.0.1:{origin}=http://{LOOPBACK}:{app}",
                )
                options = ("--tap", taps[0], "--tap", taps[1], "--config", str(tmp_path / "hop"))
                engine = await asyncio.to_thread(lambda: Engine.start(*options, folder=tmp_path / "engine"))
                try:
                    await talk(f"ws://{LOOPBACK}:{engine.port('edge')}/bad")
                finally:
                    await asyncio.to_thread(engine.stop)
        return engine

    engine = asyncio.run(run())
    (found,) = [one for (rule, _), one in standing(engine.events).items() if rule == "WS-HS-101"]
    fix = found["fixes"][0]
    assert fix["file"] == str(tmp_path / "hop" / "nginx.conf")
    assert "+    proxy_set_header Upgrade $http_upgrade;" in fix["diff"]
    with Capture.open(engine.capture) as capture:
        ((detail,),) = capture.query("SELECT detail FROM finding WHERE rule = 'WS-HS-101'")
    assert json.loads(detail)["fixes"][0] == fix


@pytest.mark.parametrize(("path", "words"), [("gone", "is not there"), ("-", "is read once")])
def test_run_says_at_once_what_it_cannot_read(path: str, words: str) -> None:
    command = [sys.executable, "-m", "wsinspect", "run", "--headless", "--listen", "0", "--config", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_configuration_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "wsinspect",
            "diagnose",
            str(tmp_path / "x.db"),
            "--config",
            str(tmp_path / "gone"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
