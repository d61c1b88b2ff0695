# The train tests compare with torch.nn.functional and a plain Python edit distance: a Python script writes inputs and references.
set(train_references ${CMAKE_BINARY_DIR}/tests/worker/train/references)
add_test(NAME train_references COMMAND ${MGPU_PYTHON} ${CMAKE_SOURCE_DIR}/tests/worker/train/make_references.py ${train_references})
set_tests_properties(train_references PROPERTIES FIXTURES_SETUP train_references TIMEOUT 120 LABELS unit)
set_property(TEST worker/train APPEND PROPERTY FIXTURES_REQUIRED train_references)
target_compile_definitions(worker_train_test PRIVATE MGPU_REFERENCES="${train_references}")
