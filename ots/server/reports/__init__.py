"""Reports as the server keeps them: every revision as its exact bytes, and an index to find them by."""
