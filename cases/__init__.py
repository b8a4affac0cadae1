"""The YAML cases that ship with OTS."""

if __name__ != "ots.cases":
    raise ImportError("import ots.cases, not cases: one module, one name")
