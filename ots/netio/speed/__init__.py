"""Speed tests: one result for several protocols (OTS, LibreSpeed, ndt7, Speedtest Mini)."""
