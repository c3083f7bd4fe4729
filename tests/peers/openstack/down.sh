#!/usr/bin/env bash
# Stops what up.sh started from OSP_DIR (default /var/tmp/mistcore-openstack), by recorded
# process id and start time, so never another process that got the same id; SIGTERM, then SIGKILL after 10 s. At most
# about 15 s. Exit 0 when nothing of it runs any more, also when nothing ran.
#   down.sh          stop; the install and the template stay, so the next start takes seconds
#   down.sh --purge  stop, and remove OSP_DIR
set -u
OSP_DIR=${OSP_DIR:-/var/tmp/mistcore-openstack}
NAMES='nova neutron placement glance keystone'
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" {print $20}'; }
recorded() {                                # recorded NAME: sets p and t, and says whether that very process runs
    p='' t=''; { read -r p t < "$OSP_DIR/run/$1.pid"; } 2>/dev/null
    [ -n "$p" ] && [ -n "$t" ] && [ "$(born "$p")" = "$t" ]
}
rm -f "$OSP_DIR/ready"
stopped=0 left=''
for n in $NAMES; do recorded "$n" && kill -TERM "$p" && stopped=$((stopped + 1)); done
for _ in $(seq 50); do
    left=''
    for n in $NAMES; do recorded "$n" && left="$left $n"; done
    [ -z "$left" ] && break
    sleep 0.2
done
for n in $left; do recorded "$n" && kill -KILL "$p"; done
[ -n "$left" ] && sleep 1
for n in $NAMES; do
    recorded "$n" && { echo "openstack-down: FAILED: $n, process $p, is still there" >&2; exit 1; }
    rm -f "$OSP_DIR/run/$n.pid"
done
echo "openstack-down: stopped $stopped process(es)${left:+, of which by SIGKILL:$left}"
if [ "${1:-}" = --purge ]; then
    [ ! -e "$OSP_DIR" ] || [ -f "$OSP_DIR/lock" ] || { echo "openstack-down: $OSP_DIR is not such a folder, not removed" >&2; exit 1; }
    rm -rf "$OSP_DIR" && echo "openstack-down: removed $OSP_DIR"
fi
exit 0
