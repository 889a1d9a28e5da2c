"""Ready scenarios for `wsinspect check`: each is a question about a client, with what is expected of it."""

from __future__ import annotations

from pathlib import Path

from wsinspect.faults.scenario import Scenario, load_file

_FOLDER = Path(__file__).parent


def scenario_names() -> list[str]:
    """The names of all ready scenarios, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def scenario_path(name: str) -> Path:
    """The file of one of `scenario_names`."""
    return _FOLDER / f"{name}.yaml"


def load_scenario(name: str) -> Scenario:
    """One of `scenario_names`, read.

    Raises:
        FaultError: its file has a mistake.
    """
    return load_file(scenario_path(name))
