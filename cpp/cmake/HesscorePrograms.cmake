# One program for each tests/test_*.cpp and bench/bench_*.cpp, linked with the engine's objects.
function(hesscore_add_program source)
  get_filename_component(_name ${source} NAME_WE)
  add_executable(${_name} ${source})
  target_link_libraries(${_name} PRIVATE hesscore_objects)
endfunction()

if(HESSCORE_TESTS)
  file(GLOB _tests CONFIGURE_DEPENDS tests/test_*.cpp)
  foreach(_test IN LISTS _tests)
    hesscore_add_program(${_test})
    get_filename_component(_name ${_test} NAME_WE)
    target_compile_options(${_name} PRIVATE -O1)  # of the test alone: it compiles in half the time
    add_test(NAME ${_name} COMMAND ${_name})
  endforeach()
  add_subdirectory(tests/plugins)
endif()

if(HESSCORE_BENCH)
  file(GLOB _benches CONFIGURE_DEPENDS bench/bench_*.cpp)
  foreach(_bench IN LISTS _benches)
    hesscore_add_program(${_bench})
  endforeach()
endif()
