// Makes a readable file from the files of a dead run, without changing them.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ostream>
#include <utility>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/read_file.hpp"
#include "agent/write/journal/read_journal.hpp"
#include "agent/write/tools/tools.hpp"
#include "common/support/clock.hpp"

namespace mgpu::agent::write {

namespace {

constexpr std::uint64_t copy_bytes = 1u << 20;

/// Copies a file; holes stay holes.
void copy_sparse(const std::string& from_path, const std::string& to_path) {
  RawFile to(to_path, RawFile::Mode::create);
  const RawFile from(from_path, RawFile::Mode::read);
  const std::uint64_t size = from.size();
  to.set_needed_bytes(size);
  to.resize(size);
  wire::Buffer block;
  for (std::uint64_t at = from.next_data(0); at < size;) {
    const std::uint64_t end = from.next_hole(at);
    for (; at < end; at += block.size()) {
      block.resize(std::min(copy_bytes, end - at));
      from.read_at(at, block.data(), block.size());
      to.write_at(at, wire::View(block));
    }
    at = from.next_data(at);
  }
}

/// The recovered counts as a sentence.
std::string counts(std::uint64_t items, const Earlier& found) {
  std::string text = fmt::format("{} of {} items are done", found.done, items);
  if (found.failed > 0) text += fmt::format(", {} of them failed", found.failed);
  if (found.mistrusted > 0) text += fmt::format("; {} were dropped, their rows are not what the journal says", found.mistrusted);
  if (found.damaged_bytes > 0) text += fmt::format("; {} of the journal are damaged", shown_bytes(found.damaged_bytes));
  return text;
}

} // namespace

Earlier RunningFile::recover(const Footer& footer) {
  const std::string left = std::exchange(places_.partial, places_.recovering);
  remove_old(places_.partial);
  try {
    copy_sparse(left, places_.partial);
    open_partial();
    verify(false);
    items_.write_all(*file_);
    write_all(footer);
  } catch (...) {
    ::unlink(places_.partial.c_str()); // an unusable file must not fill the disk
    throw;
  }
  return earlier();
}

namespace {

/// Removes useless files of a run that was killed in its last steps, or of an interrupted recover. Files of another or a running
/// run are not touched. Returns whether there were any.
bool clear_left(const Places& places, const ReadFile& file) {
  bool any = false;
  if (is_there(places.journal)) {
    Journal journal(places.journal, RawFile::Mode::modify);
    Frame frame;
    std::uint64_t at = 0;
    if (!journal.file().lock() || !journal.find(at, frame)) return false;
    if (journal.name() != h5::text_attribute(file.file(), "run")) return false;
    remove_old(places.journal);
    any = true;
  }
  if (is_there(places.recovering)) {
    remove_old(places.recovering);
    any = true;
  }
  return any;
}

/// Reports on `path`, which exists without a .partial.
void tell_readable(const Places& places, const ReadFile& file, std::ostream& out) {
  std::string_view state = "complete";
  if (!file.complete())
    state = is_there(places.journal) ? "not complete: --resume continues it"
                                     : "not complete; its journal is gone, so it cannot be resumed: --overwrite starts over";
  else if (clear_left(places, file))
    state = "complete; what the run had no time to remove beside it is removed";
  out << fmt::format("{} can be read as it is ({})\n", manifest::shown(places.output), state);
}

/// Why there is nothing to recover, and what to do instead.
std::string why_nothing(const Places& places, bool batches) {
  const auto shown = [](const std::string& path) { return manifest::shown(path); };
  if (!is_there(places.partial) && !is_there(places.journal))
    return "no run left anything beside it; give the --output of one that did";
  if (batches) return fmt::format("{} is gone, and the results with it; --overwrite starts over", shown(places.partial));
  if (!is_there(places.journal))
    return fmt::format("{}, which says what is done, is gone; --overwrite starts over", shown(places.journal));
  return "the run ended before it had any result; the same command with --resume does it";
}

} // namespace

void recover(const std::string& path, std::ostream& out) {
  std::signal(SIGXFSZ, SIG_IGN);
  const std::string name = manifest::shown(path);
  const Places places(path);
  if (!is_there(path) && !is_there(places.partial) && !is_there(places.journal))
    throw usage_error(fmt::format("{}: nothing to recover: {}", name, why_nothing(places, false)));
  const ResultFile::Lock lock = OutputLock::take(OutputLock::path_of(path), fmt::format("output {}", name));
  const bool partial = is_there(places.partial);
  if (is_there(path)) {
    const ReadFile file(path);
    if (partial && file.complete())
      throw usage_error(fmt::format("{} is the complete file of an earlier run; move it away, it would be replaced", name));
    if (!partial) return tell_readable(places, file, out);
  }
  const auto file = read_journal(places, RawFile::Mode::modify, true, {}, lock);
  if (!file || !file->has_batches() || !partial)
    throw usage_error(fmt::format("{}: nothing to recover: {}", name, why_nothing(places, file && file->has_batches())));
  Footer footer;
  footer.complete = false;
  footer.finished = utc_now();
  footer.model_sha256 = file->identity().model_sha256;
  const std::uint64_t items = file->identity().items;
  const Earlier found = file->recover(footer);
  out << fmt::format("{}: {}; complete = 0. What the run left stays as it is: the same command with --resume continues.\n", name,
                     counts(items, found));
}

} // namespace mgpu::agent::write
