#!/usr/bin/env bash
# A Ray cluster of machines that you reach with ssh. Run it on the machine that will coordinate the runs:
#
#   deploy/ray-hosts.sh start HOST [HOST ...]   Ray on this machine and on each host
#   RAY_AUTH_MODE=token trie cluster=ray workers=4 endpoint=http://SERVER:8000/v1 workload=agentic concurrency=256
#   deploy/ray-hosts.sh stop HOST [HOST ...]
#
# Each host has the same versions of Python, Ray and trie. RAY names the program where it is not in the PATH of an ssh
# command (RAY=/opt/trie/bin/ray), CORES the workers that a host can have (2 without it); this machine has none of them.
# Only who has Ray's token (~/.ray/auth_token) can use the cluster; a host that has none gets that of this machine.
set -euo pipefail

ray=${RAY:-ray} cores=${CORES:-2} port=${PORT:-6379}
usage() {
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
[ $# -ge 2 ] || usage
action=$1
shift

export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token
case $action in
start)
    "$ray" get-auth-token --generate >/dev/null
    address=${ADDRESS:-$(hostname -I | cut -d' ' -f1)}
    "$ray" start --head --node-ip-address="$address" --port="$port" --num-cpus=0 --include-dashboard=false
    for host in "$@"; do
        ssh "$host" 'test -e ~/.ray/auth_token || { umask 077; mkdir -p ~/.ray; cat >~/.ray/auth_token; }' \
            <~/.ray/auth_token
        ssh "$host" RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token \
            "$ray" start --address="$address:$port" --num-cpus="$cores"
    done
    ;;
stop)
    for host in "$@"; do
        ssh "$host" "$ray" stop
    done
    "$ray" stop
    ;;
*) usage ;;
esac
