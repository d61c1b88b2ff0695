# MGPU_ENV names a Python environment that holds LibTorch, Open MPI, NCCL and perhaps the CUDA compiler (`./dev setup` makes
# one at .venv). Empty: MPI, LibTorch, CUDA and NCCL are the user's own, found the usual way (CMAKE_PREFIX_PATH, PATH).
set(MGPU_ENV "" CACHE PATH "Python environment with LibTorch, Open MPI and NCCL; empty: the system's")

if(MGPU_ENV)
  # The real path, the same for every clone that shares the environment: ccache then hits across clones.
  file(REAL_PATH ${MGPU_ENV} env)
  file(GLOB packages ${env}/lib/python3.*/site-packages)
  if(NOT packages)
    message(FATAL_ERROR "No Python environment at ${MGPU_ENV}: run ./dev setup, or configure with --preset default to use your own MPI and LibTorch")
  endif()
  set(MGPU_PYTHON ${env}/bin/python)
  set(MPI_HOME ${env})
  set(Torch_DIR ${packages}/torch/share/cmake/Torch)
  list(APPEND CMAKE_PREFIX_PATH ${packages}/nvidia/nccl)
  if(EXISTS ${packages}/nvidia/cu13/bin/nvcc)
    set(CMAKE_CUDA_COMPILER ${packages}/nvidia/cu13/bin/nvcc)
  endif()
  if(NOT DEFINED TORCH_CUDA_ARCH_LIST AND NOT DEFINED ENV{TORCH_CUDA_ARCH_LIST})
    set(TORCH_CUDA_ARCH_LIST 9.0)
  endif()
else()
  find_program(MGPU_PYTHON NAMES python3 python)
endif()

# The toolkit, in the order its users expect: CUDA_HOME, /usr/local/cuda, nvcc in PATH.
if(MGPU_WORKER AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(MGPU_NVCC nvcc PATHS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin NO_DEFAULT_PATH)
  find_program(MGPU_NVCC nvcc)
  if(MGPU_NVCC)
    set(CMAKE_CUDA_COMPILER ${MGPU_NVCC})
  endif()
endif()
