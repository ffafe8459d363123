#!/usr/bin/env bash
# tidy.sh BUILD_DIR: clang-tidy 19 over every C++ source of agent/ and over the BPF programs.
#
# A source that was clean is not looked at again until it, a header, or .clang-tidy changes: a stamp in
# BUILD_DIR/tidy remembers.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
need clang-tidy-19
need git

build=${1:?usage: tidy.sh BUILD_DIR}
stamps=$build/tidy
mkdir -p "$stamps"
[ -f "$build/compile_commands.json" ] || { echo "no $build/compile_commands.json" >&2; exit 1; }

common=$( (cat .clang-tidy; clang-tidy-19 --version; sources '*.h' | xargs cat) | sha256sum)
export build stamps common

tidy() {
    local file=$1 stamp output
    local flags=(--extra-arg=-w) # the compiler's own warnings are the build's business
    stamp=$stamps/$( (echo "$common $file"; cat "$file") | sha256sum | cut -c1-32)
    [ ! -e "$stamp" ] || return 0
    case $file in
        *.bpf.c) # has no entry in compile_commands.json: CMake runs clang for it by a command of its own
            flags=(-- -target bpf -std=gnu11 -Iinclude -idirafter "/usr/include/$(gcc -print-multiarch)") ;;
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

mapfile -t files < <(sources 'agent/*.cpp' 'bpf/*.c' 'bench/*.c')
[ ${#files[@]} -gt 0 ]
# 255 would make xargs stop at the first; any other status lets it go on, and then it says 123.
# shellcheck disable=SC2016  # for the inner bash
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy "$1"' tidy
echo "${#files[@]} files"
