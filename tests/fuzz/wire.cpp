// What agents, rank 0 and workers say to each other: the first byte says which message.
#include <cstring>
#include <memory>

#include "common/wire/batch_result.hpp"
#include "common/wire/control_messages.hpp"
#include "common/wire/items_messages.hpp"
#include "common/wire/training_messages.hpp"
#include "fuzz/fuzz.hpp"

namespace {

using namespace mgpu;

/// Read, written and read again, a message stays what it is.
template <typename Message>
void check(wire::View bytes) {
  const auto message = wire::decode<Message>(bytes);
  wire::Buffer once, twice;
  wire::encode(message, once);
  wire::encode(wire::decode<Message>(once), twice);
  if (once != twice) std::abort();
}

void check_result(wire::View bytes) {
  // As it lies in shared memory: aligned, and not a byte more than there is.
  const std::unique_ptr<std::byte, void (*)(void*)> block(
      static_cast<std::byte*>(
          std::aligned_alloc(wire::block_alignment, (bytes.size() / wire::block_alignment + 1) * wire::block_alignment)),
      std::free);
  std::memcpy(block.get(), bytes.data(), bytes.size());
  const wire::BatchResult result = wire::decode_batch_result({block.get(), bytes.size()});
  std::uint64_t sum = 0;
  for (const auto& [row, reason] : result.errors)
    sum += row + reason.size() + (reason.empty() ? 0 : static_cast<unsigned char>(reason.back()));
  for (const wire::ColumnData& column : result.columns) {
    for (const std::uint32_t count : column.counts) sum += count;
    if (!column.data.empty()) sum += static_cast<unsigned>(column.data.back());
  }
  if (result.flags.size() != result.rows() || result.seconds.size() != result.rows() || sum == ~std::uint64_t{0}) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const wire::View bytes(reinterpret_cast<const std::byte*>(data + 1), size - 1);
  using Check = void (*)(wire::View);
  constexpr Check checks[] = {check_result,           check<wire::Hello>,     check<wire::Progress>, check<wire::Opened>,
                              check<wire::Log>,       check<wire::Stats>,     check<wire::Failure>,  check<wire::Died>,
                              check<wire::Configure>, check<wire::Supervise>, check<wire::Grant>,    check<wire::SharedRange>,
                              check<wire::Join>,      check<wire::Stage>,     check<wire::Staged>,   check<wire::Items>,
                              check<wire::Connect>,   check<wire::Halt>,      check<wire::Reduce>,   check<wire::Steps>,
                              check<wire::Metrics>,   check<wire::Skipped>,   check<wire::Saved>,    check<wire::Health>};
  fuzz::must_not_fall([&] { checks[data[0] % std::size(checks)](bytes); });
  return 0;
}
