#!/bin/sh
# Sets mistcore up in .venv and runs the main job: adds this machine as a backend and lists the machines there are.
# The backends of this trial are kept in .venv/trial.json, apart from your own.
set -eu
cd "$(dirname "$0")/.."
. tools/venv.sh
make_venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check .
export MISTCORE_STORE="$PWD/.venv/trial.json"
mist=.venv/bin/mist
$mist show "this machine" >/dev/null 2>&1 || $mist add bare_metal --machine-ip local --title "this machine"
$mist machines
