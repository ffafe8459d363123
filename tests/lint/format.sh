#!/usr/bin/env bash
# Every C and C++ file is as clang-format 19 would write it. To repair: scripts/format
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
need clang-format-19
need git

mapfile -t files < <(sources '*.h' '*.c' '*.cpp')
[ ${#files[@]} -gt 0 ]
clang-format-19 --dry-run -Werror "${files[@]}"
echo "${#files[@]} files"
