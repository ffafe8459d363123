#!/usr/bin/env bash
# Runs shellcheck over every shell script, found by its first line.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
need shellcheck
need git

mapfile -t scripts < <(sources '*' | while read -r file; do
    head -n 1 "$file" 2>/dev/null | tr -d '\0' | grep -Eq '^#!.*\b(ba|da)?sh$|^# shellcheck shell=' && echo "$file"
done)
[ ${#scripts[@]} -gt 0 ]
shellcheck -x "${scripts[@]}"
echo "${#scripts[@]} scripts"
