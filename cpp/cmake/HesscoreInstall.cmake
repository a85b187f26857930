# What is installed: the library, its headers and the CMake package - under the usual folders by
# `cmake --install`, and inside the Python package in a wheel.
include(CMakePackageConfigHelpers)

set(_soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
if(SKBUILD)  # a wheel has no links: the file has the name that the loader looks for
  set(_component python)
  set(_lib hesscore)
  set(_include hesscore/include)
  set(_cmake hesscore/lib/cmake/hesscore)
  set(_version ${_soversion})
  set(_namelink NAMELINK_SKIP)
else()
  set(_component cpp)
  set(_lib ${CMAKE_INSTALL_LIBDIR})
  set(_include ${CMAKE_INSTALL_INCLUDEDIR})
  set(_cmake ${CMAKE_INSTALL_LIBDIR}/cmake/hesscore)
  set(_version ${PROJECT_VERSION})
endif()

target_include_directories(hesscore INTERFACE $<INSTALL_INTERFACE:${_include}>)
set_target_properties(hesscore PROPERTIES
  VERSION ${_version} SOVERSION ${_soversion} INSTALL_RPATH "${HESSCORE_LAPACK_RPATH}")

install(TARGETS hesscore EXPORT hesscoreTargets
        LIBRARY DESTINATION ${_lib} COMPONENT ${_component} ${_namelink})
if(TARGET hesscore_cuda)
  set_target_properties(hesscore_cuda PROPERTIES INSTALL_RPATH "${HESSCORE_CUDA_RPATH}")
  install(TARGETS hesscore_cuda LIBRARY DESTINATION ${_lib} COMPONENT ${_component})
endif()
install(DIRECTORY cpp/include/hesscore DESTINATION ${_include} COMPONENT ${_component})
install(EXPORT hesscoreTargets NAMESPACE hesscore:: DESTINATION ${_cmake} COMPONENT ${_component})

configure_package_config_file(cpp/cmake/hesscoreConfig.cmake.in hesscoreConfig.cmake
                              INSTALL_DESTINATION ${_cmake})
write_basic_package_version_file(hesscoreConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/hesscoreConfig.cmake
              ${PROJECT_BINARY_DIR}/hesscoreConfigVersion.cmake
        DESTINATION ${_cmake} COMPONENT ${_component})
