"""A throw-away profile: its folder, and what Firefox needs in it.

Firefox takes its proxy from `user.js` and its trust from the NSS database of the profile, which only NSS's
own `certutil` can write without root (policies belong into the installation's folder, and a certificate
exception holds for one host). Chromium gets everything on its command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from wsinspect.errors import LocalError
from wsinspect.launch.browser.programs import Browser, Family

_PREFIX = "wsinspect-browser-"
_REMOVE_SECONDS = 3.0
#: Chromium's socket must fit into 103 bytes (macOS): what we and it add to the folder for temporary files is
#: "/wsinspect-browser-XXXXXXXX/t/org.chromium.Chromium.XXXXXX/SingletonSocket".
_PARENT_BYTES = 103 - 75

#: Switches off Firefox's own traffic and first-run pages, as far as preferences can.
_QUIET_FIREFOX: dict[str, bool | int | str] = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.discovery.enabled": False,
    "browser.newtabpage.activity-stream.feeds.section.topstories": False,
    "browser.newtabpage.activity-stream.feeds.topsites": False,
    "browser.newtabpage.activity-stream.showSponsoredTopSites": False,
    "browser.newtabpage.enabled": False,
    "browser.region.network.url": "",
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    # Firefox's own WebSocket to its push service would look like the page's in a capture.
    "dom.push.connection.enabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.blocklist.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.trr.mode": 5,
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
    "toolkit.telemetry.unified": False,
    "trailhead.firstrun.didSeeAboutWelcome": True,
}


@contextlib.contextmanager
def throw_away_folder(browser: Browser) -> Iterator[Path]:
    """A private folder for one run of the browser, removed afterwards with all that is in it.

    Raises:
        LocalError: it cannot be made.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_parent(browser)))
    except OSError as error:
        raise LocalError(f"cannot make a profile for the browser: {error.strerror}") from error
    try:
        yield folder
    finally:
        _remove(folder)


def _parent(browser: Browser) -> Path:
    if browser.snap:
        # A snap has a /tmp of its own and sees no hidden folders, but it sees this one.
        place = Path.home() / "snap" / browser.snap / "common"
        place.mkdir(parents=True, exist_ok=True)
        return place
    usual, short = Path(tempfile.gettempdir()), Path("/tmp")  # noqa: S108 - mkdtemp creates what goes there
    return short if len(os.fsencode(usual)) > _PARENT_BYTES and short.is_dir() else usual


def _remove(folder: Path) -> None:
    """The browser's last processes may still be writing when its first one has ended."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > deadline:
            return
        if folder.exists():
            time.sleep(0.05)


def prepare_profile(browser: Browser, profile: Path, proxy: tuple[str, int], certificate: Path) -> None:
    """Write what the browser has to find in its profile.

    Raises:
        LocalError: Firefox cannot be made to trust the certificate.
    """
    profile.mkdir(mode=0o700)
    if browser.family is Family.FIREFOX:
        (profile / "user.js").write_text(user_js(*proxy), "utf-8")
        _trust_in_nss(profile, certificate)


def user_js(host: str, port: int) -> str:
    """Firefox's preferences for this run."""
    preferences = {
        **_QUIET_FIREFOX,
        "network.proxy.type": 1,
        "network.proxy.http": host,
        "network.proxy.http_port": port,
        "network.proxy.ssl": host,
        "network.proxy.ssl_port": port,
        "network.proxy.no_proxies_on": "",
        # Without this, Firefox takes no proxy for loopback.
        "network.proxy.allow_hijacking_localhost": True,
    }
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items())
    return "\n".join(lines) + "\n"


def _trust_in_nss(profile: Path, certificate: Path) -> None:
    certutil = shutil.which("certutil")
    if certutil is None:
        raise LocalError(
            "Firefox cannot be made to trust our certificate: NSS's certutil is missing",
            hint="apt-get install libnss3-tools, or use Chromium",
        )
    database = f"sql:{profile}"
    for words in (
        ["-N", "-d", database, "--empty-password"],
        ["-A", "-d", database, "-n", "wsinspect", "-t", "C,,", "-i", str(certificate)],
    ):
        done = subprocess.run([certutil, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = " ".join((done.stderr or done.stdout).split())
            raise LocalError(f"certutil {words[0]} failed: {reason or f'exit code {done.returncode}'}")


__all__ = ["prepare_profile", "throw_away_folder", "user_js"]
