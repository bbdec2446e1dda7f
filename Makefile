# make run   the service on 127.0.0.1:8080, files under ./archive
# make test  everything the tests need, then the tests
# make packages   as root: the Debian packages that the tests need; make test does it too
# make test-user   as an ordinary user: the tests of what depends on who owns and may open a file
# make test-fresh-machine   as root: that scripts/fresh-machine keeps its promises
# make test-original   archives that release 0.4.2 makes, served, converted and verified
# make test-powerloss   $(CUTS) power cuts of each file system;  make test-faults   a kill and errors at each system call
# make test-fuzz   $(FUZZ_REQUESTS) random requests to the launcher and to uWSGI, compared with an oracle of the framing
# make test-openapi   $(OPENAPI_CASES) requests for each operation of the OpenAPI document, to the launcher and to uWSGI, without users and with them
# make test-leaks   each verb, succeeding and failing, $(LEAK_ROUNDS) times on every backend and server: nothing stays open or behind
# make test-s3-faults   $(S3_FAULT_ROUNDS) requests while any call to the S3 store may fail
# make test-recalls   recalls: a crash at each statement, kills under load, and as many requests as FTS sends
# make test-nodes   three nodes on one S3 store, under load, while nodes, volume servers and the database are killed again and again
# make test-mutation [MODULES="conditions backends/posix/store"]   whether the tests notice small changes of the code
# make check format, lint and types
# make bench-quick   the comparison with the original, nginx, rclone and bare handlers, in two minutes, into build/benchmarks-quick
# make bench [ROUNDS=5] [BEFORE=another/worktree]   all of it, into build/benchmarks
# make bench-change BEFORE=another/worktree   what a change has changed, in a quarter of an hour, into build/benchmarks-change
# make bench-recalls   what recalls cost the service, and what their order saves in a tape library, as ratios
# make bench-s3 [ROUNDS=5]   the service on an S3 store, compared with boto3 and rclone straight to it, as ratios
# make bench-publish   the summary and the plots of the last make bench, into docs/benchmarks
# make bench-change-publish   the summary of the last make bench-change, into docs/benchmarks
# make docs  the documentation as HTML, under docs/_build/html
# make run-hpss-demo           the service on a simulated HPSS, with a tape of five seconds
# make hpss-demo-tape ID=5     in another terminal: leaves file 5 of it on tape only
# make deployment-test ARCHIVE_URL=http://host:8080   what a deployed service owes its clients
# make run-hsm-demo        Oracle HSM, emulated, on 127.0.0.1:8080 until interrupted
# make hsm-demo-tape ID=5  in a second terminal: archive and release file 5 of it
# make run-s3-demo         three nodes on one S3 store, with SeaweedFS, MariaDB and nginx, on 127.0.0.1:8080 until interrupted

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
METADATA := setup.py pyproject.toml
PORT ?= 8080
# Most tests wait for servers and disks: more of them than cores run at a time.
TEST_JOBS ?= 4
CUTS ?= 100
S3_FAULT_ROUNDS ?= 2000
FUZZ_REQUESTS ?= 100000
FUZZ_SERVERS ?= launcher uwsgi
OPENAPI_CASES ?= 600
LEAK_ROUNDS ?= 1000
PYTHON_HEADERS = $$($(PYTHON) -c 'import sysconfig as s; print(s.get_path("include") + "/Python.h=python3-dev")')
C_PACKAGES := cc=gcc /usr/include/stdio.h=libc6-dev
HSM_PACKAGES := $(C_PACKAGES) mariadbd=mariadb-server-core
DATABASE_PACKAGES := /usr/share/doc/postgresql=postgresql mariadb-dump=mariadb-client
BACKUP_PACKAGES := rsync=rsync
BENCH_PACKAGES := $(C_PACKAGES) wrk=wrk nginx=nginx-light curl=curl openssl=openssl findmnt=util-linux cmp=diffutils
UWSGI_PACKAGES = $(C_PACKAGES) $(PYTHON_HEADERS) /usr/include/openssl/ssl.h=libssl-dev
# Apache's headers are for mod_wsgi, which is compiled for the Python of the tests.
SERVER_PACKAGES = $(C_PACKAGES) $(PYTHON_HEADERS) apxs=apache2-dev apache2=apache2-bin unshare=util-linux
GRID_PACKAGES := davix-put=davix gfal-copy=gfal2-util-scripts \
  /etc/gfal2.d/http_plugin.conf=gfal2-plugin-http /usr/share/doc/gfal2-plugin-file=gfal2-plugin-file
