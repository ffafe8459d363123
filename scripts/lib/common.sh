# shellcheck shell=bash disable=SC2034
# What every script starts with: strict mode, the root of the tree, and one way to fail.
#   . "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

set -euo pipefail

SLUICE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# bpftool, ip, nginx and haproxy live in sbin, which su and cron leave out of PATH.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$(basename "$0"): $*"
    exit 1
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "$1 needs root (BPF programs, network namespaces): sudo $0"
}

cores() { nproc 2>/dev/null || echo 2; }
