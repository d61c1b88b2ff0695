// The journal beside SQLite in WAL mode (synchronous=FULL), both with group commits every 100 ms on the same disk: rows a second until all
// are on the disk, and how long one row takes that is committed alone. bench_journal [FOLDER] [--rounds N]
#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "agent/write/hdf5/result_file.hpp"
#include "common/wire/row_crc.hpp"

namespace {

using namespace mgpu;
using namespace mgpu::agent;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds commit_every(100);

double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Where rows go, one by one.
class Store {
 public:
  virtual ~Store() = default;
  virtual void put(std::uint64_t item) = 0;
  virtual void commit() = 0;
};

/// Our own: `floats` a row, in a fixed column, or as a ragged one, which goes through the journal.
class Ours final : public Store {
 public:
  Ours(const std::string& path, const manifest::Manifest& items, std::size_t floats, Layout layout)
      : path_(path), values_(floats, 0.5F), layout_(layout) {
    write::Header header;
    header.identity.emplace();
    header.identity->items = items.size();
    file_ = write::ResultFile::create(path_, items, header);
    if (layout == Layout::fixed)
      columns_ = {{"row", DType::float32, Layout::fixed, {floats}}};
    else
      columns_ = {{"row", DType::float32, Layout::ragged, {}}};
    file_->set_columns(columns_);
  }
  ~Ours() override {
    file_.reset();
    write::ResultFile::discard(path_);
  }
  void put(std::uint64_t item) override {
    const std::uint8_t ok = static_cast<std::uint8_t>(Status::ok), flags = flag_none;
    const float seconds = 0.01F;
    const auto count = static_cast<std::uint32_t>(values_.size());
    wire::BatchResult result;
    result.batch = result.first = item;
    result.status = {&ok, 1};
    result.flags = {&flags, 1};
    result.seconds = {&seconds, 1};
    result.columns = {{0, {}, std::as_bytes(std::span(values_))}};
    if (layout_ == Layout::ragged) result.columns[0].counts = {&count, 1};
    std::uint32_t crc = 0;
    wire::make_row_crcs(result, columns_, &crc);
    result.crcs = {&crc, 1};
    file_->put(result, 0);
  }
  void commit() override { file_->commit(); }

 private:
  std::string path_;
  std::vector<float> values_;
  Layout layout_;
  std::vector<ColumnSpec> columns_;
  std::unique_ptr<write::ResultFile> file_;
};

class Sqlite final : public Store {
 public:
  Sqlite(const std::string& path, std::size_t bytes) : path_(path), blob_(bytes, 'x') {
    remove();
    check(sqlite3_open(path_.c_str(), &base_));
    run("PRAGMA journal_mode=WAL");
    run("PRAGMA synchronous=FULL");
    run("CREATE TABLE rows (item INTEGER PRIMARY KEY, status INTEGER, attempts INTEGER, rank INTEGER, seconds REAL, row BLOB)");
    check(sqlite3_prepare_v2(base_, "INSERT INTO rows VALUES (?1, 1, 1, 0, 0.01, ?2)", -1, &insert_, nullptr));
  }
  ~Sqlite() override {
    sqlite3_finalize(insert_);
    sqlite3_close(base_);
    remove();
  }
  void put(std::uint64_t item) override {
    if (!open_) run("BEGIN");
    open_ = true;
    check(sqlite3_bind_int64(insert_, 1, static_cast<sqlite3_int64>(item)));
    check(sqlite3_bind_blob(insert_, 2, blob_.data(), static_cast<int>(blob_.size()), SQLITE_STATIC));
    if (sqlite3_step(insert_) != SQLITE_DONE) throw Error(sqlite3_errmsg(base_));
    check(sqlite3_reset(insert_));
  }
  void commit() override {
    if (open_) run("COMMIT");
    open_ = false;
  }

 private:
  void check(int code) const {
    if (code != SQLITE_OK) throw Error(sqlite3_errmsg(base_));
  }
  void run(const char* statement) const { check(sqlite3_exec(base_, statement, nullptr, nullptr, nullptr)); }
  void remove() const {
    for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + ending);
  }
  std::string path_, blob_;
  sqlite3* base_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  bool open_ = false;
};

/// Rows a second, all of them on the disk at the end.
double rate(Store& store, std::uint64_t rows) {
  const double seconds = seconds_of([&] {
    auto due = Clock::now() + commit_every;
    for (std::uint64_t row = 0; row < rows; ++row) {
      store.put(row);
      if (Clock::now() < due) continue;
      store.commit();
      due = Clock::now() + commit_every;
    }
    store.commit();
  });
  return static_cast<double>(rows) / seconds;
}

/// Milliseconds until one row is on the disk.
double latency_ms(Store& store, std::uint64_t first) {
  std::vector<double> seconds;
  for (std::uint64_t row = first; row < first + 100; ++row)
    seconds.push_back(seconds_of([&] {
      store.put(row);
      store.commit();
    }));
  return 1000 * median(seconds);
}

manifest::Manifest list_of(const std::string& folder, std::uint64_t count) {
  const std::string list = folder + "/bench_journal.txt";
  std::ofstream out(list);
  for (std::uint64_t i = 0; i < count; ++i) out << "/data/images/image_" << i << ".jpg\n";
  out.close();
  manifest::Manifest items = manifest::Manifest::read(list);
  std::filesystem::remove(list);
  return items;
}

struct Figures {
  std::vector<double> rates, latencies;
  void add(Store& store, std::uint64_t rows) {
    rates.push_back(rate(store, rows));
    latencies.push_back(latency_ms(store, rows));
  }
};

void compare(const std::string& folder, std::size_t floats, std::uint64_t rows, int rounds) {
  const manifest::Manifest items = list_of(folder, rows + 100);
  const std::string path = folder + "/bench_journal";
  Figures fixed, ragged, sqlite;
  for (int round = 0; round < rounds; ++round) {
    {
      Ours store(path + ".h5", items, floats, Layout::fixed);
      fixed.add(store, rows);
    }
    {
      Ours store(path + ".h5", items, floats, Layout::ragged);
      ragged.add(store, rows);
    }
    {
      Sqlite store(path + ".db", floats * sizeof(float));
      sqlite.add(store, rows);
    }
  }
  const double theirs = median(sqlite.rates);
  fmt::print("{} rows of {} bytes, group commits every 100 ms (medians of {})\n", rows, floats * sizeof(float), rounds);
  fmt::print(
      "  fixed column:  ours {:>9.0f} rows/s, SQLite {:>9.0f} rows/s, ratio {:5.1f}; a row alone {:.2f} ms and {:.2f} ms\n",
      median(fixed.rates), theirs, median(fixed.rates) / theirs, median(fixed.latencies), median(sqlite.latencies));
  fmt::print(
      "  ragged column: ours {:>9.0f} rows/s, SQLite {:>9.0f} rows/s, ratio {:5.1f}; a row alone {:.2f} ms and {:.2f} ms\n",
      median(ragged.rates), theirs, median(ragged.rates) / theirs, median(ragged.latencies), median(sqlite.latencies));
}

} // namespace

int main(int argc, char** argv) {
  std::string folder = std::filesystem::temp_directory_path();
  int rounds = 5;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--rounds" && i + 1 < argc)
      rounds = std::max(1, std::atoi(argv[++i]));
    else
      folder = argv[i];
  }
  try {
    compare(folder, 1024, 32768, rounds);
    compare(folder, 0, 300000, rounds);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
