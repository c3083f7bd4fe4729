#!/usr/bin/env bash
# A real OpenStack control plane on loopback, for tests, with no hypervisor.
#
# keystone 30, glance 33, placement 16, neutron 29 and nova 34 from PyPI in one virtual environment; five
# processes, SQLite files, no message broker, no root needed. Nova's API, conductor, scheduler and compute share one
# process, so that oslo.messaging's in-memory transport (fake://) carries their RPC; nova-compute drives nova's own
# fake virt driver, so a "server" is a record with a life cycle and no guest. Everything else is the real code.
#
#   up.sh            install what is missing, start, seed; nothing to do when it is already up
#   up.sh --fresh    the same, but a running one is stopped first (every start is an empty cloud)
#   up.sh --install  only install and prepare the template databases
#
#   OSP_DIR     state folder                    (default /var/tmp/mistcore-openstack)
#   OSP_PORT    first of five ports             (default 15000: keystone, glance, placement, neutron, nova)
#   OSP_PYTHON  Python 3.11 or newer            (default: the first of python3.11 .. python3.13 found)
#   OSP_KEYSTONE  30, or 12: Keystone 12.0.3 ("Pike"), the last line with the v2.0 API, in front of the same nova;
#               it serves /v2.0 and /v3, has no application credentials, and needs Python 3.6 (OSP_PYTHON36)
#   OSP_MAX_LIMIT  rows in a page of servers    (default 1000, as Nova's own)
#   OSP_LIMIT   seconds for the whole run       (default 1800; a first run takes about 120, a later one about 15)
#
# Exit 0: up, and `. $OSP_DIR/openrc` sets OS_* for a client. Anything else: one line 'openstack-up: FAILED ...' on
# standard error that says at which step and why, with the end of the log in question; nothing is left running.
set -u -o pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SELF=$HERE/$(basename "${BASH_SOURCE[0]}")
export OSP_DIR=${OSP_DIR:-/var/tmp/mistcore-openstack} OSP_PORT=${OSP_PORT:-15000} OSP_LIMIT=${OSP_LIMIT:-1800} OSP_KEYSTONE=${OSP_KEYSTONE:-30}
export OSP_MAX_LIMIT=${OSP_MAX_LIMIT:-1000}
case "$OSP_DIR" in /*) ;; *) echo "openstack-up: FAILED: OSP_DIR must be an absolute path" >&2; exit 2 ;; esac
case "${1:-}" in ''|--fresh|--install) MODE=${1:-} ;; *) sed -n '2,25s/^# \{0,1\}//p' "$SELF"; exit 2 ;; esac

NAMES='keystone glance placement neutron nova'
WANT='keystone==30.0.0 glance==33.0.0 openstack-placement==16.0.0 neutron==29.0.0 nova==34.0.0 python-novaclient==18.13.1 keystoneauth1 waitress'
WANT12='keystone==12.0.3 waitress==2.0.0'
V=$OSP_DIR/venv V12=$OSP_DIR/venv12 T=$OSP_DIR/template-$OSP_KEYSTONE L=$OSP_DIR/live
K=$V; case "$OSP_KEYSTONE" in 30) ;; 12) K=$V12 ;; *) echo "openstack-up: FAILED: OSP_KEYSTONE is 30 or 12" >&2; exit 2 ;; esac

if [ -z "${OSP_INNER:-}" ]; then            # bound the whole run in time, one run at a time
    mkdir -p "$OSP_DIR" || { echo "openstack-up: FAILED: cannot create $OSP_DIR" >&2; exit 1; }
    exec 9>"$OSP_DIR/lock"
    flock -w 60 9 || { echo "openstack-up: FAILED: another run holds $OSP_DIR/lock" >&2; exit 1; }
    OSP_INNER=1 timeout --kill-after=10 "$OSP_LIMIT" bash "$SELF" "$@" 9>&-
    rc=$?
    if [ $rc = 124 ] || [ $rc = 137 ]; then
        echo "openstack-up: FAILED: over $OSP_LIMIT s (OSP_LIMIT), in step: $(cat "$OSP_DIR/step" 2>/dev/null)" >&2
        OSP_DIR=$OSP_DIR bash "$HERE/down.sh" >&2
    fi
    exit $rc
fi

say() { printf 'openstack-up: %s\n' "$*"; }
step() { STEP=$1; echo "$1" > "$OSP_DIR/step"; }
fail() {                                    # fail MESSAGE [LOGFILE]
    echo "openstack-up: FAILED in step '$STEP': $1" >&2
    if [ -n "${2:-}" ] && [ -s "$2" ]; then
        echo "--- end of $2" >&2
        grep -avE '^$|ventlet|^WARNING: Location|strongly recommend|migrating to a different|framework\.' "$2" | tail -n 25 | cut -c1-400 >&2
    fi
    OSP_DIR=$OSP_DIR bash "$HERE/down.sh" > /dev/null 2>&1
    exit 1
}
port() { local i=0 n; for n in $NAMES; do [ "$n" = "$1" ] && { echo $((OSP_PORT + i)); return; }; i=$((i + 1)); done; }
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" {print $20}'; }      # a process's start time in ticks
alive() {                                   # alive NAME: the process recorded for it runs; pid and start time, as both
    local p t; { read -r p t < "$OSP_DIR/run/$1.pid"; } 2>/dev/null || return 1     # are known before its exec, unlike its command line
    [ -n "$t" ] && [ "$(born "$p")" = "$t" ]
}
answers() { curl -s -o /dev/null -m 5 "http://127.0.0.1:$(port "$1")/"; }
quiet() {                                   # quiet LOG SECONDS COMMAND...: run, keep what it says
    local log=$1 s=$2 rc; shift 2
    timeout --kill-after=5 "$s" "$@" > "$log" 2>&1; rc=$?
    [ $rc = 124 ] && fail "took more than $s s: $*" "$log"
    [ $rc = 0 ] || fail "exit status $rc: $*" "$log"
}

# ---------------------------------------------------------------------------------------------------- what is there
step 'look around'
for c in curl timeout flock setsid sha256sum; do command -v $c > /dev/null || fail "no '$c' command (Debian: curl, coreutils, util-linux)"; done
if [ "$MODE" = '' ] && [ "$(cut -d' ' -f2 "$OSP_DIR/ready" 2>/dev/null)" = "keystone-$OSP_KEYSTONE" ]; then
    ok=1; for n in $NAMES; do alive "$n" && answers "$n" || ok=0; done
    [ $ok = 1 ] && { say "already up: $(cat "$OSP_DIR/ready")"; exit 0; }
fi
bash "$HERE/down.sh" > /dev/null 2>&1 || fail 'down.sh could not stop what an earlier run left'
PY=${OSP_PYTHON:-}
if [ -z "$PY" ]; then for c in python3.11 python3.12 python3.13 python3; do
    p=$(command -v $c) && "$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { PY=$p; break; }; done; fi
[ -n "$PY" ] && "$PY" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || fail "needs Python 3.11 or newer (OSP_PYTHON); nova 34 does"
"$PY" -c 'import venv, ensurepip, sqlite3' 2>/dev/null || fail "$PY lacks venv, ensurepip or sqlite3 (Debian: python3-venv)"
PY36=${OSP_PYTHON36:-$(command -v python3.6 || true)}
for p in "$HOME"/.pyenv/versions/3.6.*/bin/python; do [ -x "$p" ] && { [ -n "$PY36" ] && "$PY36" -V > /dev/null 2>&1; } || PY36=$p; done
[ $OSP_KEYSTONE = 30 ] || "$PY36" -c 'import sys, venv, sqlite3; sys.exit(sys.version_info[:2] != (3, 6))' 2>/dev/null || fail "OSP_KEYSTONE=12 needs Python 3.6 (OSP_PYTHON36), found '$PY36'"
free=$(df -Pm "$OSP_DIR" | awk 'NR == 2 {print $4}')
[ "$free" -ge 1200 ] || [ -f "$V/.ok" ] || fail "needs 1200 MB free for $OSP_DIR, has $free"
for n in $NAMES; do answers "$n"; [ $? = 7 ] || fail "port $(port "$n") on 127.0.0.1 is taken by something else (OSP_PORT)"; done
mkdir -p "$OSP_DIR/log" "$OSP_DIR/run"

