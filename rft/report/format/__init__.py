"""Numbers, Markdown and TOML as texts for readers."""
