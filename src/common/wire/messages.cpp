#include "common/wire/messages.hpp"

#include <algorithm>
#include <concepts>
#include <tuple>
#include <type_traits>

namespace mgpu::wire {

namespace {

/// M is T or const T: one list of fields serves encoding and decoding, so the two cannot drift apart.
template <typename M, typename T>
concept Is = std::same_as<std::remove_const_t<M>, T>;

auto fields(Is<ColumnSpec> auto& m) {
  return std::tie(m.name, m.type, m.layout, m.row_shape);
}
auto fields(Is<Item> auto& m) {
  return std::tie(m.index, m.path, m.shipped, m.content, m.columns);
}
auto fields(Is<std::pair<std::string, std::string>> auto& m) {
  return std::tie(m.first, m.second);
}
auto fields(Is<Device> auto& m) {
  return std::tie(m.name, m.uuid, m.pci_bus_id, m.memory_bytes, m.index, m.cores);
}
auto fields(Is<Versions> auto& m) {
  return std::tie(m.mgpu, m.torch, m.cuda, m.nccl, m.ffmpeg, m.jpeg);
}
auto fields(Is<Hello> auto& m) {
  return std::tie(m.pid, m.versions, m.devices, m.device_note);
}
auto fields(Is<Progress> auto& m) {
  return std::tie(m.stage, m.fraction, m.memory_bytes);
}
auto fields(Is<Opened> auto& m) {
  return std::tie(m.seconds, m.memory_bytes, m.columns, m.device, m.uuid, m.labels, m.trainable);
}
auto fields(Is<Trainable> auto& m) {
  return std::tie(m.parameters, m.signature, m.nccl_id, m.batch_size);
}
auto fields(Is<Log> auto& m) {
  return std::tie(m.level, m.text);
}
auto fields(Is<Stats> auto& m) {
  return std::tie(m.items, m.failed, m.batches, m.busy_s, m.load_wait_s, m.write_wait_s, m.grant_wait_s, m.load_s, m.wall_s,
                  m.forward_s, m.backward_s, m.reduce_wait_s, m.update_s, m.memory_bytes);
}
auto fields(Is<Failure> auto& m) {
  return std::tie(m.exit_code, m.text, m.cause, m.device);
}
auto fields(Is<Suspect> auto& m) {
  return std::tie(m.batch, m.first, m.rows, m.part);
}
auto fields(Is<Died> auto& m) {
  return std::tie(m.reason, m.last_words, m.cause, m.device, m.certain, m.stalled, m.retired, m.suspects);
}
auto fields(Is<Configure> auto& m) {
  return std::tie(m.job, m.config_json, m.model_path, m.rank, m.world_size, m.local_rank, m.local_size, m.host, m.device, m.dtype,
                  m.threads, m.loaders, m.cores, m.batch_size, m.batches_in_flight, m.trace);
}
auto fields(Is<Supervise> auto& m) {
  return std::tie(m.item_timeout_s, m.stall_timeout_s, m.batch_size, m.restarts, m.max_restarts);
}
auto fields(Is<BatchRange> auto& m) {
  return std::tie(m.batch, m.first, m.attempt, m.epoch, m.wanted_begin, m.wanted_rows, m.items);
}
auto fields(Is<Grant> auto& m) {
  return std::tie(m.batches);
}
auto fields(Is<SharedRange> auto& m) {
  return std::tie(m.offset, m.size);
}
auto fields(Is<Join> auto& m) {
  return std::tie(m.node, m.host, m.pid, m.launcher_local_rank, m.shared_rank, m.shared_size, m.cores, m.memory_free_bytes, m.mpi,
                  m.hdf5, m.bad_devices);
}
auto fields(Is<Heartbeat> auto& m) {
  return std::tie(m.timeout_s, m.pid, m.node);
}
auto fields(Is<EndAgent> auto& m) {
  return std::tie(m.pid);
}
auto fields(Is<Bye> auto& m) {
  return std::tie(m.exit_code, m.without_finalize);
}
auto fields(Is<Signal> auto& m) {
  return std::tie(m.number, m.from_launcher, m.at_once);
}
auto fields(Is<Stage> auto& m) {
  return std::tie(m.path, m.stall_s);
}
auto fields(Is<Staged> auto& m) {
  return std::tie(m.path, m.error, m.still, m.seconds);
}
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

template <typename T>
concept Struct = requires(T& value) {
  fields(value);
};

// Every struct that stands in a list begins with a string, a list or a 64-bit number.
constexpr std::size_t least_element_bytes = 8;

void put(Encoder& out, const std::string& text) {
  out.put(std::string_view(text));
}
void put(Encoder& out, bool value) {
  out.put(static_cast<std::uint8_t>(value));
}
template <Plain T>
void put(Encoder& out, T value) {
  out.put(value);
}
template <Struct T>
void put(Encoder& out, const T& value);
template <typename T>
void put(Encoder& out, const std::vector<T>& list) {
  if constexpr (Plain<T>) {
    out.put(std::span<const T>(list));
  } else {
    out.put(static_cast<std::uint64_t>(list.size()));
    for (const T& element : list) put(out, element);
  }
}
template <Struct T>
void put(Encoder& out, const T& value) {
  std::apply([&](const auto&... field) { (put(out, field), ...); }, fields(value));
}

void take(Decoder& in, std::string& text) {
  text = in.text();
}
void take(Decoder& in, bool& value) {
  value = in.get<std::uint8_t>() != 0;
}
template <Plain T>
void take(Decoder& in, T& value) {
  value = in.get<T>();
}
void take(Decoder& in, DType& value) {
  value = in.get<DType>();
  if (value > DType::boolean) throw Malformed("wire: a column of an unknown type");
}
void take(Decoder& in, Layout& value) {
  value = in.get<Layout>();
  if (value > Layout::text) throw Malformed("wire: a column of an unknown layout");
}
void take(Decoder& in, FailureCause& value) {
  value = in.get<FailureCause>();
  if (value > FailureCause::late) throw Malformed("wire: a failure of an unknown cause");
}
void take(Decoder& in, DeviceTrouble& value) {
  value = in.get<DeviceTrouble>();
  if (value > DeviceTrouble::hardware) throw Malformed("wire: an unknown trouble of a device");
}
template <Struct T>
void take(Decoder& in, T& value);
template <typename T>
void take(Decoder& in, std::vector<T>& list) {
  if constexpr (Plain<T>) {
    list = in.values<T>();
  } else {
    list.resize(in.count(least_element_bytes));
    for (T& element : list) take(in, element);
  }
}
template <Struct T>
void take(Decoder& in, T& value) {
  std::apply([&](auto&... field) { (take(in, field), ...); }, fields(value));
}

template <Struct T>
void encode_message(const T& message, Buffer& buffer) {
  Encoder out(buffer);
  put(out, message);
}

} // namespace

void encode(const Hello& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Progress& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Opened& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Log& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Stats& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Failure& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Died& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Configure& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Supervise& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Grant& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const SharedRange& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Join& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Heartbeat& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const EndAgent& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Bye& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Signal& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Stage& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Staged& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Items& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Connect& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Halt& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Reduce& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Steps& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Metrics& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Skipped& message, Buffer& out) {
  encode_message(message, out);
}
void encode(const Saved& message, Buffer& out) {
  encode_message(message, out);
}

template <typename Message>
Message decode(View bytes) {
  Decoder in(bytes);
  Message message;
  take(in, message);
  if (in.rest() != 0) throw Malformed("wire: a message has bytes left over");
  return message;
}

template Hello decode<Hello>(View);
template Progress decode<Progress>(View);
template Opened decode<Opened>(View);
template Log decode<Log>(View);
template Stats decode<Stats>(View);
template Failure decode<Failure>(View);
template Died decode<Died>(View);
template Configure decode<Configure>(View);
template Supervise decode<Supervise>(View);
template Grant decode<Grant>(View);
template SharedRange decode<SharedRange>(View);
template Join decode<Join>(View);
template Heartbeat decode<Heartbeat>(View);
template EndAgent decode<EndAgent>(View);
template Bye decode<Bye>(View);
template Signal decode<Signal>(View);
template Stage decode<Stage>(View);
template Staged decode<Staged>(View);
template Items decode<Items>(View);
template Connect decode<Connect>(View);
template Halt decode<Halt>(View);
template Reduce decode<Reduce>(View);
template Steps decode<Steps>(View);
template Metrics decode<Metrics>(View);
template Skipped decode<Skipped>(View);
template Saved decode<Saved>(View);

} // namespace mgpu::wire
