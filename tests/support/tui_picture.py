"""The picture of the README: `python -m tests.support.tui_picture docs/screens.svg`.

A real session: the clients of the demo through a real proxy, recorded, and opened.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.svg import portable
from tests.support.tui_pilot import opened

SIZE = (120, 36)
SECONDS = "4"


async def draw(capture: Path) -> str:
    """The screen after a look at the first conversation."""
    async with opened(capture, size=SIZE) as screen:
        await screen.press("3", "g", *["down"] * 5)
        return portable(screen.app.export_screenshot(title="wsinspect"))


def main(target: Path) -> None:
    """Record the demo and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "demo.db"
        command = ["demo", "--headless", "--seconds", SECONDS, "--capture", str(capture)]
        subprocess.run([sys.executable, "-m", "wsinspect", *command], check=True, stdout=subprocess.DEVNULL)
        target.write_text(asyncio.run(draw(capture)), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
