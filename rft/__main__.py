"""``python -m rft``."""

from rft.cli.start import main

main()
