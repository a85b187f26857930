# Language, warnings, sanitizers and ccache: what every target shares.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(HESSCORE_CCACHE ccache)
mark_as_advanced(HESSCORE_CCACHE)
if(HESSCORE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${HESSCORE_CCACHE})
endif()

# Warnings left out: designated initialisers name only what they set, kernels are stored under one
# erased type, and -Wrestrict has false alarms in gcc 12 (its bug 105651).
# -fno-math-errno and -fno-trapping-math change no number; without them loops with branches or square
# roots do not become vector code.
add_library(hesscore_flags INTERFACE)
target_compile_options(hesscore_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:
  -Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers -Wno-cast-function-type
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<BOOL:${HESSCORE_WERROR}>:-Werror>
  -fno-math-errno -fno-trapping-math>)
if(HESSCORE_SANITIZE)
  target_compile_options(hesscore_flags INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(hesscore_flags INTERFACE -fsanitize=address,undefined)
endif()
