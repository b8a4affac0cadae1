"""Who said this? Ed25519 keys, signed statements (JWS), signed requests (RFC 9421)."""
