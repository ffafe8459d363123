# Warnings are errors, for our own targets only: sluice_warnings(TARGET). Without -Wrestrict, which g++ 12
# gives for correct uses of std::string (GCC bug 105651).
function(sluice_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Werror -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Wcast-align
    -Woverloaded-virtual -Wold-style-cast -Wimplicit-fallthrough -Wno-restrict)
endfunction()
