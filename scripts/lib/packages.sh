# shellcheck shell=bash disable=SC2034
# The Debian packages that the scripts need, by what they are for, and how they get installed.

PACKAGES_BUILD=(
    g++ cmake ninja-build pkg-config ccache
    clang llvm bpftool libbpf-dev libelf-dev zlib1g-dev linux-libc-dev
    libsystemd-dev libyaml-cpp-dev libspdlog-dev libcli11-dev nlohmann-json3-dev
    libgtest-dev libgmock-dev libbenchmark-dev scdoc
)
PACKAGES_LINT=(clang-format-19 clang-tidy-19 shellcheck python3 git man-db)
PACKAGES_FUZZ=(clang-19 libclang-rt-19-dev)
# Real servers and clients: the system tests and the quickstart talk to these.
PACKAGES_PEERS=(iproute2 util-linux procps nginx haproxy curl socat python3 strace systemd)

packages_missing() {
    local package
    for package in "$@"; do
        # shellcheck disable=SC2016  # dpkg-query's own ${} syntax
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = 'ii ' ] ||
            printf '%s\n' "$package"
    done | sort -u
}

# Installs what is missing; says nothing and touches nothing when all is there.
packages_install() {
    local missing
    mapfile -t missing < <(packages_missing "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "needs these Debian packages, and there is no apt-get: ${missing[*]}"
    [ "$(id -u)" -eq 0 ] || die "as root: apt-get install --no-install-recommends ${missing[*]}"

    say "installing ${#missing[@]} packages: ${missing[*]}"
    (   # a subshell, so that its trap puts policy-rc.d back whatever happens
        keep_services_stopped
        apt_get update
        apt_get install -y --no-install-recommends "${missing[@]}"
        stay_disabled "${missing[@]}"
    )
}

# What it says is shown only when it fails.
apt_get() {
    local output
    output=$(DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" 2>&1 </dev/null) ||
        die "apt-get $1 failed:"$'\n'"$output"
}

# Debian starts a server as soon as it is installed. Ours run in namespaces of their own, and port 80 of
# this machine is not ours to take. policy-rc.d(8) is how a package is told so.
keep_services_stopped() {
    local policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        cp -p "$policy" "$policy.sluice-saved"
        trap 'mv -f /usr/sbin/policy-rc.d.sluice-saved /usr/sbin/policy-rc.d' EXIT
    else
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

# … nor should a server that came only for us start at the next boot.
stay_disabled() {
    local package
    command -v systemctl >/dev/null || return 0
    for package in "$@"; do
        case $package in
            nginx | haproxy) systemctl disable --quiet "$package.service" >/dev/null 2>&1 || true ;;
        esac
    done
}