# ---------------------------------------------------------------------------------------------------------- install
step 'install from PyPI'
t0=$(date +%s)
key=$( (echo "$WANT" "$("$PY" -V)"; cat "$HERE/constraints.txt" 2>/dev/null) | sha256sum | cut -c1-16)
if [ "$(cat "$V/.ok" 2>/dev/null)" != "$key" ]; then
    rm -rf "$V" "$OSP_DIR"/template-*
    quiet "$OSP_DIR/log/venv.log" 300 "$PY" -m venv "$V"
    pin=(); [ -f "$HERE/constraints.txt" ] && pin=(-c "$HERE/constraints.txt")
    # shellcheck disable=SC2086
    quiet "$OSP_DIR/log/pip.log" 1200 "$V/bin/pip" install --disable-pip-version-check --no-input "${pin[@]}" $WANT
    echo "$key" > "$V/.ok"
    say "installed in $(($(date +%s) - t0)) s, $(du -sm "$V" | cut -f1) MB in $V"
fi

key12=$( (echo "$WANT12" "$PY36"; cat "$HERE/keystone12-constraints.txt" 2>/dev/null) | sha256sum | cut -c1-16)
if [ $OSP_KEYSTONE = 12 ] && [ "$(cat "$V12/.ok" 2>/dev/null)" != "$key12" ]; then
    step 'install Keystone 12 from PyPI'
    t0=$(date +%s)
    [ -f "$HERE/keystone12-constraints.txt" ] || fail "needs keystone12-constraints.txt beside $SELF: releases of 2017 want versions of their time"
    rm -rf "$V12"
    quiet "$OSP_DIR/log/venv12.log" 300 "$PY36" -m venv "$V12"
    quiet "$OSP_DIR/log/pip12a.log" 300 "$V12/bin/python" -m pip install --no-input pip==21.3.1 setuptools==57.5.0 wheel==0.37.1
    # shellcheck disable=SC2086
    quiet "$OSP_DIR/log/pip12.log" 1200 "$V12/bin/pip" install --no-input --use-deprecated=legacy-resolver --prefer-binary -c "$HERE/keystone12-constraints.txt" $WANT12
    echo "$key12" > "$V12/.ok"
    say "Keystone 12 installed in $(($(date +%s) - t0)) s, $(du -sm "$V12" | cut -f1) MB in $V12"
