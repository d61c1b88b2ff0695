#include "worker/preprocess/nvjpeg_decoder.hpp"

#include "mgpu/error.hpp"
#include "worker/device/torch.hpp"

#ifdef MGPU_HAS_NVJPEG
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <fmt/format.h>

#include <map>
#include <mutex>
#include <vector>

#include "worker/device/reason.hpp"
#include "worker/load/file_bytes.hpp"
#include "worker/load/image/jpeg_facts.hpp"
#include "worker/preprocess/fit_picture.hpp"
#include "worker/preprocess/nvjpeg_library.hpp"
#endif

namespace mgpu::worker {

#ifdef MGPU_HAS_NVJPEG

namespace {

/// Interpolated chroma upsampling, as in libjpeg and Pillow.
constexpr unsigned handle_flags = NVJPEG_FLAGS_UPSAMPLING_WITH_INTERPOLATION;

/// The resources of one loader thread at a time. Threads may share nvJPEG's handles, but not its states.
struct Slot {
  explicit Slot(c10::cuda::CUDAStream its_stream) : stream(its_stream) {}
  /// Waits for the work on the stream.
  void wait() {
    done.record(stream);
    done.synchronize();
  }

  c10::cuda::CUDAStream stream;
  at::cuda::CUDAEvent done{cudaEventDisableTiming | cudaEventBlockingSync}; ///< a waiting thread sleeps
  std::vector<std::uint8_t> file;
  nvjpegJpegState_t hybrid = nullptr, hardware = nullptr;
  nvjpegJpegStream_t header = nullptr;
  bool hardware_ready = false; ///< initialised for batches of one; a failed picture undoes that
};

class NvjpegPictures final : public GpuPictures {
 public:
  NvjpegPictures(const ImageLoader& cpu, const LoadLimits& limits, torch::Device device);
  ~NvjpegPictures() override;
  NvjpegPictures(const NvjpegPictures&) = delete;
  NvjpegPictures& operator=(const NvjpegPictures&) = delete;

  Placement load(const Item& item, void* out) override;
  std::string summary() const override;

 private:
  std::unique_ptr<Slot> take();
  void give_back(std::unique_ptr<Slot> slot);
  void destroy(Slot& slot);
  bool hardware_takes(Slot& slot, std::span<const std::uint8_t> bytes);
  nvjpegStatus_t decode(Slot& slot, std::span<const std::uint8_t> bytes, nvjpegImage_t& image);
  std::string load_on_gpu(Slot& slot, std::span<const std::uint8_t> bytes, const load::JpegFacts& facts, const load::Fit& fit,
                          void* out);

  const ImageLoader& cpu_;
  LoadLimits limits_;
  torch::Device device_;
  const NvjpegLibrary& nvjpeg_;
  nvjpegHandle_t hybrid_ = nullptr, hardware_ = nullptr; ///< hardware: null if the GPU has no such decoder

  mutable std::mutex mutex_; ///< guards the members below
  std::vector<std::unique_ptr<Slot>> free_;
  std::uint64_t by_nvjpeg_ = 0, by_hardware_ = 0;
  std::map<std::string, std::uint64_t> by_cpu_; ///< by reason
};

NvjpegPictures::NvjpegPictures(const ImageLoader& cpu, const LoadLimits& limits, torch::Device device)
    : cpu_(cpu), limits_(limits), device_(device), nvjpeg_(nvjpeg_library()) {
  const c10::cuda::CUDAGuard guard(device_);
  const nvjpegStatus_t status = nvjpeg_.create_ex(NVJPEG_BACKEND_HYBRID, nullptr, nullptr, handle_flags, &hybrid_);
  if (status != NVJPEG_STATUS_SUCCESS)
    throw usage_error(fmt::format("--decode nvjpeg: nvJPEG does not start: {}", nvjpeg_status_name(status)));
  if (nvjpeg_.create_ex(NVJPEG_BACKEND_HARDWARE, nullptr, nullptr, handle_flags, &hardware_) != NVJPEG_STATUS_SUCCESS)
    hardware_ = nullptr; // most GPUs have no such decoder; see summary()
}

NvjpegPictures::~NvjpegPictures() {
  for (const auto& slot : free_) destroy(*slot);
  if (hardware_ != nullptr) nvjpeg_.destroy(hardware_);
  nvjpeg_.destroy(hybrid_);
}

Placement NvjpegPictures::load(const Item& item, void* out) {
  struct Lease {
    NvjpegPictures& pictures;
    std::unique_ptr<Slot> slot = pictures.take();
    ~Lease() { pictures.give_back(std::move(slot)); }
  } lease{*this};
  Slot& slot = *lease.slot;
  const auto bytes = load::contents_of(item, limits_.file_bytes, slot.file);
  const auto facts = load::jpeg_facts(bytes, limits_);
  std::string obstacle(load::nvjpeg_obstacle(facts));
  load::Fit fit;
  if (obstacle.empty()) {
    fit = fit_stored(cpu_.spec(), facts->width, facts->height, facts->orientation);
    obstacle = load_on_gpu(slot, bytes, *facts, fit, out);
  }
  {
    const std::lock_guard lock(mutex_);
    ++(obstacle.empty() ? by_nvjpeg_ : by_cpu_[obstacle]);
  }
  if (!obstacle.empty()) return cpu_.load(item, out); // reads the file again, from the page cache
  return load::placement_of(fit);
}

std::string NvjpegPictures::summary() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t others = 0;
  std::string reasons;
  for (const auto& [reason, count] : by_cpu_) {
    others += count;
    reasons += fmt::format("{}{} {}", reasons.empty() ? ": " : ", ", count, reason);
  }
  return fmt::format("nvJPEG decoded {} pictures ({}), the CPU {}{}", by_nvjpeg_,
                     hardware_ != nullptr ? fmt::format("{} by the hardware decoder", by_hardware_)
                                          : std::string("the hardware decoder cannot be had"),
                     others, reasons);
}

/// A slot for the calling thread; there are as many as there were simultaneous calls.
std::unique_ptr<Slot> NvjpegPictures::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      auto slot = std::move(free_.back());
      free_.pop_back();
      return slot;
    }
  }
  const c10::cuda::CUDAGuard guard(device_);
  auto slot = std::make_unique<Slot>(c10::cuda::getStreamFromPool(false, device_.index()));
  nvjpegStatus_t status = nvjpeg_.state_create(hybrid_, &slot->hybrid);
  if (status == NVJPEG_STATUS_SUCCESS && hardware_ != nullptr) {
    status = nvjpeg_.state_create(hardware_, &slot->hardware);
    if (status == NVJPEG_STATUS_SUCCESS) status = nvjpeg_.stream_create(hardware_, &slot->header);
  }
  if (status == NVJPEG_STATUS_SUCCESS) return slot;
  destroy(*slot);
  throw Error(fmt::format("nvJPEG cannot make a decoder: {}", nvjpeg_status_name(status)));
}

