"""`wsinspect check`: a scenario around a client, its expectations, and the grade."""

from __future__ import annotations

import secrets
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsinspect.cli.completion import complete_scenario
from wsinspect.cli.options import (
    DURATION,
    TARGET,
    color_option,
    examples,
    insecure_option,
    json_option,
    session_by_option,
    trusted_option,
)
from wsinspect.cli.output import release, say
from wsinspect.net import Endpoint

if TYPE_CHECKING:
    from wsinspect.clients.expectations import Expectation
    from wsinspect.faults.sessions import SessionBy
    from wsinspect.launch.checking import Played

_SEEDS = 1_000_000
_BY_HAND_SECONDS = 300.0
_COMMAND_SECONDS = 30.0


@click.command(
    epilog=examples(
        "wsinspect check outage.yaml --reverse http://localhost:3000 -- node client.js {url}",
        "wsinspect check outage.yaml --reverse http://localhost:3000   connect a client by hand",
        "wsinspect check outage.yaml --reverse http://localhost:3000 --repeat 20 -- npm test",
        "wsinspect check outage.yaml --env-proxy --junit report.xml -- python client.py",
        "wsinspect check --list                                        the ready scenarios",
        "wsinspect check server-deploy --reverse http://localhost:3000 -- npm test",
        failed="an expectation did not hold, or no client came",
    ),
    context_settings={"ignore_unknown_options": False},
)
@click.argument("scenario", required=False, shell_complete=complete_scenario)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--list", "is_listing", is_flag=True, help="List the ready scenarios.")
@click.option("--reverse", type=TARGET, help="The server: the client gets the proxy's address in its place.")
@click.option(
    "--env-proxy", is_flag=True, help="A regular proxy, for the command by HTTPS_PROXY and CA variables."
)
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), help="Random seed, to repeat an earlier run.")
@click.option("--repeat", type=click.IntRange(1, 10_000), default=1, help="Run with this many seeds in turn.")
@click.option(
    "--time-scale", type=click.FloatRange(1e-6, 1e6), default=1.0, help="Multiply all fault times by this."
)
@session_by_option
@click.option("--wait", type=DURATION, help="How long to wait for a client: 30s, and 5min by hand.")
@click.option(
    "--settle", type=DURATION, help="How long expectations may take to come true after the last phase."
)
@click.option("--capture", type=click.Path(path_type=Path), help="Keep the capture here, also if all holds.")
@insecure_option
@trusted_option
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), help="Write JUnit XML here.")
@click.option(
    "--format", "style", type=click.Choice(["text", "github"]), default="text", help="Add annotations."
)
@json_option
@color_option
def check(scenario: str | None, command: tuple[str, ...], is_listing: bool, **options: Any) -> int:
    """Play SCENARIO around a client, and check what it expects of it.

    SCENARIO is a file, or the name of a ready one (--list).

    COMMAND is started with the proxy's URL in WSINSPECT_URL and in place of {url} (for http: in
    WSINSPECT_HTTP_URL), and is ended with the scenario. Without COMMAND, connect a client by hand.
    Expectations and their meaning are in docs/check.md.
    """
    if is_listing:
        return _list(as_json=options["as_json"])
    if scenario is None:
        raise click.UsageError("Missing argument 'SCENARIO': a file, or a name of wsinspect check --list")
    return _Check(_file_of(scenario), command, **options).run()


def _list(*, as_json: bool) -> int:
    from wsinspect.cli.output import echo, echo_json
    from wsinspect.faults.scenarios import load_scenario, scenario_names, scenario_path

    found = [(name, load_scenario(name)) for name in scenario_names()]
    if as_json:
        listed = [
            {"name": name, "title": one.name, "source": one.source, "file": str(scenario_path(name))}
            for name, one in found
        ]
        echo_json({"scenarios": listed})
        return 0
    for name, one in found:
        echo(f"{name:<20}{one.name}")
    return 0


def _file_of(text: str) -> Path:
    """A file that is there, else the ready scenario of that name.

    Raises:
        UsageError: neither is.
    """
    from wsinspect.faults.scenarios import scenario_names, scenario_path

    if Path(text).exists() or text not in scenario_names():
        if not Path(text).exists() and not Path(text).suffix and "/" not in text:
            names = ", ".join(scenario_names())
            raise click.UsageError(f"no file and no ready scenario {text!r}; the ready ones: {names}")
        return Path(text)
    return scenario_path(text)


def _say_now(line: str) -> None:
    """For whoever has to do something before this can end."""
    say(line)
    release()


