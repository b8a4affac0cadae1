"""Runs a program to its end and says how long it took and what CPU it and its children used."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_STARTER = """
import os, sys
program = sys.argv[1:]
_, status, usage = os.wait4(os.posix_spawn(program[0], program, os.environ), 0)
print(usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True, slots=True)
class Done:
    """`seconds` by the wall, `cpu` user and system of the process and the children it waited for."""

    output: str
    errors: str
    code: int
    seconds: float
    cpu: float


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    ok: Sequence[int] = (0,),
    timeout: float = 120.0,
) -> Done:
    """Runs a program; RuntimeError if it ends with a code that isn't `ok`.

    One call at a time: CPU is read from what this process's children have used in all.
    """
    before, start = _used(), time.perf_counter()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=None if env is None else {**os.environ, **env},
    )
    seconds = time.perf_counter() - start
    if done.returncode not in ok:
        raise RuntimeError(
            f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-500:]}"
        )
    return Done(done.stdout, done.stderr, done.returncode, seconds, _used() - before)


def peak(command: Sequence[str], *, env: Mapping[str, str]) -> int:
    """Runs a program to its end and returns the most bytes that were resident of it, by the kernel's mark.

    The mark survives exec(2): a process begins with that of whoever started it. So a small one starts it.
    """
    done = run([sys.executable, "-ISc", _STARTER, *command], env=env)
    return int(done.output.splitlines()[-1])


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
