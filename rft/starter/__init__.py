"""The first ``audit.toml`` of a user: a look at the data, guesses with reasons, questions, and a file that runs."""
