#!/usr/bin/env bash
# tidy.sh BUILD_DIR: clang-tidy 19 over every source of agent/, the BPF programs and the examples.
#
# A source that was clean is not looked at again until it, a header of ours that it includes, or .clang-tidy
# changes: a stamp in the user's cache remembers, for every clone.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
need clang-tidy-19
need git

build=${1:?usage: tidy.sh BUILD_DIR}
stamps=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sluice-tidy
mkdir -p "$stamps"
find "$stamps" -type f -mtime +30 -delete
[ -f "$build/compile_commands.json" ] || { echo "no $build/compile_commands.json" >&2; exit 1; }

# "SOURCE HEADER", one line for each header of ours that the build found the source to include.
includes=$(mktemp)
trap 'rm -f "$includes"' EXIT
ninja -C "$build" -t deps | awk -v root="$PWD/" '
    /^[^ ]/ { source = ""; next }
    NF == 1 {
        sub(/^(\.\.\/)+/, "", $1); sub(root, "", $1)
        if (source == "") source = $1
        else if ($1 !~ /^\//) print source, $1
    }' | sort -u >"$includes"
common=$( (cat .clang-tidy; clang-tidy-19 --version) | sha256sum)
all_headers=$(sources '*.h' | sort | tr '\n' ' ')
export build stamps common includes all_headers

# What the verdict on a source depends on; all headers where the build does not say.
dependencies() {
    local found
    found=$(awk -v source="$1" '$1 == source { print $2 }' "$includes")
    printf '%s\n' "$1" "${found:-$all_headers}" | tr ' ' '\n' | while read -r file; do
        [ ! -f "$file" ] || cat "$file"
    done
}
export -f dependencies

tidy() {
    local file=$1 stamp output
    local flags=(--extra-arg=-w) # the compiler's own warnings are the build's business
    stamp=$stamps/$( (echo "$common $file"; dependencies "$file") | sha256sum | cut -c1-32)
    [ ! -e "$stamp" ] || return 0
    case $file in
        *.bpf.c) # has no entry in compile_commands.json: CMake runs clang for it by a command of its own
            flags=(-- -target bpf -std=gnu11 -Iinclude -idirafter "/usr/include/$(gcc -print-multiarch)") ;;
        docs/examples/*) # are built by their readers
            flags=(-- -std=c11 -Iinclude) ;;
        *) flags+=(-p "$build") ;;
    esac
    if output=$(clang-tidy-19 --quiet "$file" "${flags[@]}" 2>&1); then
        touch "$stamp"
    else
        printf '%s\n' "$output" | grep -v 'warnings generated\|^Suppressed' || true
        return 1
    fi
}
export -f tidy

mapfile -t files < <(sources 'agent/*.cpp' 'agent/*.c' 'bpf/*.c' 'bench/*.c' 'docs/examples/*.c')
[ ${#files[@]} -gt 0 ]
# 255 would make xargs stop at the first; any other status lets it go on, and then it says 123.
# shellcheck disable=SC2016  # for the inner bash
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy "$1"' tidy
echo "${#files[@]} files"
