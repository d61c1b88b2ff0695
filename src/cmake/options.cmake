option(MGPU_TESTS "Build the tests" ON)
option(MGPU_WORKER "Build the worker (needs LibTorch); without it only the agent and the modules without LibTorch are built" ON)
option(MGPU_WERROR "A warning in our own code fails the build" OFF)
option(MGPU_FUZZ "Build the fuzzers instead of the tests (needs clang)" OFF)
set(MGPU_SANITIZE "" CACHE STRING "Sanitizers to build with: address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Assertions stay on: they cost nothing beside decoding and a model. -g1: backtraces with lines, small objects.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O3 -g1")
if(MGPU_SANITIZE)
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
endif()
if(MGPU_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link) # coverage of our code, so that the fuzzer sees where its bytes lead
endif()
# Programs run from the build tree and from an installation without LD_LIBRARY_PATH.
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

# ccache, set up so that a second clone in another folder hits, precompiled headers included: paths below the clone are
# made relative before they are hashed, and GCC writes into its output which precompiled header it used.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()

# Warnings and sanitizers, linked PRIVATE by every target of ours; nothing of it reaches an out-of-tree job but the sanitizer.
add_library(mgpu_flags INTERFACE)
add_library(mgpu::flags ALIAS mgpu_flags)
set_target_properties(mgpu_flags PROPERTIES EXPORT_NAME flags)
# -pthread: MPI's flags have it, and a precompiled header fits only files with the same macros.
target_compile_options(mgpu_flags INTERFACE -pthread -Wall -Wextra -Wpedantic -Wno-missing-field-initializers)
if(MGPU_WERROR)
  target_compile_options(mgpu_flags INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # Guesses of GCC's optimizer that are wrong inside inlined library code: std::string +, fmt, std::regex (GCC bugs 105329, 105562, 107852).
  target_compile_options(mgpu_flags INTERFACE -Wno-restrict -Wno-stringop-overflow)
  if(MGPU_WERROR)
    target_compile_options(mgpu_flags INTERFACE -Wno-error=array-bounds -Wno-error=maybe-uninitialized -Wno-error=stringop-overread
      -Wno-error=free-nonheap-object)
  endif()
endif()
if(CCACHE AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  target_compile_options(mgpu_flags INTERFACE -fpch-preprocess)
endif()
if(MGPU_SANITIZE)
  target_compile_options(mgpu_flags INTERFACE -fsanitize=${MGPU_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(mgpu_flags INTERFACE -fsanitize=${MGPU_SANITIZE})
endif()
