"""Remote control in one process: its parts, started and ended together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ots.server.control.bus import Bus
from ots.server.control.conducting import Conductor
from ots.server.control.courier import Courier
from ots.server.control.gateway import Gateway
from ots.server.control.hearing import Hearing
from ots.server.control.hinting import Hinting
from ots.server.control.keeping import Keeping
from ots.server.control.presence import Presence
from ots.server.control.reception import Reception

if TYPE_CHECKING:
    from ots.server.services import Services


class Control:
    """Bus, lines, courier and the rest; `start` once the event loop runs."""

    def __init__(self, services: Services) -> None:
        self.bus = Bus(services.database)
        self.gateway = Gateway(services, self.bus)
        self.courier = Courier(services, self.bus, self.gateway)
        self.hearing = Hearing(services, self.bus, self.gateway)
        self.presence = Presence(services, self.gateway)
        self.reception = Reception(self.gateway, self.hearing, self.presence, self.courier)
        self.keeping = Keeping(services, self.bus)
        self.conductor = Conductor(services, self.bus)
        self.hinting = Hinting(self.bus, self.gateway)

    def start(self) -> None:
        for part in (self.bus, self.gateway, self.courier, self.hearing, self.presence, self.keeping):
            part.start()
        self.conductor.start()

    async def close(self) -> None:
        """To be called when the gateway is closed; what agents have said is kept as far as it has come."""
        await self.conductor.close()
        await self.hinting.close()
        await self.keeping.close()
        await self.courier.close()
        await self.presence.close()
        await self.hearing.close()
        await self.bus.close()
