# What a contributor needs, in an environment with: pip install -e ".[dev]"
.PHONY: test slow lint gates docs reference rooms standards

test:  ## the tests, a few minutes
	pytest

slow:  ## simulations, and audits of real models: hours
	pytest -m slow

lint:  ## style, docstrings and types
	ruff check .
	ruff format --check .
	mypy

docs:  ## the site, in docs/_build/html; set RFT_DOCS_REPOSITORY to link to files of the code host
	python -m tests.support.build_docs

gates:  ## all that is checked beside the tests: style, types, doctests, the wheel elsewhere
	.ci/gates

reference:  ## write docs/config.md, docs/findings.md and docs/schemas again, after keys or findings have changed
	python -m tests.support.config_reference
	python -m tests.support.finding_reference
	python tests/support/json_schemas.py

rooms:  ## draw the rooms of docs/architecture.md again, after imports between them have changed
	python tests/support/draw_rooms.py

standards:  ## write docs/standards.md again, after rft/report/standards/sources.toml has changed
	python -m tests.support.write_standards
