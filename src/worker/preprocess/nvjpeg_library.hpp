#pragma once
// nvJPEG's functions, loaded on first use: a worker that decodes on the CPU does not load the library, and a machine without it
// can still run the worker. Only for files compiled with MGPU_HAS_NVJPEG.
#include <nvjpeg.h>

namespace mgpu::worker {

/// The functions, named without the prefix "nvjpeg".
struct NvjpegLibrary {
  decltype(&::nvjpegCreateEx) create_ex = nullptr;
  decltype(&::nvjpegDestroy) destroy = nullptr;
  decltype(&::nvjpegJpegStateCreate) state_create = nullptr;
  decltype(&::nvjpegJpegStateDestroy) state_destroy = nullptr;
  decltype(&::nvjpegJpegStreamCreate) stream_create = nullptr;
  decltype(&::nvjpegJpegStreamDestroy) stream_destroy = nullptr;
  decltype(&::nvjpegJpegStreamParseHeader) parse_header = nullptr;
  decltype(&::nvjpegDecodeBatchedSupported) batched_supported = nullptr;
  decltype(&::nvjpegDecodeBatchedInitialize) batched_initialize = nullptr;
  decltype(&::nvjpegDecodeBatched) decode_batched = nullptr;
  decltype(&::nvjpegDecode) decode = nullptr;
};

/// Loads the library once per process, by its soname or from its path at build time. Throws usage_error with the loader's reason.
const NvjpegLibrary& nvjpeg_library();

/// "BAD_JPEG" and the like.
const char* nvjpeg_status_name(nvjpegStatus_t status);

} // namespace mgpu::worker
