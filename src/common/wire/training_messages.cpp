#include "common/wire/training_messages.hpp"

#include "common/wire/codec.hpp"

namespace mgpu::wire {

auto fields(Is<SkippedItem> auto& m) {
  return std::tie(m.index, m.part, m.reason);
}
auto fields(Is<Items> auto& m) {
  return std::tie(m.part, m.total, m.items, m.given_up);
}
auto fields(Is<Connect> auto& m) {
  return std::tie(m.token, m.nccl_id, m.node_of, m.hosts, m.batch_size, m.first_validation, m.checkpoint, m.attempt, m.timeout_s);
}
auto fields(Is<Halt> auto& m) {
  return std::tie(m.now, m.reason);
}
auto fields(Is<Reduce> auto& m) {
  return std::tie(m.id, m.stream, m.offset, m.count, m.type, m.memory);
}
auto fields(Is<Step> auto& m) {
  return std::tie(m.step, m.epoch, m.samples, m.skipped, m.micro_batch, m.accumulation, m.updated, m.loss, m.lr, m.grad_norm,
                  m.loss_scale, m.seconds);
}
auto fields(Is<Steps> auto& m) {
  return std::tie(m.total, m.steps);
}
auto fields(Is<Metric> auto& m) {
  return std::tie(m.name, m.value);
}
auto fields(Is<Metrics> auto& m) {
  return std::tie(m.step, m.epoch, m.seconds, m.best, m.values, m.classes, m.class_items);
}
auto fields(Is<Skipped> auto& m) {
  return std::tie(m.items);
}
auto fields(Is<Saved> auto& m) {
  return std::tie(m.step, m.epoch, m.folder, m.bytes, m.meta_json, m.error);
}

MGPU_WIRE_MESSAGE(Items)
MGPU_WIRE_MESSAGE(Connect)
MGPU_WIRE_MESSAGE(Halt)
MGPU_WIRE_MESSAGE(Reduce)
MGPU_WIRE_MESSAGE(Steps)
MGPU_WIRE_MESSAGE(Metrics)
MGPU_WIRE_MESSAGE(Skipped)
MGPU_WIRE_MESSAGE(Saved)

} // namespace mgpu::wire
