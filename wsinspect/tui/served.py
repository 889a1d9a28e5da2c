"""The timeline of one visitor of `wsinspect serve`: run by textual-serve with its driver, as a process.

Its input is a pipe of packets; a server that was killed sends none to end it, so it looks whether its parent
is still there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from wsinspect.tui.start import watch

_LOOK_SECONDS = 1.0


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    sys.exit(watch(Path(sys.argv[1])))
