"""`wsinspect faults`: what faults there are, and whether a scenario file is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from wsinspect.cli.options import examples, json_option
from wsinspect.cli.output import say


@click.group(
    epilog=examples(
        "wsinspect faults list",
        "wsinspect faults list latency",
        "wsinspect faults validate outage.yaml",
        "wsinspect faults schema > scenario.schema.json",
    )
)
def faults() -> None:
    """List fault kinds and presets, check scenario files."""


@faults.command("list", epilog=examples("wsinspect faults list", "wsinspect faults list close --json"))
@click.argument("name", required=False)
@json_option
def list_(name: str | None, as_json: bool) -> None:
    """List all kinds and presets, or describe the one called NAME."""
    from wsinspect.cli.output import echo, echo_json
    from wsinspect.faults.kinds import ALIASES, KINDS, Scope
    from wsinspect.faults.presets import load_preset, preset_names

    if name is not None:
        _print(name, as_json)
        return
    presets = {each: load_preset(each) for each in preset_names()}
    if as_json:
        kinds = [_facts(each) for each in KINDS]
        found = [{"name": key, "title": one.name, "source": one.source} for key, one in presets.items()]
        echo_json({"kinds": kinds, "presets": found})
        return
    for scope in Scope:
        echo(f"{scope.value}:")
        for kind in KINDS.values():
            if kind.scope is scope:
                echo(f"  {kind.name:18}{kind.summary}")
    aliases = ", ".join(f"{alias} = {kind}" for alias, (kind, _) in ALIASES.items())
    echo(f"Toxiproxy's names work too: {aliases}")
    echo("presets (--like):")
    for key, one in presets.items():
        echo(f"  {key:18}{one.name}")


def _print(name: str, as_json: bool) -> None:
    from wsinspect.cli.output import echo, echo_json
    from wsinspect.faults.errors import FaultError
    from wsinspect.faults.kinds import ALIASES, KINDS
    from wsinspect.faults.presets import load_preset, preset_names

    name = ALIASES.get(name, (name, {}))[0]
    if name in preset_names():
        one = load_preset(name)
        rules = [rule.settings() for rule in one.rules]
        if as_json:
            echo_json({"name": name, "title": one.name, "source": one.source, "rules": rules})
            return
        echo(f"{name}: {one.name}\nsource: {one.source}")
        for rule in rules:
            echo("  " + json.dumps(rule))
        return
    if name not in KINDS:
        raise FaultError("", f"unknown kind or preset {name!r} (wsinspect faults list)")
    facts = _facts(name)
    if as_json:
        echo_json(facts)
        return
    echo(f"{name}: {facts['summary']}")
    for field in facts["fields"]:
        default = "required" if field["required"] else f"default {field['default']}"
        echo(f"  {field['name']:14}{field['type']:12}{field['help']} ({default})")
    echo("examples:")
    for example in facts["examples"]:
        echo(f"  - {example}")


def _facts(name: str) -> dict[str, Any]:
    from wsinspect.faults.kinds import KINDS

    kind = KINDS[name]
    fields = [
        {
            "name": spec.name,
            "type": spec.type.name,
            "help": spec.help,
            "required": spec.is_required,
            "default": None if spec.default is None else spec.type.render(spec.default),
        }
        for spec in kind.fields()
    ]
    return {
        "name": name,
        "scope": kind.scope.name.lower(),
        "summary": kind.summary,
        "fields": fields,
        "examples": list(kind.examples),
    }


@faults.command(epilog=examples("wsinspect faults validate outage.yaml"))
@click.argument("scenario", type=click.Path(path_type=Path))
@json_option
def validate(scenario: Path, as_json: bool) -> None:
    """Check a scenario file; an error names its line and field."""
    from wsinspect.cli.output import echo, echo_json
    from wsinspect.clients.expectations import read_expectations
    from wsinspect.faults.errors import FaultError
    from wsinspect.faults.scenario import load_file
    from wsinspect.text import counted

    loaded = load_file(scenario)
    try:
        expectations = read_expectations(loaded)
    except FaultError as error:
        raise error.at(error.line or 1, 1, str(scenario)) from None
    warnings = [str(remark) for remark in loaded.warnings]
    if as_json:
        counts = {"rules": len(loaded.rules), "phases": len(loaded.phases), "expectations": len(expectations)}
        echo_json({**counts, "warnings": warnings})
        return
    for line in warnings:
        say(f"warning: {scenario}: {line}")
    rules, phases = counted(len(loaded.rules), "rule"), counted(len(loaded.phases), "phase")
    echo(f"{scenario}: fine, {rules}, {phases}")


@faults.command(epilog=examples("wsinspect faults schema > scenario.schema.json"))
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from wsinspect.clients.expectations import expectation_schema
    from wsinspect.faults.schema import scenario_schema

    found = scenario_schema()
    found["properties"]["expect"]["items"] = expectation_schema()
    click.echo(json.dumps(found, indent=2))
