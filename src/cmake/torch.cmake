# mgpu_torch: LibTorch for the modules of the worker. mgpu_nccl: NCCL, where there is one (the wheel's or the system's).

# LibTorch's configuration asks for the CUDA language itself, but only after it has needed the toolkit's folder.
set(CMAKE_CUDA_STANDARD 17)
if(CMAKE_CUDA_COMPILER)
  file(REAL_PATH ${CMAKE_CUDA_COMPILER} nvcc)
  get_filename_component(CUDA_TOOLKIT_ROOT_DIR ${nvcc}/../.. ABSOLUTE)
  set(CUDAToolkit_ROOT ${CUDA_TOOLKIT_ROOT_DIR})
endif()
set(Python_EXECUTABLE ${MGPU_PYTHON})

# CMake 3.25's FindCUDAToolkit deprecates CUDA::nvToolsExt for projects that require 3.25, and fails where CUDA (13) has none.
set(minimum_required ${CMAKE_MINIMUM_REQUIRED_VERSION})
set(CMAKE_MINIMUM_REQUIRED_VERSION 3.24)

# A LibTorch without CUDA needs no toolkit.
find_path(MGPU_TORCH_CUDA_LIB libtorch_cuda.so HINTS ${Torch_DIR}/../../../lib PATH_SUFFIXES lib)
if(MGPU_TORCH_CUDA_LIB)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
endif()

# Its hints on missing optional parts (NVTX, kineto, cuDNN headers) are not about this build; errors still show.
set(CMAKE_MESSAGE_LOG_LEVEL ERROR)
set(CMAKE_SUPPRESS_DEVELOPER_WARNINGS ON)
find_package(Torch REQUIRED QUIET)
unset(CMAKE_SUPPRESS_DEVELOPER_WARNINGS)
unset(CMAKE_MESSAGE_LOG_LEVEL)
set(CMAKE_MINIMUM_REQUIRED_VERSION ${minimum_required})

# LibTorch ships a copy of fmt's headers without its library; ours must win, or declarations and library differ in version.
get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
list(GET fmt_include 0 fmt_include)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fmt_first)
file(CREATE_LINK ${fmt_include}/fmt ${CMAKE_BINARY_DIR}/fmt_first/fmt SYMBOLIC)

add_library(mgpu_torch INTERFACE IMPORTED GLOBAL)
set_target_properties(mgpu_torch PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES ${CMAKE_BINARY_DIR}/fmt_first
  # The wheel's libtorch.so exports a std::filesystem of its own, some of whose functions crash: the compiler's must be found first.
  INTERFACE_LINK_LIBRARIES "stdc++;${TORCH_LIBRARIES}")
if(MGPU_TORCH_CUDA_LIB)
  set_property(TARGET mgpu_torch APPEND PROPERTY INTERFACE_COMPILE_DEFINITIONS MGPU_HAS_CUDA)
endif()

# nvJPEG's header, and where its library is. It is not linked: a worker loads it when --decode nvjpeg asks for it.
if(MGPU_TORCH_CUDA_LIB)
  find_path(NVJPEG_INCLUDE_DIR nvjpeg.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${packages}/nvidia/cu13/include)
  find_library(NVJPEG_LIBRARY NAMES nvjpeg libnvjpeg.so.13 HINTS ${CUDAToolkit_LIBRARY_DIR} ${packages}/nvidia/cu13/lib)
endif()

# mgpu_use_nvjpeg(FILE…): for files of the calling CMakeLists.txt that see nvjpeg.h where there is one, told by MGPU_HAS_NVJPEG.
function(mgpu_use_nvjpeg)
  if(NVJPEG_INCLUDE_DIR AND NVJPEG_LIBRARY)
    set_source_files_properties(${ARGN} PROPERTIES INCLUDE_DIRECTORIES ${NVJPEG_INCLUDE_DIR}
      COMPILE_DEFINITIONS "MGPU_HAS_NVJPEG;MGPU_NVJPEG_LIBRARY=\"${NVJPEG_LIBRARY}\"")
  endif()
endfunction()

find_path(NCCL_INCLUDE_DIR nccl.h)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2)
if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
  add_library(mgpu_nccl SHARED IMPORTED GLOBAL)
  set_target_properties(mgpu_nccl PROPERTIES IMPORTED_LOCATION ${NCCL_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${NCCL_INCLUDE_DIR})
  if(MGPU_TORCH_CUDA_LIB)
    set_property(TARGET mgpu_nccl PROPERTY INTERFACE_COMPILE_DEFINITIONS MGPU_HAS_NCCL)
  endif()
endif()
message(STATUS "LibTorch ${Torch_VERSION} (${Torch_DIR}), CUDA ${CUDAToolkit_VERSION}, NCCL ${NCCL_LIBRARY}, nvJPEG ${NVJPEG_LIBRARY}")
