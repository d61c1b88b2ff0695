# The tests of detect compare with torchvision's choice among random boxes, which the script of worker/load has written.
set_tests_properties(worker/detect PROPERTIES FIXTURES_REQUIRED load_references)
target_compile_definitions(worker_detect_test PRIVATE MGPU_REFERENCES="${load_references}")
