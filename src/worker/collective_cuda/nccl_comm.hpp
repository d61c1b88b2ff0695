#pragma once
// A NCCL communicator that cannot hang: calls do not block, and a watchdog aborts it when NCCL reports an error or a collective does
// not finish.
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "worker/collective_cuda/nccl_exchange.hpp"

namespace mgpu::worker::collective {

class NcclComm {
 public:
  explicit NcclComm(const NcclSpec& spec);
  ~NcclComm();
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  /// `call` queues one NCCL operation (or a group) on `stream`; `what` names it in errors. Throws Error.
  void launch(const std::string& what, const c10::cuda::CUDAStream& stream, const std::function<ncclResult_t(ncclComm_t)>& call);
  /// Waits on the host for the queued work of `stream`. Throws the reason when the communicator has failed.
  void await(const c10::cuda::CUDAStream& stream);
  /// From any thread. The first reason is kept.
  void abort(const std::string& reason);

 private:
  struct Operation {
    std::string what;
    at::cuda::CUDAEvent end;
    double begin_s;
  };
  void check() const;
  void settle(ncclResult_t result, const std::string& what);
  void watch();
  void look();

  std::string name_; ///< "rank 3 on node7"
  int device_;
  double timeout_s_;
  mutable std::mutex mutex_; ///< guards the communicator and all members below
  ncclComm_t comm_ = nullptr;
  std::deque<Operation> operations_; ///< not known to be done
  mutable std::mutex reason_mutex_;
  std::string reason_;
  std::atomic<bool> failed_ = false; ///< reason_ is set
  bool leaving_ = false;
  std::condition_variable changed_;
  std::thread watchdog_;
};

} // namespace mgpu::worker::collective
