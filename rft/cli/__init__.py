"""The command ``rft``: one file a command."""
