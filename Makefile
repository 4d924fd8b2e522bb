.PHONY: test check
test:
	python3 -m venv .venv && .venv/bin/pip install -q -e ".[dev]" && .venv/bin/python -m pytest
check:
	bash .ci/run
