#pragma once

#include <memory>
#include <string>

#include "mgpu/config.hpp"
#include "mgpu/item.hpp"
#include "mgpu/load.hpp"
#include "mgpu/tensor.hpp"

namespace mgpu::worker {

/// Prepares pictures like ImageLoader (PixelForm::uint8_hwc), with JPEGs on the GPU: decoded by nvJPEG (by the hardware decoder
/// if the GPU has one that supports the file), oriented, resized and cropped there; only the finished row is copied back.
/// Pictures that nvJPEG cannot decode go through the ImageLoader and are counted by reason. Thread-safe: each calling thread has
/// its own stream, decoder state and buffers, and waits for its own stream only.
class GpuPictures {
 public:
  virtual ~GpuPictures() = default;
  /// As ImageLoader::load, with the same errors; `out` should be pinned.
  virtual Placement load(const Item& item, void* out) = 0;
  /// One line: the numbers of pictures by decoder, and the reasons against nvJPEG.
  virtual std::string summary() const = 0;
};

/// nullptr unless --decode is "nvjpeg" ("auto" is the same as "cpu"). `cpu` must outlive the result. The library is loaded here,
/// not with the program. Throws usage_error when nvJPEG is not available: a build without it, a rank without a GPU, a library
/// that cannot be loaded or initialised.
std::unique_ptr<GpuPictures> open_nvjpeg(const Config& config, torch::Device device, const ImageLoader& cpu,
                                         const LoadLimits& limits);

} // namespace mgpu::worker
