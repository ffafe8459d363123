# Warnings are errors, for our own targets only: sluice_warnings(TARGET). Without -Wrestrict, which g++ 12
# gives for correct uses of std::string (GCC bug 105651); clang finds its std::stable_sort
# deprecated, and fields missing in what libbpf's DECLARE_LIBBPF_OPTS makes.
function(sluice_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Werror -Wshadow -Wconversion -Wsign-conversion $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>
    -Wcast-align $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual> $<$<COMPILE_LANGUAGE:CXX>:-Wold-style-cast>
    -Wimplicit-fallthrough $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
    $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>
    $<$<CXX_COMPILER_ID:Clang>:-Wno-missing-designated-field-initializers>)
endfunction()
