#include "common/wire/items_messages.hpp"

#include "common/wire/codec.hpp"

namespace mgpu::wire {

auto fields(Is<BatchRange> auto& m) {
  return std::tie(m.batch, m.first, m.attempt, m.epoch, m.wanted_begin, m.wanted_rows, m.items);
}
auto fields(Is<Grant> auto& m) {
  return std::tie(m.batches);
}

MGPU_WIRE_MESSAGE(Grant)

} // namespace mgpu::wire
