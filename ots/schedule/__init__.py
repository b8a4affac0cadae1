"""When planned runs happen, and why one does not. Pure: no clock, no files, no event loop."""
