# The tests of detect compare with torchvision: a Python script writes random boxes and what it keeps of them.
set(detect_references ${CMAKE_BINARY_DIR}/tests/worker/detect/references)
add_test(NAME detect_references COMMAND ${MGPU_PYTHON} ${CMAKE_SOURCE_DIR}/tests/worker/detect/make_references.py ${detect_references})
set_tests_properties(detect_references PROPERTIES FIXTURES_SETUP detect_references TIMEOUT 120 LABELS unit)
set_tests_properties(worker/detect PROPERTIES FIXTURES_REQUIRED detect_references)
target_compile_definitions(worker_detect_test PRIVATE MGPU_REFERENCES="${detect_references}")
