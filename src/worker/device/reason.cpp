#include "worker/device/reason.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <new>
#include <string_view>
#include <system_error>

namespace mgpu::worker {

namespace {

constexpr std::size_t longest_reason = 400;
/// cudaError_t (driver_types.h) of a faulty GPU: cudaErrorDevicesUnavailable, cudaErrorECCUncorrectable,
/// cudaErrorNvlinkUncorrectable, cudaErrorContained.
constexpr std::array<std::int32_t, 4> sick_device{46, 214, 220, 226};

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

/// TorchScript's interpreter has the real message last, after "RuntimeError: " or a Python exception's name.
std::string_view after_traceback(std::string_view text) {
  for (const std::string_view mark : {"RuntimeError: ", "torch.jit.Error: ", "builtins.ValueError: ", "AssertionError: "}) {
    const auto at = text.rfind(mark);
    if (at != std::string_view::npos) return text.substr(at + mark.size());
  }
  return text;
}

} // namespace

std::string reason_of(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  std::string_view text = torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
  if (text.find("Traceback of TorchScript") != std::string_view::npos) text = after_traceback(text);
  text = trimmed(text);
  std::string line(trimmed(text.substr(0, text.find('\n'))));
  if (line.size() > longest_reason) {
    std::size_t cut = longest_reason;
    while (cut > 0 && (static_cast<unsigned char>(line[cut]) & 0xC0) == 0x80) --cut; // never inside a UTF-8 character
    line.resize(cut);
    line += "…";
  }
  return line.empty() ? "unknown error" : line;
}

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr || dynamic_cast<const std::bad_alloc*>(&error) != nullptr)
    return true;
  const std::string_view text = error.what();
  for (const std::string_view mark : {"CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"})
    if (text.find(mark) != std::string_view::npos) return true;
  return text.find("out of memory") != std::string_view::npos || text.find("can't allocate memory") != std::string_view::npos ||
         text.find("not enough memory") != std::string_view::npos;
}

Cause cause_of(const std::exception& error) {
  if (const auto* ours = dynamic_cast<const Error*>(&error); ours != nullptr && ours->cause != Cause::item) return ours->cause;
  if (is_out_of_memory(error)) return Cause::memory;
  return dynamic_cast<const std::system_error*>(&error) != nullptr ? Cause::io : Cause::item;
}

wire::FailureCause failure_cause(const std::exception& error) {
  using wire::FailureCause;
  const auto* known = dynamic_cast<const Error*>(&error);
  if (known != nullptr && known->code() == ExitCode::usage) return FailureCause::usage;
  if (known != nullptr && known->cause == Cause::collective) return FailureCause::collective;
  if (device_trouble(error) != wire::DeviceTrouble::none) return FailureCause::device;
  return is_out_of_memory(error) ? FailureCause::memory : FailureCause::other;
}

wire::DeviceTrouble device_trouble(const std::exception& error) {
  using wire::DeviceTrouble;
  if (is_out_of_memory(error)) return DeviceTrouble::none;
  if (const auto* known = dynamic_cast<const Error*>(&error); known != nullptr && known->cause == Cause::device)
    return DeviceTrouble::hardware;
  if (const auto* cuda = dynamic_cast<const c10::AcceleratorError*>(&error)) {
    const bool sick = std::find(sick_device.begin(), sick_device.end(), cuda->get_error_code()) != sick_device.end();
    return sick ? DeviceTrouble::hardware : DeviceTrouble::context;
  }
  // TorchScript's interpreter converts exceptions to texts.
  return std::string_view(error.what()).find("CUDA error") != std::string_view::npos ? DeviceTrouble::context
                                                                                     : DeviceTrouble::none;
}

} // namespace mgpu::worker
