#pragma once

#include <memory>
#include <string>

#include "mgpu/config.hpp"
#include "mgpu/item.hpp"
#include "mgpu/load.hpp"
#include "mgpu/tensor.hpp"

namespace mgpu::worker {

/// Prepares pictures as ImageLoader does (PixelForm::uint8_hwc), JPEGs on the GPU: decoded by nvJPEG (by the hardware decoder where the
/// GPU has one that takes the file), oriented, resized and cropped there; only the finished row comes back. Pictures that nvJPEG is not
/// given or refuses go through the ImageLoader, and are counted by reason. Thread-safe: each calling thread has a stream, a decoder state
/// and buffers to itself and waits for its own stream only.
class GpuPictures {
 public:
  virtual ~GpuPictures() = default;
  /// As ImageLoader::load, with the same reasons; `out` should be pinned.
  virtual void load(const Item& item, void* out) = 0;
  /// One line: how many pictures who decoded, and why not nvJPEG.
  virtual std::string summary() const = 0;
};

/// nullptr unless --decode asks for nvJPEG: "nvjpeg" does, "cpu" does not, and "auto" is "cpu" as long as the GPU's way has not been
/// tried on a GPU. `cpu` must outlive the result. The library is loaded here, not with the program. Throws usage_error where it was asked
/// for and cannot be had: a build without it, a rank without a GPU, a library that cannot be loaded or refuses to start.
std::unique_ptr<GpuPictures> open_nvjpeg(const Config& config, torch::Device device, const ImageLoader& cpu,
                                         const LoadLimits& limits);

} // namespace mgpu::worker
