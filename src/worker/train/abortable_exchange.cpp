#include "worker/train/abortable_exchange.hpp"

#include "mgpu/error.hpp"

namespace mgpu::worker::train {

collective::Exchange& AbortableExchange::open(const collective::FlatLayout& layout, std::size_t stage) {
  auto exchange = open_(layout, stage);
  const std::lock_guard lock(mutex_);
  if (!abort_reason_.empty()) throw Error(abort_reason_);
  exchange_ = std::move(exchange);
  return *exchange_;
}

void AbortableExchange::close() {
  const std::lock_guard lock(mutex_);
  exchange_.reset();
}

void AbortableExchange::abort(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  abort_reason_ = reason;
  if (exchange_ != nullptr) exchange_->abort(reason);
}

} // namespace mgpu::worker::train
