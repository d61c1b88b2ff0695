#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "worker/collective/exchange.hpp"

namespace mgpu::worker::train {

/// Makes the exchange of a stage.
using OpenExchange =
    std::function<std::unique_ptr<collective::Exchange>(const collective::FlatLayout& layout, std::size_t stage)>;

/// The exchange of the current stage. Used by one thread; abort() may be called by any, also while none is open.
class AbortableExchange {
 public:
  explicit AbortableExchange(OpenExchange open) : open_(std::move(open)) {}
  /// Opens the exchange of `stage`. Throws Error with the reason when the training was aborted before.
  collective::Exchange& open(const collective::FlatLayout& layout, std::size_t stage);
  void close();
  /// Makes every waiting and later call of this and later exchanges throw `reason`.
  void abort(const std::string& reason);

  collective::Exchange& operator*() const { return *exchange_; } ///< only while one is open
  collective::Exchange* operator->() const { return exchange_.get(); }

 private:
  OpenExchange open_;
  std::mutex mutex_; ///< guards the pointer, which changes between stages, against abort()
  std::unique_ptr<collective::Exchange> exchange_;
  std::string abort_reason_;
};

} // namespace mgpu::worker::train