fi

# ------------------------------------------------------------------------------------------------------- processes
start() {                                   # start NAME: in a session of its own, its pid in run/NAME.pid
    local v=$V; [ "$1" = keystone ] && v=$K
    setsid "$v/bin/python" -B -W ignore "$HERE/serve.py" "$1" "$(port "$1")" < /dev/null > "$OSP_DIR/log/$1.log" 2>&1 &
    echo "$! $(born $!)" > "$OSP_DIR/run/$1.pid"
}
await() {                                   # await SECONDS NAME...: until each answers
    local end=$(($(date +%s) + $1)) n; shift
    for n; do
        until answers "$n"; do
            alive "$n" || fail "$n ended while starting" "$OSP_DIR/log/$n.log"
            [ "$(date +%s)" -lt $end ] || fail "$n does not answer on port $(port "$n")" "$OSP_DIR/log/$n.log"
            sleep 0.2
        done
    done
}

# --------------------------------------------------------------------------- template: schemas and identity, made once
step 'template databases'
tkey=$(cat "$V/.ok" "$HERE"/conf.py "$HERE"/seed.py "$SELF" <(echo "$OSP_DIR $OSP_PORT $OSP_KEYSTONE") | sha256sum | cut -c1-16)
if [ "$(cat "$T/.ok" 2>/dev/null)" != "$tkey" ]; then
    t0=$(date +%s)
    rm -rf "$T" "$L"; mkdir -p "$L"
    quiet "$OSP_DIR/log/conf.log" 60 "$V/bin/python" -B "$HERE/conf.py"
    B=$V/bin E=$L/etc G=$OSP_DIR/log
    (   if [ $OSP_KEYSTONE = 12 ]; then quiet "$G/1-keystone.log" 300 "$K/bin/python" -B -W ignore "$HERE/seed.py" keystone12-schema
        else quiet "$G/1-keystone.log" 300 "$K/bin/keystone-manage" --config-file "$E/keystone/keystone.conf" db_sync; fi
        for w in fernet credential; do
            quiet "$G/1-$w.log" 300 "$K/bin/keystone-manage" --config-file "$E/keystone/keystone.conf" ${w}_setup --keystone-user "$(id -un)" --keystone-group "$(id -gn)"
        done
        u=http://127.0.0.1:$(port keystone)/v3
        quiet "$G/1-bootstrap.log" 300 "$K/bin/keystone-manage" --config-file "$E/keystone/keystone.conf" bootstrap --bootstrap-username admin \
            --bootstrap-password admin-secret --bootstrap-region-id RegionOne --bootstrap-public-url "$u" --bootstrap-internal-url "$u" --bootstrap-admin-url "$u"
        quiet "$G/1-glance.log" 300 "$B/glance-manage" --config-file "$E/glance/glance-api.conf" db_sync
    ) & a=$!
    (   N="$B/nova-manage --config-file $E/nova/nova.conf"; D=sqlite:///$L/db
        quiet "$G/1-nova-api.log" 300 $N api_db sync
        quiet "$G/1-nova-cell0.log" 300 $N cell_v2 map_cell0 --database_connection "$D/nova_cell0.sqlite"
        quiet "$G/1-nova-cell1.log" 300 $N cell_v2 create_cell --name cell1 --database_connection "$D/nova_cell1.sqlite" --transport-url fake://
        quiet "$G/1-nova.log" 300 $N db sync
        quiet "$G/1-placement.log" 300 "$B/placement-manage" --config-file "$E/placement/placement.conf" db sync
        quiet "$G/1-neutron.log" 300 "$B/python" -B -W ignore "$HERE/seed.py" neutron-schema
    ) & b=$!
    wait $a; ra=$?; wait $b; rb=$?
    [ $ra = 0 ] && [ $rb = 0 ] || exit 1    # the part that failed has said so
    start keystone; await 180 keystone
    quiet "$G/1-identity.log" 300 "$V/bin/python" -B -W ignore "$HERE/seed.py" identity
    bash "$HERE/down.sh" > /dev/null || fail 'cannot stop keystone after seeding'
    cp -a "$L" "$T.new" && rm -rf "$T" && mv "$T.new" "$T" && echo "$tkey" > "$T/.ok" || fail "cannot write $T"
    say "template made in $(($(date +%s) - t0)) s, $(du -sm "$T" | cut -f1) MB"
