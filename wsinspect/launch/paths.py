"""Where files are: the XDG base directories.

Contract: directories of ours are made on demand and private (0700). A relative XDG path is ignored, as the
XDG Base Directory Specification asks.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import time
from pathlib import Path

import wsinspect
from wsinspect.errors import LocalError

APP = "wsinspect"
#: The first part of a capture's default name: local time, sorts by age.
STAMP_FORMAT = "%Y%m%d-%H%M%S"
#: What a capture of the default directory may be called.
CAPTURE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def data_dir() -> Path:
    """What is kept for the user: captures and the certificate authority."""
    return _base("XDG_DATA_HOME", ".local/share") / APP


def captures_dir() -> Path:
    """The default directory of captures; may not exist yet."""
    return data_dir() / "captures"


def ca_dir() -> Path:
    """The default directory of the certificate authority; may not exist yet."""
    return data_dir() / "ca"


def state_dir() -> Path:
    """What may be lost: crash logs, and run files where there is no runtime directory."""
    return _base("XDG_STATE_HOME", ".local/state") / APP


def run_dir() -> Path:
    """The place of run files; may not exist yet."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if Path(runtime).is_absolute() and Path(runtime).is_dir():
        return Path(runtime) / APP
    return state_dir() / "run"


def spoken(path: Path) -> str:
    """What other commands take for a capture: the name of one in the default directory, else its path.

    Not quoted for a shell.
    """
    is_named = path == captures_dir() / f"{path.stem}.db" and CAPTURE_NAME.fullmatch(path.stem)
    return path.stem if is_named else str(path)


def new_capture_path() -> Path:
    """The default name for a capture that this process starts now; its directory exists."""
    return ensure_private_dir(captures_dir()) / f"{time.strftime(STAMP_FORMAT)}-{os.getpid()}.db"


def crash_log_path() -> Path:
    """The name for the traceback of a bug that ends this process; its directory exists."""
    return ensure_private_dir(state_dir()) / f"crash-{time.strftime(STAMP_FORMAT)}-{os.getpid()}.log"


def addons_dir() -> Path | None:
    """The scripts for stock mitmproxy: inside an installed package, next to it in a checkout."""
    package = Path(wsinspect.__file__).parent
    return next((place for place in (package / "_addons", package.parent / "addons") if place.is_dir()), None)


def own_program() -> list[str]:
    """What starts this program again, whatever is on PATH."""
    return [sys.executable, "-m", "wsinspect"]


def own_command() -> str:
    """What starts this program again in a shell: its name where that is on the PATH, else its path."""
    if shutil.which(APP):
        return APP
    script = Path(sys.executable).with_name(APP)
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m {APP}"
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))


def ensure_private_dir(path: Path) -> Path:
    """Makes a directory of ours, its missing parents included, readable by the user alone.

    Raises:
        LocalError: it cannot be made.
    """
    try:
        for missing in reversed([one for one in (path, *path.parents) if not one.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise LocalError(f"cannot make the directory {path}: {error.strerror}") from error
    if not path.is_dir():
        raise LocalError(f"cannot use {path}: it is not a directory")
    return path


def _base(variable: str, fallback: str) -> Path:
    value = Path(os.environ.get(variable, ""))
    if value.is_absolute():
        return value
    try:
        return Path.home() / fallback
    except RuntimeError as error:
        raise LocalError("no home directory is known", hint=f"set {variable} to an absolute path") from error
