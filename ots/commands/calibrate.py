"""`ots doctor --calibrate`: transfers against the test server of our own, and a line for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ots.commands import exit_codes
from ots.commands.output import CommandError
from ots.config import data_dir
from ots.i18n import _
from ots.units import display


def calibrated(say: Callable[[str], None]) -> None:
    """Measures and stores. CommandError if the test server does not start or the file can't be written."""
    from ots.server.peers.process import PeersFailed
    from ots.session.calibration import store

    try:
        found = asyncio.run(_measured(say))
        store(data_dir(), found)
    except PeersFailed as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL) from None
    except OSError as error:
        text = _("the calibration can't be kept: {reason}").format(reason=error.strerror or error)
        raise CommandError(text, exit_code=exit_codes.INTERNAL) from None


async def _measured(say: Callable[[str], None]) -> dict[str, float]:
    from ots.server.peers.process import started
    from ots.session.calibration import measure

    found: dict[str, float] = {}
    async with started() as peers:
        async for name, rate in measure(peers.variables()):
            say(f"{name}: {_('failed') if rate is None else display(rate, 'bit/s')}")
            if rate is not None:
                found[name] = rate
    return found
