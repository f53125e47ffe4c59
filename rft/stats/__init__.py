"""Statistics that all plugins share: one place for each. They know arrays and records, and no plugin.

Every estimate that reaches a report or a verdict comes from here, so that the same rows give the same number wherever
they are looked at.
"""