SYSTEM_PACKAGES = $(BENCH_PACKAGES) $(HSM_PACKAGES) $(UWSGI_PACKAGES) pkg-config=pkg-config valgrind=valgrind \
  $(SERVER_PACKAGES) $(GRID_PACKAGES) $(DATABASE_PACKAGES) $(BACKUP_PACKAGES) strace=strace mkfs.ext4=e2fsprogs mkfs.xfs=xfsprogs mount=mount systemd-analyze=systemd \
  promtool=prometheus logrotate=logrotate apparmor_parser=apparmor
ROUNDS ?= 5
ORIGINAL := build/original
BENCH = $(BIN)/python -m benchmarks.compare --place tmpfs=/dev/shm --place disk=build/bench $(if $(BEFORE),--before $(BEFORE))
HPSS_DEMO ?= build/hpss-demo
HSM_DEMO ?= hsm-demo
S3_DEMO ?= build/s3-demo
NODES_SECONDS ?= 300

# Tests start the service hundreds of times: it is not compiled anew each time, whatever the developer's shell says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run packages run-hpss-demo hpss-demo-tape run-hsm-demo hsm-demo-tape run-s3-demo test test-user test-fresh-machine test-original \
  test-powerloss test-faults test-s3-faults test-fuzz test-openapi test-leaks test-recalls test-nodes test-mutation bench bench-quick bench-change bench-publish bench-change-publish bench-durability bench-recalls bench-s3 check docs deployment-test clean

run: $(VENV)/.run
	@mkdir -p archive
	@echo "Try in another terminal: curl -T README.md http://127.0.0.1:$(PORT)/12345"
	@exec $(BIN)/pacifica-archiveinterface -t posix -a 127.0.0.1 -p $(PORT) --prefix archive

run-hpss-demo: $(HPSS_DEMO)/.built
	@$(BIN)/python -m tests.hpss_simulator demo $(HPSS_DEMO)
	@echo "Try in another terminal: curl -T README.md http://127.0.0.1:$(PORT)/5, then: make hpss-demo-tape ID=5"
	@exec $(BIN)/pacifica-archiveinterface -t hpss -a 127.0.0.1 -p $(PORT) --prefix /archive -c $(HPSS_DEMO)/config.ini

hpss-demo-tape: $(HPSS_DEMO)/.built
	@cd $(HPSS_DEMO) && $(abspath $(BIN))/python -m pacifica.archiveinterface.backends.hpss.to_tape \
	  -c config.ini --prefix /archive $(ID)

run-hsm-demo: $(VENV)/.hsm-demo
	@exec $(BIN)/python -m tests.samqfs_emulator.demo $(HSM_DEMO) run --port $(PORT)

hsm-demo-tape: $(VENV)/.hsm-demo
	@$(if $(ID),,$(error say which file: make hsm-demo-tape ID=5))
	@$(BIN)/python -m tests.samqfs_emulator.demo $(HSM_DEMO) tape $(ID)

run-s3-demo: $(VENV)/.s3-demo
	@exec $(BIN)/python -m tests.s3_demo.demo $(S3_DEMO) --port $(PORT)

packages:
	@scripts/need-packages $(SYSTEM_PACKAGES)

