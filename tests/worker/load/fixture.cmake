# The load tests compare with Pillow, torchvision, soundfile, torchaudio and faster-whisper: a Python script writes inputs and references.
set(load_references ${CMAKE_BINARY_DIR}/tests/worker/load/references)
add_test(NAME load_references COMMAND ${MGPU_PYTHON} ${CMAKE_SOURCE_DIR}/tests/worker/load/make_references.py ${load_references})
set_tests_properties(load_references PROPERTIES FIXTURES_SETUP load_references TIMEOUT 300 LABELS unit)
set_tests_properties(worker/load PROPERTIES FIXTURES_REQUIRED load_references FIXTURES_SETUP load_written TIMEOUT 300)
# Pillow opens what encode_test.cpp has written.
add_test(NAME load_encoded COMMAND ${MGPU_PYTHON} ${CMAKE_SOURCE_DIR}/tests/worker/load/check_encoded.py ${load_references})
set_tests_properties(load_encoded PROPERTIES FIXTURES_REQUIRED load_written TIMEOUT 60 LABELS unit)
target_compile_definitions(worker_load_test PRIVATE MGPU_REFERENCES="${load_references}")
