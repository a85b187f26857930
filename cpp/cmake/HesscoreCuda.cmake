# The CUDA plugin, libhesscore_cuda.so: built when nvcc and the CUDA run-time are found, in an
# installed toolkit or among the nvidia-* packages of the Python that builds.
if(HESSCORE_CUDA STREQUAL "OFF")
  return()
endif()

# An nvcc on the PATH may be a script: the toolkit is where it says it is.
if(NOT CMAKE_CUDA_COMPILER)
  find_program(HESSCORE_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin)
  mark_as_advanced(HESSCORE_NVCC)
  if(HESSCORE_NVCC)
    execute_process(COMMAND ${HESSCORE_NVCC} --dryrun -x cu -E /dev/null
                    OUTPUT_QUIET ERROR_VARIABLE _dryrun)
    if(_dryrun MATCHES "TOP=([^\n]+)")
      file(REAL_PATH ${CMAKE_MATCH_1} _toolkit)
    endif()
  endif()
  if(Python_FOUND)
    execute_process(COMMAND ${Python_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cuda/stage_cuda.py
                            ${PROJECT_BINARY_DIR}/cuda-root ${_toolkit}
                    OUTPUT_VARIABLE _staged OUTPUT_STRIP_TRAILING_WHITESPACE)
  endif()
  if(_staged)
    set(ENV{CUDACXX} ${_staged}/bin/nvcc)
    set(CUDAToolkit_ROOT ${_staged} CACHE PATH "CUDA toolkit")
    if(HESSCORE_CUDA STREQUAL "ON")  # a compiler that does not work says why
      set(CMAKE_CUDA_COMPILER ${_staged}/bin/nvcc)
    else()
      include(CheckLanguage)
      check_language(CUDA)
    endif()
  endif()
endif()

if(CMAKE_CUDA_COMPILER)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)  # Ampere, Hopper, and what comes after them
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 90-virtual CACHE STRING "CUDA architectures")
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit 13.0)
endif()
# cuSOLVER is opened when it is first needed: of it, only the headers count here.
if(NOT CUDAToolkit_FOUND OR NOT TARGET CUDA::cublasLt OR NOT TARGET CUDA::cusolver)
  set(_wanted "CUDA 13 with cuBLAS and cuSOLVER")
  if(HESSCORE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "HESSCORE_CUDA=ON, but there is no ${_wanted}. Install a toolkit, or the "
      "packages: pip install 'cuda-toolkit[nvcc,cccl,cudart,cublas,cusolver,cusparse,nvjitlink]==13.0.3'")
  endif()
  message(STATUS "hesscore: CUDA plugin: not built, there is no ${_wanted}")
  return()
endif()
message(STATUS "hesscore: CUDA plugin: with CUDA ${CUDAToolkit_VERSION}")

if(HESSCORE_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${HESSCORE_CCACHE})
endif()

file(GLOB _sources CONFIGURE_DEPENDS cuda/*.cu cuda/*.cpp cuda/*/*.cu cuda/*/*.cpp)
add_library(hesscore_cuda MODULE ${_sources})
target_include_directories(hesscore_cuda PRIVATE cuda)
target_link_libraries(hesscore_cuda PRIVATE
  hesscore hesscore_headers hesscore_flags CUDA::cudart_static CUDA::cublasLt ${CMAKE_DL_LIBS})
target_compile_options(hesscore_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CUDA>:--compress-mode=size -Xcompiler=-Wall,-Wextra $<$<BOOL:${HESSCORE_WERROR}>:-Werror=all-warnings>>)
set_target_properties(hesscore_cuda PROPERTIES
  CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static
  CUDA_VISIBILITY_PRESET hidden BUILD_RPATH "${CUDAToolkit_LIBRARY_DIR}")

# In a wheel the libraries are neighbours; an editable install lies outside site-packages.
set(HESSCORE_CUDA_RPATH "$ORIGIN" "$ORIGIN/../nvidia/cu13/lib")
if(NOT SKBUILD OR SKBUILD_STATE STREQUAL "editable")
  list(APPEND HESSCORE_CUDA_RPATH "${CUDAToolkit_LIBRARY_DIR}")
endif()

if(HESSCORE_BENCH)  # run by bench/gpu_check.sh
  add_executable(gpu_probes bench/gpu/probes.cu)
  target_link_libraries(gpu_probes PRIVATE CUDA::cusolver)
  set_target_properties(gpu_probes PROPERTIES CUDA_STANDARD 20 CUDA_RUNTIME_LIBRARY Static
    BUILD_RPATH "${CUDAToolkit_LIBRARY_DIR}")
endif()
