"""An audit from its config to a finished run, and what is made of several runs."""
