#ifdef MGPU_HAS_NCCL
#include "worker/collective_cuda/nccl_comm.hpp"

#include <c10/cuda/CUDAFunctions.h>
#include <fmt/format.h>

#include <chrono>
#include <cstring>

#include "common/support/clock.hpp"
#include "mgpu/error.hpp"
#include "worker/device/torch.hpp"

namespace mgpu::worker::collective {

namespace {

constexpr auto look_every = std::chrono::milliseconds(100);
constexpr auto poll_every = std::chrono::microseconds(20);
constexpr double farewell_s = 5;

/// An error whose cause may be another rank, or the link to it.
Error collective_error(const std::string& text) {
  Error error(text);
  error.cause = Cause::collective;
  return error;
}

} // namespace

NcclComm::NcclComm(const NcclSpec& spec)
    : name_(spec.hosts.empty() ? fmt::format("rank {}", spec.rank)
                               : fmt::format("rank {} on {}", spec.rank, spec.hosts.at(static_cast<std::size_t>(spec.rank)))),
      device_(spec.device),
      timeout_s_(spec.timeout_s) {
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(device_));
  ncclUniqueId id;
  if (spec.id.size() != sizeof id.internal) throw collective_error("NCCL: the id has the wrong size");
  std::memcpy(id.internal, spec.id.data(), sizeof id.internal);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  try {
    settle(ncclCommInitRankConfig(&comm_, spec.size, id, spec.rank, &config), "joining NCCL");
  } catch (const Error&) {
    if (comm_ != nullptr) ncclCommAbort(comm_);
    throw;
  }
  watchdog_ = std::thread([this] { watch(); });
}

NcclComm::~NcclComm() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  changed_.notify_all();
  if (watchdog_.joinable()) watchdog_.join();
  if (comm_ == nullptr) return;
  ncclResult_t state = ncclCommFinalize(comm_);
  for (const double limit = now_s() + farewell_s; state == ncclInProgress && now_s() < limit;) {
    std::this_thread::sleep_for(poll_every);
    if (ncclCommGetAsyncError(comm_, &state) != ncclSuccess) break;
  }
  if (state == ncclSuccess)
    ncclCommDestroy(comm_);
  else
    ncclCommAbort(comm_);
}

void NcclComm::launch(const std::string& what, const c10::cuda::CUDAStream& stream,
                      const std::function<ncclResult_t(ncclComm_t)>& call) {
  const std::lock_guard lock(mutex_);
  check();
  settle(call(comm_), what);
  Operation& operation = operations_.emplace_back(Operation{what, at::cuda::CUDAEvent(cudaEventDisableTiming), now_s()});
  operation.end.record(stream);
}

void NcclComm::await(const c10::cuda::CUDAStream& stream) {
  at::cuda::CUDAEvent end(cudaEventDisableTiming);
  end.record(stream);
  while (!end.query()) {
    check();
    std::this_thread::sleep_for(poll_every);
  }
  check();
}

void NcclComm::abort(const std::string& reason) {
  {
    const std::lock_guard lock(reason_mutex_);
    if (failed_) return;
    reason_ = reason;
    failed_ = true; // set before locking: the holder of the lock checks it
  }
  const std::lock_guard lock(mutex_);
  if (comm_ != nullptr) ncclCommAbort(comm_);
  comm_ = nullptr;
}

void NcclComm::check() const {
  if (!failed_) return;
  const std::lock_guard lock(reason_mutex_);
  throw collective_error(reason_);
}

/// Waits for a call on the non-blocking communicator, which may be in progress when it returns.
void NcclComm::settle(ncclResult_t result, const std::string& what) {
  for (const double limit = now_s() + timeout_s_; result == ncclInProgress;) {
    check();
    if (now_s() > limit) throw collective_error(fmt::format("{}: {} is not done after {:g} s", name_, what, timeout_s_));
    std::this_thread::sleep_for(poll_every);
    if (const ncclResult_t asked = ncclCommGetAsyncError(comm_, &result); asked != ncclSuccess) result = asked;
  }
  if (result == ncclSuccess) return;
  const std::string hint = result == ncclInvalidUsage ? " (NCCL cannot join two ranks on one GPU)" : "";
  throw collective_error(fmt::format("{}: {}: {}: {}{}", name_, what, ncclGetErrorString(result), ncclGetLastError(comm_), hint));
}

void NcclComm::watch() {
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(device_));
  std::unique_lock lock(mutex_);
  while (!leaving_) {
    changed_.wait_for(lock, look_every);
    if (leaving_ || failed_) continue;
    try {
      look();
    } catch (const std::exception& error) {
      const std::string reason = error.what();
      lock.unlock();
      abort(reason);
      lock.lock();
    }
  }
}

/// Throws Error if an operation has failed or timed out.
void NcclComm::look() {
  while (!operations_.empty() && operations_.front().end.query()) operations_.pop_front();
  const std::string what = operations_.empty() ? "between collectives" : operations_.front().what;
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  for (const ncclResult_t result : {asked, state})
    if (result != ncclSuccess && result != ncclInProgress)
      throw collective_error(fmt::format("{}: {}: {}: {}", name_, what, ncclGetErrorString(result), ncclGetLastError(comm_)));
  if (!operations_.empty() && now_s() - operations_.front().begin_s > timeout_s_)
    throw collective_error(fmt::format("{}: {} has not finished after {:g} s: another rank is missing, or its link is broken",
                                       name_, what, timeout_s_));
}

} // namespace mgpu::worker::collective
#endif
