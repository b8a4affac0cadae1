"""The interface under `/api/v1`: each operation is declared once, obeyed, and written into the document."""
