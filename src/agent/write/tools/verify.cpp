// Checks that a result file still contains what the workers sent.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <ostream>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/journal/identity.hpp"
#include "agent/write/journal/row_block.hpp"
#include "agent/write/tools/list_hash.hpp"
#include "agent/write/tools/row_check.hpp"
#include "agent/write/tools/tools.hpp"
#include "common/support/text.hpp"

namespace mgpu::agent::write {

namespace {

constexpr std::uint64_t list_rows = 16384; // read at once
constexpr std::size_t most_shown = 20;

class Check {
 public:
  Check(const ReadFile& file, std::ostream& out) : file_(file), out_(out), columns_(file.columns()) {
    if (!file.has_item_dataset("crc32c"))
      throw usage_error(
          fmt::format("{}: holds no checksums; an earlier version of mgpu_run wrote it", manifest::shown(file.path())));
  }

  bool run() {
    const std::uint64_t block = rows_a_block(columns_);
    for (std::uint64_t first = 0; first < file_.size(); first += block) check(first, std::min(block, file_.size() - first));
    check_list();
    if (file_.complete() && counts_[0] > 0) complain(fmt::format("it is complete, but {} items have no result", counts_[0]));
    say();
    return wrong_rows_ == 0 && complaints_ == 0;
  }

 private:
  void complain(const std::string& text) {
    if (++complaints_ <= most_shown) out_ << "  wrong: " << text << '\n';
  }

  void wrong_row(std::uint64_t row, const std::string& why) {
    if (++wrong_rows_ > most_shown) return;
    std::string path = "?";
    try {
      path = manifest::shown(file_.item_text("path").value().read(row, 1).at(0));
    } catch (const std::exception&) { // the path is damaged, too
    }
    out_ << fmt::format("  wrong: row {} ({}): {}\n", row, path, why);
  }

  /// Blocks that cannot be read are divided to find the bad rows.
  void check(std::uint64_t first, std::uint64_t count) {
    std::optional<RowBlock> rows;
    try {
      rows.emplace(file_, columns_, first, count);
    } catch (const std::exception& error) {
      if (count == 1) return wrong_row(first, fmt::format("it cannot be read: {}", printable(error.what())));
      check(first, count / 2);
      return check(first + count / 2, count - count / 2);
    }
    compare(*rows);
  }

  void compare(const RowBlock& rows) {
    const wire::BatchResult& result = rows.result();
    for (std::size_t row = 0; row < result.rows(); ++row) {
      const std::uint64_t item = result.first + row;
      const std::string wrong = wrong_in_row(rows, columns_, row, file_.complete(), [&] { return reason_of(item); });
      if (result.status[row] <= static_cast<std::uint8_t>(Status::failed)) ++counts_[result.status[row]];
      if (!wrong.empty()) wrong_row(item, wrong);
    }
  }

  std::string reason_of(std::uint64_t item) const {
    const auto errors = file_.item_text("error");
    return errors ? errors->read(item, 1).at(0) : "";
  }

  /// Compares paths and columns of the manifest with the hash in the run's identity.
  void check_list() {
    Identity identity;
    try {
      identity = Identity::parse(file_.text("identity"));
    } catch (const nlohmann::json::exception&) {
      list_ = "the list of items is not compared: the file keeps no hash of it";
      return;
    }
    try {
      list_ = compare_list(identity);
    } catch (const Error& error) {
      complain(fmt::format("the list of items cannot be read: {}", printable(error.what())));
    }
  }

  std::string compare_list(const Identity& identity) {
    ListHash hash(file_.manifest_columns());
    ListReader list(file_, hash.columns());
    for (std::uint64_t first = 0; first < file_.size(); first += list_rows)
      hash.add(list.read(first, std::min(list_rows, file_.size() - first)));
    if (file_.size() == identity.items && hash.hex() == identity.manifest_sha256)
      return "the list of items is the one the run began with";
    if (hash.replaced_nul()) return "the list of items is not compared: it had NULs, which HDF5 texts cannot hold";
    complain("the list of items (/items/path and columns of --input) is not the one the run began with");
    return {};
  }

  void say() {
    const std::string name = manifest::shown(file_.path());
    const std::uint64_t wrong = wrong_rows_ + complaints_;
    if (wrong > most_shown) out_ << fmt::format("  … and {} more\n", wrong - most_shown);
    out_ << fmt::format("{}: {} rows: {} ok, {} failed, {} pending\n", name, file_.size(), counts_[1], counts_[2], counts_[0]);
    if (!list_.empty()) out_ << "  " << list_ << '\n';
    if (wrong == 0)
      out_ << "  every row is what its worker sent (CRC-32C)\n";
    else
      out_ << fmt::format("  {} row(s) wrong; the run's command with --retry-failed --verify does them again\n", wrong_rows_);
  }

  const ReadFile& file_;
  std::ostream& out_;
  const std::vector<ColumnSpec>& columns_;
  std::uint64_t counts_[3] = {}; ///< by Status
  std::uint64_t wrong_rows_ = 0, complaints_ = 0;
  std::string list_;
};

} // namespace

bool verify(const std::string& path, std::ostream& out) {
  const ReadFile file(path);
  return Check(file, out).run();
}

} // namespace mgpu::agent::write
