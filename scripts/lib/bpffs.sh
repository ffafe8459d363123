# shellcheck shell=bash
# The BPF file system, where pins live.

BPFFS=/sys/fs/bpf

# Mounts it where it is missing (systemd does; a container often does not). Needs root.
# Sets BPFFS_MOUNTED=1 when it was this call that mounted it.
bpffs_ensure() {
    BPFFS_MOUNTED=0
    [ "$(stat -f -c %T "$BPFFS" 2>/dev/null)" != bpf_fs ] || return 0
    mkdir -p "$BPFFS" 2>/dev/null || true
    mount -t bpf bpf "$BPFFS" || die "cannot mount the BPF file system at $BPFFS"
    # shellcheck disable=SC2034  # read by callers
    BPFFS_MOUNTED=1
}
