"""Licences as the server keeps them: issued, renewed, withdrawn, handed to their agents."""
