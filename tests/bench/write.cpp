// Writing results, each beside its peer in the same run on the same disk: bulk rows against a raw write, single rows against h5py,
// and the time to begin a file of a million items. bench_write [FOLDER] [--rounds N] [--only million|bulk|rows]
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "agent/write/hdf5/raw_file.hpp"
#include "agent/write/hdf5/writer.hpp"
#include "common/wire/row_crc.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t row_floats = 1024; // 4 KB
constexpr std::uint64_t row_bytes = row_floats * sizeof(float);
constexpr std::uint64_t rows = 131072; // 537 MB
const std::vector<ColumnSpec> bulk_columns{{"logits", DType::float32, Layout::fixed, {row_floats}}};

double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Time by the clock, and of the processor (all threads): the latter is little moved by what else the machine does.
struct Taken {
  std::vector<double> wall_s, cpu_s;
  void add(const std::function<void()>& work) {
    const double cpu_before = cpu_seconds();
    wall_s.push_back(seconds_of(work));
    cpu_s.push_back(cpu_seconds() - cpu_before);
  }
  static double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Blocks of `batch_rows` rows each, encoded as workers do, in one piece of memory.
class Blocks {
 public:
  Blocks(std::uint64_t batch_rows, std::uint64_t total_rows) {
    std::vector<float> values(batch_rows * row_floats);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 2654435761u % 1000003) * 1e-3f;
    const std::vector<std::uint8_t> status(batch_rows, 1), flags(batch_rows);
    const std::vector<float> seconds(batch_rows, 0.01f);
    wire::BatchResult result;
    result.status = status;
    result.flags = flags;
    result.seconds = seconds;
    result.columns = {{0, {}, std::as_bytes(std::span(values))}};
    block_bytes_ = wire::encoded_size(result);
    count_ = total_rows / batch_rows;
    std::vector<std::uint32_t> crcs(batch_rows);
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(wire::block_alignment, block_bytes_ * count_)), &std::free);
    for (std::uint64_t i = 0; i < count_; ++i) {
      result.batch = i;
      result.first = i * batch_rows;
      const wire::BlockPlaces places = wire::encode(result, memory_.get() + i * block_bytes_);
      if (i == 0) wire::make_row_crcs(result, bulk_columns, crcs.data()); // the work of the workers
      std::copy(crcs.begin(), crcs.end(), places.crcs);
    }
  }
  std::uint64_t count() const { return count_; }
  wire::View rows_of(std::uint64_t i) const { return wire::decode_batch_result((*this)[i].bytes).columns[0].data; }
  write::Block operator[](std::uint64_t i) const { return {0, {memory_.get() + i * block_bytes_, block_bytes_}, memory_}; }

 private:
  std::shared_ptr<std::byte> memory_;
  std::size_t block_bytes_ = 0;
  std::uint64_t count_ = 0;
};

class Bench {
 public:
  Bench(std::string folder, int rounds) : folder_(std::move(folder)), rounds_(rounds) {}

  void bulk() {
    constexpr std::uint64_t batch_rows = 256;
    const Blocks blocks(batch_rows, rows);
    const auto items = list_of(rows);
    Taken ours, raw;
    for (int round = 0; round < rounds_; ++round) {
      raw_write(blocks, raw);
      write_through(items, blocks, ours);
    }
    const double megabytes = static_cast<double>(rows * row_bytes) / 1e6;
    const double ours_s = median(ours.wall_s), raw_s = median(raw.wall_s), ours_cpu_s = median(ours.cpu_s),
                 raw_cpu_s = median(raw.cpu_s);
    fmt::print(
        "bulk, {:.0f} MB in batches of {} rows, to the disk: ours {:.0f} MB/s, raw pwrite + fsync {:.0f} MB/s, ratio {:.2f}; "
        "processor time {:.2f} s and {:.2f} s\n",
        megabytes, batch_rows, megabytes / ours_s, megabytes / raw_s, raw_s / ours_s, ours_cpu_s, raw_cpu_s);
  }

  void single_rows() {
    constexpr std::uint64_t rows = 32768; // both sides the same: 134 MB
    const Blocks blocks(1, rows);
    const auto items = list_of(rows);
    Taken ours, raw;
    std::vector<Peer> peer, peer_flushing;
    for (int round = 0; round < rounds_; ++round) {
      peer.push_back(peer_run(rows, 0));
      peer_flushing.push_back(peer_run(rows, 100));
      raw_write(blocks, raw);
      write_through(items, blocks, ours);
    }
    const auto show = [&](const char* what, double ours_s, double peer_s, double flushing_s) {
      fmt::print("  {}: ours {:.0f} rows/s, h5py {:.0f} rows/s, flushing every 100 ms {:.0f} rows/s: ratio {:.1f} and {:.1f}\n",
                 what, 1 / ours_s, 1 / peer_s, 1 / flushing_s, peer_s / ours_s, flushing_s / ours_s);
    };
    fmt::print("rows of 4 KB one by one, committed every 100 ms, finished on the disk\n");
    show("by the clock", median(ours.wall_s) / rows, median_of(peer, &Peer::wall_s), median_of(peer_flushing, &Peer::wall_s));
    fmt::print("  the disk's own limit, raw pwrite of each row + one fsync: {:.0f} rows/s\n", rows / median(raw.wall_s));
    show("by processor time", median(ours.cpu_s) / rows, median_of(peer, &Peer::cpu_s), median_of(peer_flushing, &Peer::cpu_s));
  }

