"""``python -m rft``."""

from rft.cli.main import main

main()
