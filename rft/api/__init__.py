"""What Python callers use for objects that they hold: the same plan, stages and records as ``rft audit``."""