  void million() {
    std::vector<double> begin, end;
    const std::string list = path("million.txt");
    {
      std::ofstream out(list);
      for (int i = 0; i < 1'000'000; ++i) out << fmt::format("/data/set/train/class_{:03d}/image_{:08d}.jpeg\n", i % 100, i);
    }
    double reading = 0;
    for (int round = 0; round < rounds_; ++round) {
      manifest::Manifest items;
      reading = seconds_of([&] { items = manifest::Manifest::read(list); });
      std::unique_ptr<write::ResultFile> file;
      begin.push_back(seconds_of([&] { file = write::ResultFile::create(path("out.h5"), items, {}); }));
      end.push_back(seconds_of([&] { file->finish({.complete = false}); }));
      remove("out.h5");
    }
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    fmt::print("a million items: list read in {:.2f} s, file begun in {:.2f} s, finished in {:.2f} s\n", reading, median(begin),
               median(end));
    remove("million.txt");
  }

  /// Memory of a run over a million items, alone in its process.
  void million_memory() {
    const auto items = list_of(1'000'000);
    const auto file = write::ResultFile::create(path("out.h5"), items, {});
    file->set_columns({{"score", DType::float32, Layout::fixed, {}}});
    file->finish({.complete = false});
    remove("out.h5");
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    fmt::print("a million items with their manifest take {} MB of memory at most\n", usage.ru_maxrss / 1024);
  }

 private:
  std::string path(const std::string& name) const { return folder_ + "/bench_write_" + name; }
  void remove(const std::string& name) const { std::filesystem::remove(path(name)); }

  manifest::Manifest list_of(std::uint64_t count) const {
    const std::string list = path("list.txt");
    std::ofstream out(list);
    for (std::uint64_t i = 0; i < count; ++i) out << "/data/images/image_" << i << ".jpg\n";
    out.close();
    manifest::Manifest items = manifest::Manifest::read(list);
    std::filesystem::remove(list);
    return items;
  }

  void raw_write(const Blocks& blocks, Taken& taken) const {
    taken.add([&] {
      write::RawFile file(path("raw"), write::RawFile::Mode::create);
      std::uint64_t at = 0;
      for (std::uint64_t i = 0; i < blocks.count(); at += blocks.rows_of(i).size(), ++i) file.write_at(at, blocks.rows_of(i));
      file.sync_all();
    });
    remove("raw");
  }

  /// From the first block to the finished file, on the disk and renamed.
  void write_through(const manifest::Manifest& items, const Blocks& blocks, Taken& taken) const {
    write::Writer writer(write::ResultFile::create(path("out.h5"), items, {}));
    writer.set_columns(bulk_columns);
    taken.add([&] {
      for (std::uint64_t i = 0; i < blocks.count(); ++i) {
        while (writer.full()) std::this_thread::sleep_for(std::chrono::microseconds(200));
        writer.put(blocks[i]);
      }
      writer.finish({});
    });
    remove("out.h5");
  }

  /// Seconds a row.
  struct Peer {
    double wall_s = 0, cpu_s = 0;
  };
  static double median_of(const std::vector<Peer>& peers, double Peer::*member) {
    std::vector<double> values;
    for (const Peer& peer : peers) values.push_back(peer.*member);
    return median(values);
  }

  Peer peer_run(std::uint64_t count, int flush_every_ms) const {
    const std::string command =
        fmt::format("'{}' '{}' '{}' {} {} {}", MGPU_PYTHON, MGPU_PEER_SCRIPT, path("peer.h5"), count, row_floats, flush_every_ms);
    std::FILE* pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) throw Error("popen: " + command);
    Peer peer;
    const int read = std::fscanf(pipe, "%lf %lf", &peer.wall_s, &peer.cpu_s);
    if (::pclose(pipe) != 0 || read != 2) throw Error("the h5py side failed: " + command);
    remove("peer.h5");
    return peer;
  }

  std::string folder_;
  int rounds_;
};

} // namespace

int main(int argc, char** argv) {
  std::string folder = std::filesystem::temp_directory_path();
  int rounds = 5;
  std::string only;
  const auto wanted = [&](const char* part) { return only.empty() || only == part; };
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--rounds" && i + 1 < argc)
      rounds = std::max(1, std::atoi(argv[++i]));
    else if (std::string(argv[i]) == "--only" && i + 1 < argc)
      only = argv[++i];
    else
      folder = argv[i];
  }
  try {
    Bench bench(folder, rounds);
    if (wanted("million")) bench.million_memory();
    if (wanted("million")) bench.million();
    if (wanted("bulk")) bench.bulk();
    if (wanted("rows")) bench.single_rows();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
