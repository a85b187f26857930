# The engine: object libraries, one of them for each instruction set, joined in libhesscore.so.
file(GLOB _base CONFIGURE_DEPENDS
  cpp/core/*.cpp cpp/backend/*.cpp cpp/cpu/*.cpp cpp/ops/*.cpp cpp/graph/*.cpp cpp/plan/*.cpp
  cpp/objective/*.cpp cpp/curvature/*.cpp cpp/solve/*.cpp cpp/optim/*.cpp)
file(GLOB _isa CONFIGURE_DEPENDS cpp/cpu/isa/*.cpp)

# A plugin that was built against other headers is turned away by this number.
file(GLOB _keys RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS cpp/backend/keys/*.hpp)
set(_seam ${_keys}
  cpp/include/hesscore/core.hpp cpp/include/hesscore/device.hpp cpp/backend/plugin.hpp
  cpp/backend/kernel_table.hpp cpp/backend/kernels.hpp cpp/math/activations.hpp cpp/math/loss_spec.hpp
  cpp/math/conv_geometry.hpp cpp/math/norm_geometry.hpp
  cpp/math/windows.hpp cpp/math/broadcast.hpp
  cpp/math/update_spec.hpp cpp/math/cg_state.hpp cpp/math/krylov_steps.hpp
  cpp/math/krylov_progress.hpp cpp/math/lanczos_state.hpp cpp/math/cg_row_state.hpp
  cpp/math/minres_state.hpp cpp/math/lsmr_state.hpp)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${_seam})
foreach(_header IN LISTS _seam)
  file(SHA256 ${PROJECT_SOURCE_DIR}/${_header} _digest)
  string(APPEND _digests ${_digest})
endforeach()
string(SHA256 HESSCORE_PLUGIN_ABI "${PROJECT_VERSION} ${_digests}")
string(SUBSTRING ${HESSCORE_PLUGIN_ABI} 0 8 HESSCORE_PLUGIN_ABI)
configure_file(cpp/cmake/plugin_abi.hpp.in generated/backend/plugin_abi.hpp @ONLY)

add_library(hesscore_headers INTERFACE)
target_compile_features(hesscore_headers INTERFACE cxx_std_20)
target_include_directories(hesscore_headers INTERFACE
  ${PROJECT_SOURCE_DIR}/cpp/include ${PROJECT_SOURCE_DIR}/cpp ${PROJECT_BINARY_DIR}/generated)

find_package(Threads REQUIRED)
add_library(hesscore_base OBJECT ${_base})
target_link_libraries(hesscore_base PRIVATE hesscore_headers hesscore_flags hesscore_lapack)
set(_objects $<TARGET_OBJECTS:hesscore_base>)

# The same files once for each instruction set, in a namespace named by HC_ISA; the CPU device picks
# one when it starts. Portable comes first and the widest last: of an inline function that several
# of them define, the linker keeps the first copy, which every processor can run.
function(hesscore_add_isa name)
  add_library(hesscore_${name} OBJECT ${_isa})
  target_compile_definitions(hesscore_${name} PRIVATE HC_ISA=${name})
  target_compile_options(hesscore_${name} PRIVATE ${ARGN})
  target_link_libraries(hesscore_${name} PRIVATE hesscore_headers hesscore_flags)
  set(_objects ${_objects} $<TARGET_OBJECTS:hesscore_${name}> PARENT_SCOPE)
endfunction()
if(_isa)
  hesscore_add_isa(portable)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    hesscore_add_isa(avx2 -march=x86-64-v3)
    hesscore_add_isa(avx512 -march=x86-64-v4 -mprefer-vector-width=512)
    target_compile_definitions(hesscore_base PRIVATE HC_HAVE_X86_ISA)
  endif()
endif()

# For tests and benches, which reach the internals that libhesscore.so hides.
add_library(hesscore_objects INTERFACE)
target_sources(hesscore_objects INTERFACE ${_objects})
target_link_libraries(hesscore_objects INTERFACE
  hesscore_headers hesscore_flags hesscore_lapack Threads::Threads ${CMAKE_DL_LIBS})

add_library(hesscore SHARED ${_objects})
add_library(hesscore::hesscore ALIAS hesscore)
target_compile_features(hesscore PUBLIC cxx_std_20)
target_include_directories(hesscore INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/cpp/include>)
target_link_libraries(hesscore PRIVATE
  $<BUILD_INTERFACE:hesscore_flags> $<BUILD_INTERFACE:hesscore_lapack> Threads::Threads
  ${CMAKE_DL_LIBS})
set_target_properties(hesscore PROPERTIES LINKER_LANGUAGE CXX)
