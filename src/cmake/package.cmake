# cmake --install, and find_package(mgpu) from the installation: a job built elsewhere gets mgpu_add_job and mgpu_add_program.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/mgpu)

get_property(libraries GLOBAL PROPERTY mgpu_libraries)
foreach(library mgpu_agent_program mgpu_worker_program)
  if(TARGET ${library}) # the generated job lists include one header of ours
    target_include_directories(${library} PUBLIC $<INSTALL_INTERFACE:${package_folder}/program>)
  endif()
endforeach()
install(TARGETS mgpu_api mgpu_flags ${libraries} EXPORT mgpu)
install(EXPORT mgpu FILE mgpuTargets.cmake NAMESPACE mgpu:: DESTINATION ${package_folder})
foreach(program mgpu_run mgpu_worker)
  if(TARGET ${program})
    install(TARGETS ${program})
  endif()
endforeach()
install(DIRECTORY include/mgpu DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES src/agent/cli/job_list.hpp DESTINATION ${package_folder}/program/agent/cli)
install(FILES src/worker/main/job_list.hpp DESTINATION ${package_folder}/program/worker/main)

configure_package_config_file(src/cmake/mgpuConfig.cmake.in ${CMAKE_BINARY_DIR}/mgpuConfig.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/mgpuConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${CMAKE_BINARY_DIR}/mgpuConfig.cmake ${CMAKE_BINARY_DIR}/mgpuConfigVersion.cmake
  src/cmake/environment.cmake src/cmake/dependencies.cmake src/cmake/torch.cmake src/cmake/modules.cmake src/cmake/programs.cmake
  DESTINATION ${package_folder})