# Each process that a test starts measures it, too: that takes a third more time.
COVERAGE = --cov --cov-report=term-missing:skip-covered --cov-fail-under=95
USER_TESTS = fixity backends/conformance backends/posix/fault backends/posix/kill backends/posix/sync commands/admin \
  http/rest_get http/rest_put project/deploy project/deployment_suite servers/launcher servers/transmission

test-user: $(VENV)/.test
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist worksteal -k "not hpss and not hsm" $(USER_TESTS:%=tests/%_test.py)

test-fresh-machine: $(VENV)/.test
	$(BIN)/python -m pytest tests/project/fresh_machine.py

test-original: $(VENV)/.test $(ORIGINAL)/.made
	$(BIN)/python -m pytest tests/project/original_archives.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist worksteal $(if $(CI),$(COVERAGE))

# As root. Some minutes each.
test-powerloss: $(VENV)/.test
	CI=true POWERLOSS_CUTS=$(CUTS) $(BIN)/python -m pytest -s tests/backends/posix/powerloss_test.py

test-faults: $(VENV)/.test
	CI=true FAULTS=all $(BIN)/python -m pytest -s tests/backends/posix/kill_test.py tests/backends/posix/fault_test.py tests/backends/posix/sync_test.py

test-s3-faults: $(VENV)/.test
	CI=true S3_FAULT_ROUNDS=$(S3_FAULT_ROUNDS) $(BIN)/python -m pytest -s tests/backends/s3/random_faults_test.py

test-fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz --requests $(FUZZ_REQUESTS) $(FUZZ_SERVERS)

# More than 100,000 requests in all. Some minutes for each of four services and 100 cases.
test-openapi: $(VENV)/.test
	OPENAPI_CASES=$(OPENAPI_CASES) $(BIN)/python -m pytest tests/openapi/cases_test.py

# About a quarter of an hour.
test-leaks: $(VENV)/.test
	CI=true LEAK_ROUNDS=$(LEAK_ROUNDS) $(BIN)/python -m pytest tests/leak_test.py

# Each point at which a process can die, 1,000 requests of 200 files, many kills. Half an hour.
test-recalls: $(VENV)/.test
	CI=true RECALL_CRASHES=all RECALL_REQUESTS=1000 RECALL_KILLS=20 $(BIN)/python -m pytest -s \
	  tests/recalls/crash_test.py tests/recalls/load_test.py tests/recalls/lease_test.py

# So long, and as long again for the rest.
test-nodes: $(VENV)/.test
	CI=true NODES_SECONDS=$(NODES_SECONDS) $(BIN)/python -m pytest -s tests/backends/s3/nodes_test.py

# Minutes for each module; nothing else should run beside it, because a mutant that hangs is told by its time.
test-mutation: $(VENV)/.mutation
	$(BIN)/python -m tests.mutation $(MODULES)

bench: $(VENV)/.bench $(ORIGINAL)/.made
	$(BENCH) --rounds $(ROUNDS) --out build/benchmarks

bench-quick: $(VENV)/.bench $(ORIGINAL)/.made
	$(BENCH) --quick --out build/benchmarks-quick

bench-change: $(VENV)/.bench $(ORIGINAL)/.made
	$(BENCH) --change --rounds $(ROUNDS) --out build/benchmarks-change

