"""What every large transfer shares, whatever the protocol: metering, the watch over it, and its record."""
