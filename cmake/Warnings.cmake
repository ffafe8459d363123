# Warnings are errors, for our own targets only: sluice_warnings(TARGET).
function(sluice_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Werror -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Wcast-align
    -Woverloaded-virtual -Wold-style-cast -Wnull-dereference -Wimplicit-fallthrough)
endfunction()