# The raw results stay below build/.
bench-publish:
	rm -f docs/benchmarks/*.svg
	cp build/benchmarks/summary.md build/benchmarks/*.svg docs/benchmarks/

bench-change-publish:
	cp build/benchmarks-change/summary.md docs/benchmarks/change.md

# Large requests, polls and a million files; then the order of recalls in a tape library. A quarter of an hour.
bench-recalls: $(VENV)/.test
	mkdir -p build
	$(BIN)/python -m benchmarks.recalls build
	$(BIN)/python -m benchmarks.library build

# On an S3 store in memory; the large file needs some GiB of it. Three quarters of an hour.
bench-s3: $(VENV)/.test
	mkdir -p build
	$(BIN)/python -m benchmarks.s3 /dev/shm --rounds $(ROUNDS)

# What durability costs on the disk of this directory, as ratios.
bench-durability: $(VENV)/.test
	mkdir -p build
	$(BIN)/python -m benchmarks.durability build

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

# What is given to make as ARCHIVE_URL=... reaches the tests through the environment.
deployment-test: $(VENV)/.deployment-test
	$(BIN)/python -m pytest post_deployment_tests/deployment_test.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(HPSS_DEMO)/.built: $(VENV)/.run $(wildcard tests/hpss_simulator/*/*.[ch] pacifica/archiveinterface/backends/hpss/*.c)
	scripts/need-packages cc=gcc /usr/include/stdio.h=libc6-dev pkg-config=pkg-config $(PYTHON_HEADERS)
	$(BIN)/python -m tests.hpss_simulator build 9.3 $(HPSS_DEMO)
	HPSS_PREFIX=$(abspath $(HPSS_DEMO)) $(BIN)/pip install -q -e .
	@touch $@

# One set of packages for each purpose; made again when the metadata change.
$(VENV)/.run: $(VENV)/bin/python $(METADATA)
	$(BIN)/pip install -q -e .
	@touch $@

$(VENV)/.hsm-demo: $(VENV)/.run Makefile scripts/need-packages
	scripts/need-packages $(HSM_PACKAGES)
	@touch $@

$(VENV)/.s3-demo: $(VENV)/bin/python $(METADATA) Makefile scripts/need-packages
	scripts/need-packages $(UWSGI_PACKAGES) mariadbd=mariadb-server-core nginx=nginx-light
	$(BIN)/pip install -q -e '.[s3-demo,uwsgi]'
	@touch $@

# Outside CI, tests that need what only root may install are skipped. uWSGI is compiled.
$(VENV)/.test: $(VENV)/bin/python $(METADATA) Makefile scripts/need-packages
	@scripts/need-packages $(SYSTEM_PACKAGES) || [ -z "$$CI" ]
	$(BIN)/pip install -q -e '.[test,bench,docs]'
	@if scripts/need-packages $(UWSGI_PACKAGES) 2>/dev/null; then $(BIN)/pip install -q -e '.[uwsgi]'; fi
	@if scripts/need-packages $(SERVER_PACKAGES) 2>/dev/null; then $(BIN)/pip install -q -e '.[mod-wsgi]'; fi
	$(BIN)/pip install -q --no-deps --upgrade --target $(VENV)/pyuwsgi 'pyuwsgi>=2.0.30'
	@touch $@

$(VENV)/.mutation: $(VENV)/.test $(METADATA)
	$(BIN)/pip install -q -e '.[mutation]'
	@touch $@

$(VENV)/.bench: $(VENV)/bin/python $(METADATA) Makefile scripts/need-packages
	scripts/need-packages $(BENCH_PACKAGES) $(UWSGI_PACKAGES)
	$(BIN)/pip install -q -e '.[bench,uwsgi]'
	@touch $@

# The original, as its users install it. It imports pkg_resources, which newer setuptools have no more.
$(ORIGINAL)/.made: | $(VENV)/.bench
	$(PYTHON) -m venv $(ORIGINAL)
	$(ORIGINAL)/bin/pip install -q 'setuptools<80' pacifica-archiveinterface uwsgi
	@touch $@

$(VENV)/.check: $(VENV)/bin/python $(METADATA)
	$(BIN)/pip install -q -e '.[test,bench,check]'
	@touch $@

$(VENV)/.docs: $(VENV)/bin/python $(METADATA)
	$(BIN)/pip install -q -e '.[docs]'
	@touch $@

$(VENV)/.deployment-test: $(VENV)/bin/python $(METADATA)
	$(BIN)/pip install -q -e '.[deployment-test]'
	@touch $@

clean:
	rm -rf $(VENV) hsm-demo build dist docs/_build *.egg-info pacifica/archiveinterface/backends/hpss/*.so
