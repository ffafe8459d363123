# shellcheck shell=bash
# The files that the linters look at: those of the tree as it is, committed or not, without what is ignored.

# sources PATTERN…: tracked and new files whose path matches one of git's pathspecs.
# safe.directory: root may test a tree that somebody else has cloned.
sources() {
    git -c safe.directory="$PWD" ls-files --cached --others --exclude-standard -- "$@" | sort -u |
        while read -r file; do
            [ ! -f "$file" ] || printf '%s\n' "$file"
        done
}

need() {
    command -v "$1" >/dev/null && return
    echo "$1 is missing (scripts/setup lint)" >&2
    exit 1
}
