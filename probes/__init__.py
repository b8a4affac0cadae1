"""The built-in probes: one public module is one kind of measurement."""

if __name__ != "ots.probes":
    raise ImportError("import ots.probes, not probes: one module, one name")
