"""The repository of signed content as the server keeps, serves and renews it."""
