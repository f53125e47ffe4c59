"""Commands before an audit: a first config, a check of it, what a backbone can do."""
