# make demo    opens the dashboard on a recorded cluster, or prints its report where there is no terminal
# make test    ruff, mypy and every test; tests that need kind and docker are skipped where these are missing
# make soak    what takes longer than a test may: ten thousand hostile worlds, every suite with each part taken away,
#              every right taken from a user of a cluster, ten minutes in which parts of a cluster die and come back
# make lint    ruff and mypy alone
# make format  let ruff rewrite the sources
# make coverage  every test, and how much of svcdoctor/ they run; fails below 95 % of its lines, or 85 % of a file's;
#                with Python 3.12 or newer in a quarter of an hour, with 3.11 in hours
# make mutants   change checks and the evaluators of policies, and list in tests/mutants.md what no test notices; an hour
# make shuffle   every test in another order than that of the files
# make audit     ask whether a known vulnerability is in what svcdoctor needs; needs the network
# make licenses  write docs/licenses.md, under which terms svcdoctor's dependencies come
# make lock      write uv.lock and requirements/ anew from pyproject.toml; needs uv
# make bench   how fast the one-shot diagnosis is, beside downloading the same objects; some minutes, and more of them
#              at 20,000 Services. The other measurements of bench/ are run by hand: CONTRIBUTING.md
# make record-demo   record svcdoctor/demo.jsonl.xz from the current kind cluster; needs kubectl
# make screenshot    draw docs/dashboard.svg, the dashboard on that recording
# make zipapp        build dist/svcdoctor-*.pyz, all in one file, for this platform and this Python
# make krew URL=...  make dist/service-doctor.yaml and its archives, of the zipapps in dist/
# make clean   remove .venv and the caches
#
# Each works alone on a machine with only make and Python 3.11 or newer (lock: and uv). What is installed is what
# requirements/ names, by version and hash.
# PYTHON=/path/to/python chooses the interpreter.

PYTHON =
VENV = .venv
BIN = $(VENV)/bin
PROJECT = pyproject.toml svcdoctor/__init__.py requirements/*.txt
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet install
EXPORT = uv export --quiet --frozen --no-emit-project --no-annotate --no-header

.PHONY: demo test soak lint format coverage mutants shuffle audit licenses lock bench record-demo screenshot zipapp krew clean

demo: $(VENV)/.installed
	$(BIN)/python -m svcdoctor demo --fail-on never

test: lint
	$(BIN)/python -m pytest

soak: $(VENV)/.installed-dev
	SVCDOCTOR_SOAK=1 $(BIN)/python -m pytest tests/faults tests/kind/test_rights_live.py tests/kind/test_chaos_live.py

lint: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(VENV)/.installed-dev
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

coverage: export COVERAGE_CORE = sysmon
coverage: $(VENV)/.installed-dev
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest --ignore tests/kind
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python contrib/coverage_limits.py

mutants: $(VENV)/.installed-dev
	$(BIN)/python contrib/mutate.py $(FILES)

shuffle: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -p randomly $(if $(SEED),--randomly-seed=$(SEED))

audit: $(VENV)/.installed
	$(PIP) --require-hashes --requirement requirements/audit.txt
	$(BIN)/python contrib/audit.py

licenses: $(VENV)/.installed
	$(BIN)/python contrib/licenses.py

lock:
	uv lock
	$(EXPORT) --no-default-groups --output-file requirements/runtime.txt
	$(EXPORT) --only-group build --output-file requirements/build.txt
	$(EXPORT) --no-default-groups --extra dev --group build --output-file requirements/dev.txt
	$(EXPORT) --only-group audit --output-file requirements/audit.txt

bench: $(VENV)/.installed
	$(BIN)/python bench/run.py

record-demo: $(VENV)/.installed
	$(BIN)/python demo/record.py

screenshot: $(VENV)/.installed
	$(BIN)/python docs/screenshot.py

zipapp: $(VENV)/.installed-dev
	$(BIN)/python contrib/build_zipapp.py

krew: $(VENV)/.installed-dev
	$(BIN)/python contrib/build_krew.py '$(URL)'

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: $(VENV)/.python $(PROJECT)
	$(PIP) --require-hashes --requirement requirements/runtime.txt --requirement requirements/build.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.python $(PROJECT)
	$(PIP) --require-hashes --requirement requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.installed

# The first interpreter that runs, is new enough and can make a virtual environment. Each is run, not only
# looked up: a pyenv shim is on PATH also for versions that are not selected.
$(VENV)/.python:
	@set -eu; \
	seen=''; chosen=''; \
	for python in $(if $(PYTHON),'$(PYTHON)',python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 python); do \
	    version=$$("$$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue; \
	    if ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	        seen="$$seen $$python is $$version;"; \
	    elif ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	        seen="$$seen $$python is $$version without venv (Debian, Ubuntu: apt-get install python3-venv);"; \
	    else \
	        chosen=$$python; break; \
	    fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	    echo "svcdoctor needs Python 3.11 or newer. Found:$${seen:- no Python at all}" >&2; \
	    echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	fi; \
	echo "Making $(VENV) with $$chosen ($$version)"; \
	rm -rf $(VENV); \
	"$$chosen" -m venv $(VENV); \
	touch $@
