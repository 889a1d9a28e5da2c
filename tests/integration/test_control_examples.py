"""The examples of docs/control-api.md, run as they stand there against a real engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine import Engine

PAGE = (Path(__file__).parents[2] / "docs" / "control-api.md").read_text("utf-8")
EXAMPLES = {
    language: "\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL))
    for language in ("sh", "js", "python")
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    with Engine.start("--listen", "127.0.0.1:0", folder=tmp_path_factory.mktemp("control")) as engine:
        control = engine.ready["control"]
        yield {**os.environ, "CONTROL_URL": control["url"], "TOKEN_FILE": control["token_file"]}


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_example(environment):
    assert run([sys.executable, "-c", EXAMPLES["python"]], environment).strip() == (
        "{'name': '', 'phases': 2, 'phase': None}"
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_example(environment):
    out = run(["sh", "-ec", EXAMPLES["sh"]], environment)
    assert '"latency":"1s"' in out
    assert "wsinspect_connections_open 0" in out


@pytest.mark.lab
def test_the_javascript_example(environment, tmp_path):
    script = tmp_path / "example.mjs"
    script.write_text(EXAMPLES["js"])
    assert run(["node", str(script)], environment).strip() == "[ 'lost' ]"
