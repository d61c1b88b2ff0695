#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <limits>
#include <ostream>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/ranks.hpp"
#include "agent/write/hdf5/raw_file.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/tools/tools.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent::write {

namespace {

constexpr std::size_t failures_shown = 5;

std::optional<std::time_t> parse_time(const std::string& text) {
  std::tm parts{};
  if (::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr) return std::nullopt;
  return ::timegm(&parts);
}

struct Counts {
  std::uint64_t ok = 0, failed = 0, pending = 0, not_finite = 0;
};

Counts count_items(const ReadFile& file) {
  Counts counts;
  for (const Status status : file.status())
    ++(status == Status::ok ? counts.ok : status == Status::failed ? counts.failed : counts.pending);
  for (const std::uint8_t flags : file.item_numbers<std::uint8_t>("flags", H5T_STD_U8LE, 0, file.size()))
    counts.not_finite += (flags & flag_not_finite) != 0;
  return counts;
}

/// Of which share of a manifest the file is, or of how many it was made.
std::string shards_line(const ReadFile& file) {
  if (const std::string shard = file.text("shard"); !shard.empty()) {
    const std::int64_t first = file.number("first_item"), items = static_cast<std::int64_t>(file.size());
    if (items == 0) return fmt::format("{}: none of the input's {} items", shard, file.number("manifest_items"));
    return fmt::format("{}: items {} to {} of the input's {}", shard, first, first + items - 1, file.number("manifest_items"));
  }
  if (!h5::is_dataset(file.file(), "shards/first_item")) return {};
  const h5::Shape shape = h5::shape_of(h5::open_dataset(file.file(), "shards/first_item"));
  return shape.size() != 1 ? "" : fmt::format("{}, merged (/shards)", shape[0]);
}

void print_run(const ReadFile& file, const Counts& counts, std::ostream& out) {
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) out << fmt::format("{:<10} {}\n", name, printable(value));
  };
  line("file", file.path());
  line("schema", file.text("schema"));
  line("job", file.text("job"));
  line("command", file.text("command"));
  line("version", file.text("version"));
  line("model", file.text("model"));
  line("sha256", file.text("model_sha256"));
  line(file.text("shard").empty() ? "shards" : "shard", shards_line(file));
  line("ranks", std::to_string(file.number("world_size")));
  line("started", file.text("started"));
  line("finished", file.text("finished"));
  line("complete", file.complete() ? "yes" : "no");
  line("items", fmt::format("{}: {} ok, {} failed, {} pending", file.size(), counts.ok, counts.failed, counts.pending));
  if (counts.not_finite > 0) line("flags", fmt::format("{} items with NaN or infinite results", counts.not_finite));
  const auto began = parse_time(file.text("started")), ended = parse_time(file.text("finished"));
  if (began && ended) {
    // Both are whole seconds; the ranks' times are more precise.
    double seconds = 0;
    std::uint64_t items = 0; // of the last run, if it was resumed
    for (const RankRow& rank : read_ranks(file.file())) {
      seconds = std::max(seconds, rank.wall_s);
      items += static_cast<std::uint64_t>(rank.items);
    }
    if (seconds <= 0) {
      seconds = std::max(1.0, std::difftime(*ended, *began));
      items = counts.ok + counts.failed;
    }
    line("speed", fmt::format("{:.4g} items/s over {:.3g} s", static_cast<double>(items) / seconds, seconds));
  }
}

/// A line for each curve of a training; true when the file holds one.
bool print_training(const ReadFile& file, std::ostream& out) {
  if (!h5::exists(file.file(), "training")) return false;
  const h5::Id group = h5::open_group(file.file(), "training");
  const h5::Id number = h5::copy(H5T_NATIVE_DOUBLE);
  out << fmt::format("\n{:<24} {:>8} {:>12} {:>12} {:>12} {:>12}\n", "training", "values", "first", "last", "lowest", "highest");
  for (const std::string& name : h5::names_in(group)) {
    const h5::Id dataset = h5::open_dataset(group, name);
    if (H5Tis_variable_str(h5::type_in(dataset).get()) > 0) continue; // names of classes
    const h5::Shape shape = h5::shape_of(dataset);
    if (shape.size() != 1) continue; // added by a user
    std::vector<double> values(shape[0]);
    if (values.empty()) continue;
    h5::read_rows(dataset, number, 0, values.size(), values.data());
    const double first = values.front(), last = values.back();
    std::erase_if(values, [](double value) { return !std::isfinite(value); });
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const auto known = [&](auto at) { return at == values.end() ? std::numeric_limits<double>::quiet_NaN() : *at; };
    out << fmt::format("  {:<22} {:>8} {:>12.6g} {:>12.6g} {:>12.6g} {:>12.6g}\n", printable(name), shape[0], first, last,
                       known(low), known(high));
  }
  return true;
}

