#!/bin/sh
# Sets everything up in .venv and .tox and runs every check: style, types, tests against the built wheel, docs.
# Tests that need a server that is not installed are skipped, unless MISTCORE_REQUIRE_PEERS is set.
set -eu
cd "$(dirname "$0")/.."
. tools/venv.sh
make_venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check 'tox>=4.22'
# The tests wait much of the time, for servers and deadlines: three at a time keep two processors busy.
[ $# -gt 0 ] || set -- run-parallel --parallel 3 --parallel-no-spinner
rm -f .tox/*/failed-first.txt # of a run before
status=0
.venv/bin/python -m tox "$@" || status=$?
for report in .tox/*/failed-first.txt; do # see run_tests.py
    [ ! -f "$report" ] || { echo "$report:" && cat "$report"; }
done
exit $status
