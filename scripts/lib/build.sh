# shellcheck shell=bash
# Configuring and building one preset. Output is shown only when something goes wrong.

# build_preset PRESET [TARGET…]: all targets when none is named. Sets BUILD_DIR.
build_preset() {
    local preset=$1
    shift
    BUILD_DIR=$SLUICE_ROOT/build/$preset
    mkdir -p "$BUILD_DIR"
    (
        cd "$SLUICE_ROOT" || exit
        quietly "$BUILD_DIR/configure.log" cmake --preset "$preset"
        quietly "$BUILD_DIR/build.log" \
            cmake --build --preset "$preset" --parallel "$(cores)" ${1:+--target "$@"}
    )
}

quietly() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 && return
    tail -n 60 "$log" >&2
    say "failed: $*   (all of it: $log)"
    return 1
}
