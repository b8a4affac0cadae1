"""The entry point: `ots` and `python -m ots`.

While Python still imports, an interrupt ends the process without a word, as it ends any other program; `main`
takes interrupts over as soon as it runs.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)

from ots.main import main  # noqa: E402  (the line above must come before the imports take their time)

__all__ = ["main"]

if __name__ == "__main__":
    main()
