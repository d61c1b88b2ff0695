#include "common/wire/control_messages.hpp"

#include "common/wire/codec.hpp"

namespace mgpu::wire {

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
auto fields(Is<Trainable> auto& m) {
  return std::tie(m.parameters, m.signature, m.nccl_id, m.batch_size);
}
auto fields(Is<Opened> auto& m) {
  return std::tie(m.seconds, m.memory_bytes, m.columns, m.device, m.uuid, m.labels, m.trainable);
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
  return std::tie(m.item_timeout_s, m.stall_timeout_s, m.batch_size, m.restarts, m.max_restarts, m.gpu_uuid,
                  m.max_gpu_temperature_c, m.health_interval_s);
}
auto fields(Is<GpuSample> auto& m) {
  return std::tie(m.temperature_c, m.slowdown_c, m.utilization_percent, m.power_w, m.sm_clock_mhz, m.memory_used_bytes,
                  m.memory_total_bytes, m.throttle_reasons, m.uncorrected_ecc, m.remap_pending, m.remap_failed);
}
auto fields(Is<Health> auto& m) {
  return std::tie(m.sample, m.xids, m.state, m.reason, m.warnings);
}
auto fields(Is<GpuMemory> auto& m) {
  return std::tie(m.uuid, m.used_bytes, m.total_bytes);
}
auto fields(Is<SharedRange> auto& m) {
  return std::tie(m.offset, m.size);
}
auto fields(Is<Join> auto& m) {
  return std::tie(m.node, m.host, m.pid, m.launcher_local_rank, m.shared_rank, m.shared_size, m.cores, m.memory_free_bytes, m.mpi,
                  m.hdf5, m.bad_devices, m.gpu_memory, m.gpu_memory_note);
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
auto fields(Is<Survey> auto& m) {
  return std::tie(m.token_path, m.token);
}
auto fields(Is<Surveyed> auto& m) {
  return std::tie(m.asked_unix_s, m.answered_unix_s, m.shm_free_bytes, m.open_files, m.node_cores, m.interfaces, m.nccl_interface,
                  m.folder_error);
}
auto fields(Is<Stage> auto& m) {
  return std::tie(m.path, m.stall_s);
}
auto fields(Is<Staged> auto& m) {
  return std::tie(m.path, m.error, m.still, m.seconds);
}

void take(Decoder& in, FailureCause& value) {
  value = in.get<FailureCause>();
  if (value > FailureCause::late) throw Malformed("wire: a failure of an unknown cause");
}
void take(Decoder& in, DeviceTrouble& value) {
  value = in.get<DeviceTrouble>();
  if (value > DeviceTrouble::hardware) throw Malformed("wire: an unknown trouble of a device");
}
void take(Decoder& in, GpuState& value) {
  value = in.get<GpuState>();
  if (value > GpuState::drained) throw Malformed("wire: an unknown state of a GPU");
}

MGPU_WIRE_MESSAGE(Hello)
MGPU_WIRE_MESSAGE(Progress)
MGPU_WIRE_MESSAGE(Opened)
MGPU_WIRE_MESSAGE(Log)
MGPU_WIRE_MESSAGE(Stats)
MGPU_WIRE_MESSAGE(Failure)
MGPU_WIRE_MESSAGE(Died)
MGPU_WIRE_MESSAGE(Configure)
MGPU_WIRE_MESSAGE(Supervise)
MGPU_WIRE_MESSAGE(Health)
MGPU_WIRE_MESSAGE(SharedRange)
MGPU_WIRE_MESSAGE(Join)
MGPU_WIRE_MESSAGE(Heartbeat)
MGPU_WIRE_MESSAGE(EndAgent)
MGPU_WIRE_MESSAGE(Bye)
MGPU_WIRE_MESSAGE(Signal)
MGPU_WIRE_MESSAGE(Survey)
MGPU_WIRE_MESSAGE(Surveyed)
MGPU_WIRE_MESSAGE(Stage)
MGPU_WIRE_MESSAGE(Staged)

} // namespace mgpu::wire
