"""The path to a host: probes whose hop limit runs out on the way, and what the routers say of them."""
