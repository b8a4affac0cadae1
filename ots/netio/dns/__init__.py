"""DNS on the wire, and which servers this machine asks."""
