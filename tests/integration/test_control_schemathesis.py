"""The control API under attack: schemathesis plays what the OpenAPI document allows, and what it forbids."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine import Engine

#: A stream that never ends, and the end of the engine.
LEFT_OUT = ("events", "shutdown")
#: What JSON Schema cannot say (a filter's grammar, "one of these three") is refused though the schema fits.
UNFIT_CHECKS = "positive_data_acceptance"
#: A scenario's schema has so many branches that the borders of each would be most of the requests. Examples
#: are made of it all the same; each border of a rule is met at `add_fault`, and what reads scenarios has an
#: attack of its own (property/test_faults_scenarios.py).
CONFIGURATION = """
[[operations]]
include-operation-id = "put_scenario"
[operations.phases.coverage]
enabled = false
"""


@pytest.mark.slow
@pytest.mark.timeout(450)  # thousands of requests
def test_no_request_breaks_the_api(tmp_path: Path) -> None:
    with Engine.start("--listen", "127.0.0.1:0", folder=tmp_path) as engine:
        control = engine.ready["control"]
        token = Path(control["token_file"]).read_text().strip()
        (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{control['url']}/openapi.json"),
            *("--header", f"Authorization: Bearer {token}", "--exclude-checks", UNFIT_CHECKS),
            *("--max-examples", "10", "--seed", "1", "--generation-database", "none", "--no-color"),
        ]
        for operation in LEFT_OUT:
            command += ["--exclude-operation-id", operation]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
        assert engine.process.poll() is None
        assert "Traceback" not in engine.stderr
