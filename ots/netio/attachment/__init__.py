"""Where this machine is attached: interfaces, routes, Wi-Fi, load, clock."""
