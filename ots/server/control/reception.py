"""What becomes of what agents say on their lines."""

from __future__ import annotations

from ots.remote import control_wire as wire
from ots.server.control.courier import Courier
from ots.server.control.gateway import Gateway
from ots.server.control.hearing import Hearing
from ots.server.control.line import Line
from ots.server.control.presence import Presence


class Reception:
    """One for each process; it keeps nothing."""

    def __init__(self, gateway: Gateway, hearing: Hearing, presence: Presence, courier: Courier) -> None:
        self._gateway = gateway
        self._hearing = hearing
        self._presence = presence
        self._courier = courier

    def hear(self, line: Line, said: wire.FromAgent) -> bool:
        """Takes one message, of which the first is hello and no other; False where the line is to end."""
        hello = isinstance(said, wire.Hello)
        if hello == line.greeted or not self._hearing.take(line.agent_id, said):
            return False
        if hello:
            self.take_in(line)
        return True

    def take_in(self, line: Line) -> None:
        """Puts the line into use; the other processes hear of it with those that came at the same time."""
        self._gateway.open(line)
        self._presence.came(line)
        self._courier.look_after(line.agent_id)

    def gone(self, line: Line) -> None:
        """Nothing more comes on this line."""
        self._gateway.drop(line)
