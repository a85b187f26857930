# hesscore_lapack: scipy-openblas32 of the Python that builds, else whatever LAPACK there is, else the
# same library as SciPy carries it.
find_package(Python 3.10 COMPONENTS Interpreter)
if(Python_FOUND)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c
      "import scipy_openblas32 as s; print(s.get_lib_dir() + '/' + s.get_library(fullname=True))"
    OUTPUT_VARIABLE _openblas OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()

add_library(hesscore_lapack INTERFACE)
if(_openblas AND EXISTS "${_openblas}")
  message(STATUS "hesscore: LAPACK: ${_openblas}")
  target_link_libraries(hesscore_lapack INTERFACE "${_openblas}")
  target_compile_definitions(hesscore_lapack INTERFACE HESSCORE_SCIPY_OPENBLAS)
  # In a wheel the two packages are neighbours; an editable install lies outside site-packages.
  get_filename_component(_folder "${_openblas}" DIRECTORY)
  if(SKBUILD)
    set(HESSCORE_LAPACK_RPATH "$ORIGIN/../scipy_openblas32/lib")
  endif()
  if(NOT SKBUILD OR SKBUILD_STATE STREQUAL "editable")
    list(APPEND HESSCORE_LAPACK_RPATH "${_folder}")
  endif()
else()
  find_package(LAPACK)
  if(NOT LAPACK_FOUND AND Python_FOUND)
    execute_process(
      COMMAND ${Python_EXECUTABLE} -c
        "import pathlib, scipy; print(next((pathlib.Path(scipy.__file__).parents[1] / 'scipy.libs').glob('libscipy_openblas*.so')))"
      OUTPUT_VARIABLE _inside_scipy OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  if(LAPACK_FOUND)
    target_link_libraries(hesscore_lapack INTERFACE LAPACK::LAPACK)
  elseif(_inside_scipy)
    message(STATUS "hesscore: LAPACK: ${_inside_scipy}")
    target_link_libraries(hesscore_lapack INTERFACE "${_inside_scipy}")
    target_compile_definitions(hesscore_lapack INTERFACE HESSCORE_SCIPY_OPENBLAS)
  else()
    message(FATAL_ERROR "hesscore needs a LAPACK. Either `pip install scipy-openblas32` for the "
      "Python that CMake finds (${Python_EXECUTABLE}; choose another with -DPython_EXECUTABLE=...), "
      "or install one, for example with `apt install libopenblas-dev`.")
  endif()
endif()
