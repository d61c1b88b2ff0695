# The tokenizer tests compare with Hugging Face's tokenizers: a Python script writes tokenizers, texts and what it makes of them.
set(text_references ${CMAKE_BINARY_DIR}/tests/worker/text/references)
add_test(NAME text_references COMMAND ${MGPU_PYTHON} ${CMAKE_SOURCE_DIR}/tests/worker/text/make_references.py ${text_references})
set_tests_properties(text_references PROPERTIES FIXTURES_SETUP text_references TIMEOUT 120 LABELS unit)
set_tests_properties(worker/text PROPERTIES FIXTURES_REQUIRED text_references)
target_compile_definitions(worker_text_test PRIVATE MGPU_REFERENCES="${text_references}")