void NvjpegPictures::give_back(std::unique_ptr<Slot> slot) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(slot));
}

void NvjpegPictures::destroy(Slot& slot) {
  if (slot.header != nullptr) nvjpeg_.stream_destroy(slot.header);
  if (slot.hardware != nullptr) nvjpeg_.state_destroy(slot.hardware);
  if (slot.hybrid != nullptr) nvjpeg_.state_destroy(slot.hybrid);
}

/// Whether the hardware decoder exists, supports this file and is initialised.
bool NvjpegPictures::hardware_takes(Slot& slot, std::span<const std::uint8_t> bytes) {
  if (hardware_ == nullptr) return false;
  int refused = 1; // 0: supported
  if (nvjpeg_.parse_header(hardware_, bytes.data(), bytes.size(), slot.header) != NVJPEG_STATUS_SUCCESS ||
      nvjpeg_.batched_supported(hardware_, slot.header, &refused) != NVJPEG_STATUS_SUCCESS || refused != 0)
    return false;
  if (!slot.hardware_ready)
    slot.hardware_ready = nvjpeg_.batched_initialize(hardware_, slot.hardware, 1, 1, NVJPEG_OUTPUT_RGB) == NVJPEG_STATUS_SUCCESS;
  return slot.hardware_ready;
}

/// Starts decoding on the slot's stream.
nvjpegStatus_t NvjpegPictures::decode(Slot& slot, std::span<const std::uint8_t> bytes, nvjpegImage_t& image) {
  if (hardware_takes(slot, bytes)) {
    const unsigned char* data = bytes.data();
    const std::size_t size = bytes.size();
    if (nvjpeg_.decode_batched(hardware_, slot.hardware, &data, &size, &image, slot.stream) == NVJPEG_STATUS_SUCCESS) {
      const std::lock_guard lock(mutex_);
      ++by_hardware_;
      return NVJPEG_STATUS_SUCCESS;
    }
    slot.hardware_ready = false;
  }
  return nvjpeg_.decode(hybrid_, slot.hybrid, bytes.data(), bytes.size(), NVJPEG_OUTPUT_RGB, &image, slot.stream);
}

/// Prepares the row on the GPU and waits until it is in `out`. Returns "", or the reason why nvJPEG cannot be used.
std::string NvjpegPictures::load_on_gpu(Slot& slot, std::span<const std::uint8_t> bytes, const load::JpegFacts& facts,
                                        const load::Fit& fit, void* out) {
  const c10::cuda::CUDAStreamGuard guard(slot.stream);
  try {
    const torch::Tensor planes = torch::empty({3, facts.height, facts.width}, torch::TensorOptions(device_).dtype(torch::kByte));
    nvjpegImage_t image{};
    for (int channel = 0; channel < 3; ++channel) {
      image.channel[channel] = planes[channel].mutable_data_ptr<std::uint8_t>();
      image.pitch[channel] = static_cast<std::size_t>(facts.width);
    }
    const nvjpegStatus_t status = decode(slot, bytes, image);
    if (status != NVJPEG_STATUS_SUCCESS) {
      slot.wait(); // unfinished work may still write
      return fmt::format("nvJPEG says {}", nvjpeg_status_name(status));
    }
    const torch::Tensor row = fit_picture(planes, facts.orientation, cpu_.spec(), fit);
    C10_CUDA_CHECK(cudaMemcpyAsync(out, row.const_data_ptr(), row.nbytes(), cudaMemcpyDeviceToHost, slot.stream));
    slot.wait();
    return "";
  } catch (const std::exception& error) {
    slot.wait(); // throws if the device is lost
    return is_out_of_memory(error) ? "no GPU memory left" : reason_of(error);
  }
}

} // namespace

#endif

std::unique_ptr<GpuPictures> open_nvjpeg(const Config& config, [[maybe_unused]] torch::Device device,
                                         [[maybe_unused]] const ImageLoader& cpu, [[maybe_unused]] const LoadLimits& limits) {
  if (!config.has("decode") || config.get<std::string>("decode") != "nvjpeg") return nullptr;
#ifdef MGPU_HAS_NVJPEG
  if (!device.is_cuda()) throw usage_error("--decode nvjpeg: this rank has no GPU");
  return std::make_unique<NvjpegPictures>(cpu, limits, device);
#else
  throw usage_error("--decode nvjpeg: this build has no nvJPEG (CMake found no nvjpeg.h, or LibTorch has no CUDA)");
#endif
}

} // namespace mgpu::worker