fi
[ "$MODE" = --install ] && { say "installed; up.sh starts it"; exit 0; }

# ------------------------------------------------------------------------------------------------------------- start
step 'start the services'
t0=$(date +%s.%N)
rm -rf "$L"; cp -a "$T" "$L" || fail "cannot copy $T to $L"
rm -f "$L/.ok"
quiet "$OSP_DIR/log/conf.log" 60 "$V/bin/python" -B "$HERE/conf.py"      # again: settings may have changed since
start keystone; start glance; start placement; start neutron
await 180 keystone placement                 # nova-compute registers itself in placement while it starts
start nova
await 240 glance neutron nova
step 'seed flavors, images and networks'
quiet "$OSP_DIR/log/seed.log" 300 "$V/bin/python" -B -W ignore "$HERE/seed.py" cloud
t1=$(date +%s.%N)

step 'write openrc'
u=http://127.0.0.1:$(port keystone)/v3
cat > "$OSP_DIR/openrc" <<RC
export OS_AUTH_URL=$u OS_IDENTITY_API_VERSION=3 OS_REGION_NAME=RegionOne
export OS_USERNAME=demo OS_PASSWORD=demo-secret OS_PROJECT_NAME=demo OS_USER_DOMAIN_ID=default OS_PROJECT_DOMAIN_ID=default
RC
cat > "$OSP_DIR/peer.json" <<JS
{"auth_url": "$u", "auth_url_v2": $([ $OSP_KEYSTONE = 12 ] && echo "\"${u%/v3}/v2.0\"" || echo null), "keystone": $OSP_KEYSTONE, "region": "RegionOne", "domain": "default", "compute_url": "http://127.0.0.1:$(port nova)/v2.1",
 "users": {"admin": ["admin-secret", "admin"], "demo": ["demo-secret", "demo"], "reader": ["reader-secret", "demo"]},
 "flavors": ["m1.tiny", "m1.small", "m1.medium", "m1.toobig"], "images": ["debian-12", "ubuntu-24.04"], "networks": ["private", "public"]}
JS
echo "$u keystone-$OSP_KEYSTONE" > "$OSP_DIR/ready"
mb=0; for n in $NAMES; do alive "$n" || fail "$n ended after starting" "$OSP_DIR/log/$n.log"; mb=$((mb + $(awk '/VmRSS/ {print $2}' "/proc/$(cut -d' ' -f1 "$OSP_DIR/run/$n.pid")/status") / 1024)); done
say "up in $(echo "$t0 $t1" | awk '{printf "%.1f", $2 - $1}') s at $u (nova $(port nova)), $mb MB resident; . $OSP_DIR/openrc"
