# Writes IN to OUT with FROM replaced by TO; a FROM that is not there is an error, so that mutants do not
# quietly become the original.
file(READ "${IN}" text)
string(REPLACE "\\n" "\n" FROM "${FROM}")
string(REPLACE "\\n" "\n" TO "${TO}")
string(REPLACE "${FROM}" "${TO}" mutated "${text}")
if(mutated STREQUAL text)
  message(FATAL_ERROR "the mutant's text is not in ${IN}: ${FROM}")
endif()
file(WRITE "${OUT}" "${mutated}")
