# bpf_object(OUT SOURCE [DEFINES...]): compiles SOURCE for the BPF target, with a depfile, and sets OUT
# to the object's path.   bpf_skeleton(TARGET NAME SOURCE): embeds NAME as a bpftool skeleton header
# NAME.skel.h in the include path of the INTERFACE library TARGET.
#
# -mcpu=v3 needs Linux 5.1; the floor is 5.10. uapi headers are enough: no vmlinux.h, no CO-RE.
find_program(BPF_CLANG NAMES clang clang-19 clang-14 REQUIRED)
find_program(BPFTOOL bpftool PATHS /usr/sbin /sbin REQUIRED)
find_program(LLVM_STRIP NAMES llvm-strip llvm-strip-19 llvm-strip-14 REQUIRED)

# <asm/types.h> lives in the multiarch directory, which -target bpf does not search.
set(BPF_FLAGS -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Werror
    -I${CMAKE_SOURCE_DIR}/include -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE})

function(bpf_object name source)
  get_filename_component(source "${source}" ABSOLUTE)
  set(object "${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o")
  add_custom_command(
    OUTPUT "${object}"
    COMMAND ${BPF_CLANG} ${BPF_FLAGS} ${ARGN} -MD -MF "${object}.d" -MT "${object}" -c "${source}" -o "${object}"
    COMMAND ${LLVM_STRIP} -g "${object}"
    DEPENDS "${source}"
    DEPFILE "${object}.d"
    COMMENT "BPF ${name}"
    VERBATIM)
  set(BPF_OBJECT "${object}" PARENT_SCOPE)
endfunction()

function(bpf_skeleton target name source)
  bpf_object(${name} ${source} ${ARGN})
  set(header "${CMAKE_CURRENT_BINARY_DIR}/include/${name}.skel.h")
  add_custom_command(
    OUTPUT "${header}"
    COMMAND ${CMAKE_COMMAND} -E make_directory "${CMAKE_CURRENT_BINARY_DIR}/include"
    # The skeleton names the types of data sections without declaring them.
    COMMAND sh -c "{ echo '#include \"sluice/abi.h\"' && \"$1\" gen skeleton \"$2\" name \"$3\"; } > \"$4\"" skeleton
            "${BPFTOOL}" "${BPF_OBJECT}" "${name}" "${header}"
    DEPENDS "${BPF_OBJECT}"
    COMMENT "skeleton ${name}"
    VERBATIM)
  add_custom_target(${target}_header DEPENDS "${header}")
  if(NOT TARGET ${target})
    add_library(${target} INTERFACE)
    # SYSTEM: generated code is not ours to warn about.
    target_include_directories(${target} SYSTEM INTERFACE "${CMAKE_CURRENT_BINARY_DIR}/include")
  endif()
  add_dependencies(${target} ${target}_header)
endfunction()
