# mgpu_module(FOLDER [TORCH] [LINK module-or-target…]): the static library of every .cpp below src/FOLDER, seeing include/ and src/. Of
# folder agent/write it is mgpu_agent_write (mgpu::agent_write). Modules are linked by their folders, too. Mains (*_main.cpp) stay out;
# mgpu_main makes them.
function(mgpu_module folder)
  cmake_parse_arguments(MODULE "TORCH" "" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "_main\\.cpp$")
  mgpu_module_name(name ${folder})
  mgpu_library(${name} SOURCES ${sources} LINK ${MODULE_LINK})
  if(MODULE_TORCH)
    mgpu_use_torch(mgpu_${name})
    set_property(GLOBAL APPEND PROPERTY mgpu_torch_modules ${folder})
  else()
    mgpu_use_precompiled(mgpu_${name} mgpu_base_pch)
  endif()
endfunction()

# agent/write → agent_write
function(mgpu_module_name result folder)
  string(REPLACE / _ name ${folder})
  set(${result} ${name} PARENT_SCOPE)
endfunction()

# mgpu_main(NAME SOURCE [TORCH] [LINK module-or-target…]): a library that brings main(); a program is this, a list of jobs and the jobs.
function(mgpu_main name source)
  cmake_parse_arguments(MAIN "TORCH" "" "LINK" ${ARGN})
  mgpu_library(${name} SOURCES ${CMAKE_SOURCE_DIR}/src/${source} LINK ${MAIN_LINK})
  if(MAIN_TORCH)
    mgpu_use_torch(mgpu_${name})
  else()
    mgpu_use_precompiled(mgpu_${name} mgpu_base_pch)
  endif()
endfunction()

# mgpu_precompiled(NAME HEADERS header… LINK target…): one precompiled header for the targets that mgpu_use_precompiled gives it. It
# saves a fifth of the processor time of files without LibTorch.
function(mgpu_precompiled name)
  cmake_parse_arguments(PRECOMPILED "" "" "HEADERS;LINK" ${ARGN})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/${name}.cpp CONTENT "")
  add_library(${name} STATIC ${CMAKE_BINARY_DIR}/${name}.cpp)
  target_link_libraries(${name} PRIVATE ${PRECOMPILED_LINK} mgpu_flags)
  target_precompile_headers(${name} PRIVATE ${PRECOMPILED_HEADERS})
endfunction()

# Where there is no such header (builds with sanitizers), every file must include what it uses.
function(mgpu_use_precompiled target header)
  get_target_property(type ${target} TYPE)
  if(NOT TARGET ${header} OR type STREQUAL INTERFACE_LIBRARY)
    return()
  endif()
  target_precompile_headers(${target} REUSE_FROM ${header})
  target_link_libraries(${target} PRIVATE mgpu_flags)
  if(type STREQUAL EXECUTABLE)
    # Programs compile with -fPIE by default, which GCC takes for another kind of code than the precompiled header's -fPIC.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
endfunction()

function(mgpu_library name)
  cmake_parse_arguments(LIBRARY "" "" "SOURCES;LINK" ${ARGN})
  set(target mgpu_${name})
  if(LIBRARY_SOURCES)
    add_library(${target} STATIC ${LIBRARY_SOURCES})
    target_link_libraries(${target} PRIVATE mgpu_flags)
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(mgpu::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(${target} ${scope}
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>)
  # A folder is a module; anything else is a target already.
  list(TRANSFORM LIBRARY_LINK REPLACE "^(common|agent|worker)/(.*)$" "mgpu_\\1_\\2")
  target_link_libraries(${target} ${scope} ${LIBRARY_LINK})
  set_property(GLOBAL APPEND PROPERTY mgpu_libraries ${target})
endfunction()

# LibTorch for a target.
function(mgpu_use_torch target)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL INTERFACE_LIBRARY)
    target_link_libraries(${target} INTERFACE mgpu_torch)
    return()
  endif()
  target_link_libraries(${target} PUBLIC mgpu_torch)
endfunction()

# Compiling a test costs more than running it: without the later passes of the optimizer it costs a third less.
function(mgpu_use_test_flags target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
endfunction()

# mgpu_test(FOLDER [TIMEOUT seconds] [LINK target…]): one program of every tests/FOLDER/*_test.cpp (agent/write: agent_write_test), one CTest
# entry FOLDER with a limit.
function(mgpu_test folder)
  cmake_parse_arguments(TEST "" "TIMEOUT" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  mgpu_module_name(name ${folder})
  add_executable(${name}_test ${sources})
  target_link_libraries(${name}_test PRIVATE mgpu::${name} ${TEST_LINK} GTest::gmock GTest::gtest_main mgpu_flags)
  target_include_directories(${name}_test PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  mgpu_use_test_flags(${name}_test)
  get_property(torch_modules GLOBAL PROPERTY mgpu_torch_modules)
  if(folder IN_LIST torch_modules)
    mgpu_use_torch(${name}_test)
  else()
    mgpu_use_precompiled(${name}_test mgpu_test_pch)
  endif()
  add_test(NAME ${folder} COMMAND ${name}_test)
  set_tests_properties(${folder} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS unit)
endfunction()

# mgpu_mpi_test(NAME PROGRAM RANKS n… [ARGS …] [MPI_ARGS …] [TIMEOUT seconds]): PROGRAM under mpirun, one CTest entry a number of ranks.
# mpirun ends a hang itself, before CTest would, so that no rank is left behind.
function(mgpu_mpi_test name program)
  cmake_parse_arguments(TEST "" "TIMEOUT" "RANKS;ARGS;MPI_ARGS" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 60)
  endif()
  math(EXPR limit "${TEST_TIMEOUT} + 20")
  foreach(ranks ${TEST_RANKS})
    add_test(NAME ${name}_${ranks} COMMAND ${MPIEXEC_EXECUTABLE} ${TEST_MPI_ARGS} --oversubscribe --timeout ${TEST_TIMEOUT} -np ${ranks} ${program} ${TEST_ARGS})
    set_tests_properties(${name}_${ranks} PROPERTIES TIMEOUT ${limit} LABELS mpi PROCESSORS 2
      ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
  endforeach()
endfunction()
