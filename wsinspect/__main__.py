"""The program: `wsinspect`, and `python -m wsinspect`.

Contract: an interrupt prints no traceback from the first line of `main` on. What runs before that, the start
of Python and the script that an installer wrote, is not ours; this module and its package import next to
nothing, so that nothing of ours comes before it.
"""

import os
import signal


def main() -> None:
    """Run the command line. Importing it takes a moment; an interrupt then prints no traceback."""
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(130))
    from wsinspect.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
