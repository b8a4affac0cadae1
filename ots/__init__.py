"""OTS: network and service test probes driven by YAML cases."""

__version__ = "0.1.0"
