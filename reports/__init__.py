"""The renderers: one module is one report format."""

if __name__ != "ots.reports":
    raise ImportError("import ots.reports, not reports: one module, one name")