class _Check:
    """One call of the command."""

    def __init__(self, scenario: Path, command: tuple[str, ...], **options: Any) -> None:
        self.scenario, self.command, self.options = scenario, command, options
        self.by: SessionBy | None = options["session_by"]
        self.reverse: Endpoint | None = options["reverse"]
        if (self.reverse is None) is not options["env_proxy"]:
            raise click.UsageError("give either --reverse URL or --env-proxy")
        if options["env_proxy"] and not command:
            raise click.UsageError("--env-proxy needs a COMMAND")
        self.runs: list[tuple[int, Played, str]] = []

    def run(self) -> int:
        """Play it, once for each seed until one fails.

        Returns:
            The exit code.
        """
        from wsinspect.clients.expectations import read_expectations
        from wsinspect.faults.errors import FaultError
        from wsinspect.faults.scenario import load_file

        loaded = load_file(self.scenario)
        try:
            expectations = read_expectations(loaded)
        except FaultError as error:
            raise error.at(error.line or 1, 1, str(self.scenario)) from None
        for remark in loaded.warnings:
            say(f"{self.scenario}: {remark}")
        first = self.options["seed"]
        if first is None:
            first = loaded.seed if loaded.seed is not None else secrets.randbelow(_SEEDS)
        code = 0
        for seed in range(first, first + self.options["repeat"]):
            if self._once(seed, expectations, has_phases=bool(loaded.phases)):
                code = 1
                break
        if self.options["junit_file"] is not None:
            self._write_junit()
        return code

    def _once(self, seed: int, expectations: list[Expectation], *, has_phases: bool) -> bool:
        """Play it with a seed; whether it failed."""
        from wsinspect.launch.checking import Plan, play
        from wsinspect.launch.interrupts import one_interrupt
        from wsinspect.launch.paths import ca_dir, new_capture_path

        kept: Path | None = self.options["capture"]
        path = (kept or new_capture_path()).absolute()
        with tempfile.TemporaryDirectory(prefix="wsinspect-") as folder:
            trial = Path(folder) / "check.db"
            wait = self.options["wait"]
            settle = self.options["settle"]
            default = _COMMAND_SECONDS if self.command else _BY_HAND_SECONDS
            plan = Plan(
                options=self._engine_options(seed),
                capture=trial,
                expectations=expectations,
                has_phases=has_phases,
                command=self.command,
                wait_seconds=wait / 1e9 if wait is not None else default,
                settle_seconds=None if settle is None else settle / 1e9,
                by=self.by,
                env_proxy=self.options["env_proxy"],
                certificate=ca_dir().absolute() / "mitmproxy-ca-cert.pem",
            )
            with one_interrupt():
                played = play(plan, _say_now)
            why = "" if played.has_client else "no client came"
            if not why and played.exit_code:
                why = f"the command exited with {played.exit_code}"
            self.runs.append((seed, played, why))
            where = None
            is_wanted = played.has_client and played.has_failed
            if (is_wanted or kept is not None) and trial.exists():
                where = self._keep(trial, path)
        self._report(seed, played, why, where)
        return played.has_failed

    def _engine_options(self, seed: int) -> list[str]:
        found = [
            "--listen=127.0.0.1:0",
            f"--faults={self.scenario}",
            f"--seed={seed}",
            "--no-page-scan",
            "--quiet",
        ]
        found += [f"--time-scale={self.options['time_scale']}"]
        found += [f"--reverse={self.reverse}"] if self.reverse is not None else []
        found += [f"--session-by={self.by}"] if self.by is not None else []
        found += ["--insecure"] if self.options["insecure"] else []
        found += [f"--ca={one.absolute()}" for one in self.options["trusted"]]
        return found

    def _keep(self, trial: Path, path: Path) -> Path:
        """Move the capture where it stays.

        Raises:
            LocalError: there is something already.
        """
        import shutil

        from wsinspect.errors import LocalError

        if path.exists():
            path = path.with_name(f"{path.stem}-{len(self.runs)}{path.suffix}")
        try:
            shutil.move(trial, path)
        except OSError as error:
            raise LocalError(f"cannot keep the capture as {path}: {error.strerror}") from None
        return path

    def _report(self, seed: int, played: Played, why: str, where: Path | None) -> None:
        from wsinspect.cli.output import echo, echo_json, prose_columns
        from wsinspect.present import checks
        from wsinspect.present.terminal import Palette

        if self.options["as_json"]:
            echo_json(
                {
                    "scenario": str(self.scenario),
                    "seed": seed,
                    "held": not played.has_failed,
                    "why": why or None,
                    "exit_code": played.exit_code,
                    "capture": str(where) if where is not None else None,
                    **checks.check_object(played.clients, played.results),
                }
            )
        else:
            lines = checks.check_lines(played.clients, played.results) if played.has_client else ()
            for line in Palette.choose(self.options["color"]).folded(lines, prose_columns()):
                echo(line)
        if self.options["style"] == "github":
            for text in checks.github_lines(str(self.scenario), played.results):
                echo(text)
        if why:
            say(why)
        if where is not None:
            say(f"capture kept: {where}")
        if played.has_failed:
            say(f"to repeat: {self._again(seed)}")

    def _again(self, seed: int) -> str:
        """The command line that plays this seed again."""
        found: list[str] = []
        skip = False
        arguments = sys.argv[1:]
        end = arguments.index("--") if "--" in arguments else len(arguments)
        for part in arguments[:end]:
            if skip:
                skip = False
            elif part in ("--seed", "--repeat"):
                skip = True
            elif not part.startswith(("--seed=", "--repeat=")):
                found.append(part)
        return shlex.join(["wsinspect", *found, "--seed", str(seed), *arguments[end:]])

    def _write_junit(self) -> None:
        from wsinspect.errors import LocalError
        from wsinspect.present.checks import junit

        file: Path = self.options["junit_file"]
        runs = [(seed, played.results, why) for seed, played, why in self.runs]
        try:
            file.write_bytes(junit(self.scenario.name, runs))
        except OSError as error:
            raise LocalError(f"cannot write {file}: {error.strerror}") from None
