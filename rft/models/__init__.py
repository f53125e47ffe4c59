"""Models that are audited as they are, and the saved form of those that were trained here."""
