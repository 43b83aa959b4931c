"""Keys, seals and the signer: the only part of the server that can make a capability token."""
