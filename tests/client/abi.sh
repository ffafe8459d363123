#!/usr/bin/env bash
# abi.sh LIBRARY SYMBOLS: what programs that are linked against libsluice depend on. A symbol that
# is missing or of another version breaks them; one that is new belongs in the list, and stays.
set -euo pipefail
library=$1 symbols=$2

diff -u "$symbols" <(nm -D --defined-only --with-symbol-versions "$library" |
    awk '$2 != "A" {print $3}' | LC_ALL=C sort) || {
    echo "the exported symbols are not those of $symbols" >&2
    exit 1
}

# What it allocates it could leak, and a child of a program with threads could hang in.
! nm -D --undefined-only "$library" | grep -Ew 'malloc|calloc|realloc|free|strdup' || { echo "it allocates" >&2; exit 1; }

dynamic=$(readelf -dW "$library")
grep -q 'SONAME.*\[libsluice\.so\.0\]' <<<"$dynamic" || { echo "another soname" >&2; exit 1; }
needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$dynamic")
[ "$needed" = libc.so.6 ] || { echo "needs more than libc: $needed" >&2; exit 1; }
echo "$(wc -l <"$symbols") symbols, soname libsluice.so.0, needs $needed"
