# Suites of whole runs, and how many of them run at the same time: one that computes for every two processors, and beside it one that mostly
# waits for every processor. CTest starts a test as soon as enough places are free, so that by their weights alone the light suites
# would all come first; therefore each suite takes one of the locks of its kind.
cmake_host_system_information(RESULT processors QUERY NUMBER_OF_LOGICAL_CORES)
set(mgpu_waiting_locks ${processors})
math(EXPR mgpu_computing_locks "(${processors} + 1) / 2")

# mgpu_suite(NAME waiting|computing TIMEOUT seconds LABEL label FILES file.py… [ENVIRONMENT NAME=value…])
function(mgpu_suite name kind)
  cmake_parse_arguments(SUITE "" "TIMEOUT;LABEL" "FILES;COMMAND;ENVIRONMENT" ${ARGN})
  if(NOT SUITE_COMMAND)
    list(TRANSFORM SUITE_FILES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    set(SUITE_COMMAND ${MGPU_PYTHON} -m pytest -q -x --durations=5 -p no:cacheprovider ${SUITE_FILES})
  endif()
  cmake_path(GET MPIEXEC_EXECUTABLE PARENT_PATH mpi_folder)
  get_property(count GLOBAL PROPERTY mgpu_${kind}_suites)
  math(EXPR count "0${count} + 1")
  set_property(GLOBAL PROPERTY mgpu_${kind}_suites ${count})
  math(EXPR lock "${count} % ${mgpu_${kind}_locks}")
  set(weight 1)
  if(kind STREQUAL computing)
    set(weight 2)
  endif()
  add_test(NAME ${name} COMMAND ${SUITE_COMMAND})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${SUITE_TIMEOUT} LABELS ${SUITE_LABEL} PROCESSORS ${weight} RESOURCE_LOCK ${kind}_${lock}
    ENVIRONMENT "MGPU_BIN=$<TARGET_FILE_DIR:mgpu_run>;MGPU_FAKE_WORKER=$<TARGET_FILE:fake_worker>;PATH=${mpi_folder}:$ENV{PATH};${SUITE_ENVIRONMENT}")
endfunction()
