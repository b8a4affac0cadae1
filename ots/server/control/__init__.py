"""Commands from people to agents: kept, signed, delivered, and what became of them."""
