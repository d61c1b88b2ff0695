# The optimizer tests compare with torch.optim: a Python script writes what it makes of known gradients.
set(collective_references ${CMAKE_BINARY_DIR}/tests/worker/collective/references)
add_test(NAME collective_references COMMAND ${MGPU_PYTHON} ${CMAKE_SOURCE_DIR}/tests/worker/collective/make_references.py ${collective_references})
set_tests_properties(collective_references PROPERTIES FIXTURES_SETUP collective_references TIMEOUT 120 LABELS unit)
set_tests_properties(worker/collective PROPERTIES FIXTURES_REQUIRED collective_references)
target_compile_definitions(worker_collective_test PRIVATE MGPU_COLLECTIVE_REFERENCES="${collective_references}")
