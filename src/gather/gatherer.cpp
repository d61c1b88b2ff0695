#include "gather/gatherer.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mgpu::gather {

wire::BatchResult Gatherer::open(wire::View block) const {
  wire::BatchResult result = wire::decode_batch_result(block);
  const std::uint64_t begin = result.batch * batch_size_;
  const std::uint64_t end = begin + std::min<std::uint64_t>(batch_size_, items_ - std::min(items_, begin));
  if (result.first < begin || result.first >= end || result.rows() == 0 || result.rows() > end - result.first)
    throw Error(fmt::format("a result speaks of batch {} with {} rows from item {}, which the plan does not have", result.batch,
                            result.rows(), result.first));
  return result;
}

Accepted Gatherer::count(const wire::BatchResult& result, const std::function<void(const FailedItem&)>& failed) {
  Accepted accepted{result.batch, result.first, static_cast<std::uint32_t>(result.rows()), 0, 0};
  for (const std::uint8_t status : result.status)
    if (status != static_cast<std::uint8_t>(Status::ok)) ++accepted.failed;
  for (const std::uint8_t flags : result.flags)
    if (flags != flag_none) ++accepted.flagged;
  for (const auto& [row, reason] : result.errors) failed({result.first + row, std::string(reason)});
  done_ += accepted.rows;
  failed_ += accepted.failed;
  flagged_ += accepted.flagged;
  return accepted;
}

} // namespace mgpu::gather
