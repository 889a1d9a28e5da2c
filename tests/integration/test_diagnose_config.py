"""`diagnose --config`: what two taps saw of a real nginx, and the line of its configuration that did it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hops import LOOPBACK, NGINX_GOOD, nginx
from tests.support.sandwich_lab import play

pytestmark = pytest.mark.lab


def test_the_line_and_the_diff_are_named_for_what_failed_alone(tmp_path: Path) -> None:
    def make(port: int, folder: Path):
        passed = f"proxy_pass http://{LOOPBACK}:{port};"
        return nginx(
            folder, f"location /good {{ {passed} {NGINX_GOOD} }}\nlocation /bad {{\n    {passed}\n}}"
        )

    play(make, ["/good", "/bad"], tmp_path)
    (capture,) = (tmp_path / "engine").rglob("*.db")
    command = [sys.executable, "-m", "wsinspect", "diagnose", str(capture), "--json"]
    plain = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    command += ["--config", str(tmp_path / "hop")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
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
