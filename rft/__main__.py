"""``python -m rft``."""

from rft.cli import main

main()