void print_columns(const ReadFile& file, std::ostream& out) {
  out << "\nresults\n";
  for (const ColumnSpec& column : file.columns()) {
    std::string shape = column.layout == Layout::ragged ? "n" : std::to_string(file.size());
    for (const std::uint64_t extent : column.row_shape) shape += fmt::format(", {}", extent);
    const std::string_view type = column.layout == Layout::text ? "string" : name_of(column.type);
    out << fmt::format("  {:<24} {:<8} [{}]{}\n", printable(column.name), type, shape,
                       column.layout == Layout::ragged ? " a row" : "");
  }
  if (file.columns().empty()) out << "  none\n";
  if (const auto names = file.manifest_columns(); !names.empty())
    out << "from the manifest: " << printable(manifest::listed(names)) << '\n';
}

void print_ranks(const ReadFile& file, std::ostream& out) {
  const std::vector<RankRow> ranks = read_ranks(file.file());
  if (ranks.empty()) return;
  out << fmt::format("\n{:>5}  {:<16} {:<24} {:>10} {:>8} {:>10} {:>7} {:>13}\n", "rank", "host", "device", "items", "failed",
                     "items/s", "busy %", "data wait %");
  for (const RankRow& rank : ranks) {
    const double wall_s = std::max(rank.wall_s, 1e-9);
    const auto percent = [&](double seconds) { return rank.wall_s > 0 ? 100 * seconds / wall_s : 0; };
    out << fmt::format("{:>5}  {:<16} {:<24} {:>10} {:>8} {:>10.4g} {:>7.1f} {:>13.1f}\n", rank.rank, printable(rank.host),
                       printable(rank.device), rank.items, rank.failed,
                       rank.wall_s > 0 ? static_cast<double>(rank.items) / wall_s : 0, percent(rank.busy_s),
                       percent(rank.load_wait_s));
  }
}

void print_failures(const ReadFile& file, const Counts& counts, std::ostream& out) {
  if (counts.failed == 0) return;
  const std::vector<Status> status = file.status();
  const auto paths = file.item_text("path"), errors = file.item_text("error");
  const auto reason_of = [&](std::uint64_t item) {
    const std::string reason = errors ? errors->read(item, 1).at(0) : "";
    return reason.empty() ? "(reasons are put in when the run is finished)" : reason;
  };
  out << "\nfirst failures\n";
  std::size_t shown_count = 0;
  for (std::uint64_t item = 0; item < status.size() && shown_count < failures_shown; ++item) {
    if (status[item] != Status::failed) continue;
    ++shown_count;
    out << fmt::format("  {:>8}  {}: {}\n", item, paths ? manifest::shown(paths->read(item, 1).at(0)) : "?",
                       printable(reason_of(item)));
  }
  if (counts.failed > shown_count) out << fmt::format("  … and {} more\n", counts.failed - shown_count);
}

void print_advice(const ReadFile& file, const Counts& counts, std::ostream& out) {
  if (!file.complete())
    out << "\nThis run was not finished; the same command with --resume does what is pending.\n";
  else if (counts.failed > 0)
    out << fmt::format(
        "\nFailed rows hold NaN, 0 or \"\". All reasons: mgpu_run export {} --format csv\n"
        "The run's command with --retry-failed does them again.\n",
        show_path(file.path()));
}

} // namespace

void inspect(const std::string& path, std::ostream& out) {
  const ReadFile file(path);
  const Counts counts = count_items(file);
  print_run(file, counts, out);
  if (!print_training(file, out)) print_columns(file, out);
  print_ranks(file, out);
  print_failures(file, counts, out);
  print_advice(file, counts, out);
}

} // namespace mgpu::agent::write
