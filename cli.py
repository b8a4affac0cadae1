"""Launcher for a checkout: `python cli.py …` is `ots …`."""

from ots.__main__ import main

if __name__ == "__main__":
    main()
