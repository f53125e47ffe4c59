"""Tables of ``audit.toml``, a file each: which keys they have, what is allowed, and what contradicts what."""
