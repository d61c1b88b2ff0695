#include "agent/write/hdf5/result_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/running_file.hpp"
#include "agent/write/journal/read_journal.hpp"

namespace mgpu::agent::write {

namespace {

/// A file size limit must cause an error of the write, not end the process.
void ignore_size_signal() {
  std::signal(SIGXFSZ, SIG_IGN);
}

enum class Left : std::uint8_t { nothing_done, results, unknown };

/// What an earlier run left, according to its journal.
Left look_at(const Places& places) {
  struct stat facts {};
  if (::lstat(places.journal.c_str(), &facts) != 0) return is_there(places.partial) ? Left::unknown : Left::nothing_done;
  if (!S_ISREG(facts.st_mode)) return Left::nothing_done; // a link does not belong to a run
  Journal journal(places.journal, RawFile::Mode::read);
  Frame frame;
  bool begun = false;
  for (std::uint64_t at = 0; journal.find(at, frame); begun = true)
    if (frame.kind() == FrameKind::batch) return Left::results;
  return begun && journal.damaged_bytes() == 0 ? Left::nothing_done : Left::unknown;
}

void move_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) throw file_error(from, "rename", errno, 0);
}

/// Moves or removes old files for a new run. A run that has or may have results keeps them under another name until the new run
/// is complete, because the new one may fail when its model is opened. Returns that name.
std::string set_aside(const Places& places, bool resumable) {
  const Left left = look_at(places);
  // A run that was stopped in an orderly way has its rows in the output itself, which is kept until the new one is complete.
  const bool rows = is_there(places.partial) || (left == Left::results && is_there(places.output));
  const bool worth = rows && (left == Left::results || (left == Left::unknown && resumable));
  if (worth && (left == Left::results || !is_there(places.old_partial()))) {
    remove_old(places.old_partial());
    // The rows first: a journal without rows is refused, and so are rows without a journal.
    move_file(places.partial, places.old_partial());
    remove_old(places.old_journal());
    move_file(places.journal, places.old_journal());
    sync_folder_of(places.output);
    return is_there(places.old_partial()) ? places.old_partial() : places.old_journal();
  }
  if (worth)
    throw usage_error(fmt::format("{} may hold results, and {} is there already; move one of them away",
                                  manifest::shown(places.partial), manifest::shown(places.old_partial())));
  remove_old(places.partial);
  remove_old(places.journal);
  return {};
}

void refuse_other_run(const std::string& path, const Identity& then, const Identity& now) {
  const std::vector<std::string> lines = differences(then, Identity::parse(now.json()));
  if (lines.empty()) return;
  std::string text = fmt::format("--resume: {} was begun by another run; --overwrite starts over", manifest::shown(path));
  for (const std::string& line : lines) text += "\n  " + line;
  throw usage_error(text);
}

Identity identity_in(const std::string& path, const std::string& kept) {
  try {
    return Identity::parse(kept);
  } catch (const nlohmann::json::exception&) {
    throw usage_error(
        fmt::format("--resume: {} is complete, but does not say of which run: another version of mgpu_run wrote it; without "
                    "--resume another name is needed, --overwrite starts over",
                    manifest::shown(path)));
  }
}

} // namespace

ResultFile::Lock take_lock(const std::string& path, std::chrono::seconds limit) {
  const std::string shown = fmt::format("output {}", manifest::shown(path));
  const ResultFile::Lock lock = OutputLock::take(OutputLock::path_of(path), shown, limit);
  // Versions without OUTPUT.lock lock the journal itself.
  struct stat facts {};
  const std::string journal = Journal::path_of(path);
  if (::lstat(journal.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) && !RawFile(journal, RawFile::Mode::modify).lock())
    throw usage_error(shown + ": another run is writing it now; wait for it or choose another name");
  return lock;
}

bool nothing_begun(const Places& places) {
  return look_at(places) == Left::nothing_done;
}

void ResultFile::require_same_run_exactly(const std::string& path, const std::string& kept, const Identity& now) {
  refuse_other_run(path, identity_in(path, kept), now);
}

void ResultFile::require_same_run(const std::string& path, const std::string& kept, Identity now) {
  const Identity then = identity_in(path, kept);
  // The device and version of a complete file do not matter for this request.
  now.device_kind = then.device_kind;
  now.version = then.version;
  if (now.batch_size == 0) now.batch_size = then.batch_size; // auto
  refuse_other_run(path, then, now);
}

ResultFile::Lock ResultFile::check(const std::string& path, Existing existing) {
  const std::string name = manifest::shown(path);
  if (path.empty() || path.ends_with('/')) throw usage_error("output " + name + ": not a file name; give one like out.h5");
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  struct stat facts {};
  if (::stat(folder.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode))
    throw usage_error(fmt::format("output {}: there is no folder {}; make it first", name, manifest::shown(folder)));
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    throw usage_error(
        fmt::format("output {}: the folder {} is not writable: {}", name, manifest::shown(folder), std::strerror(errno)));
  if (::lstat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode))
    throw usage_error(fmt::format("output {}: is a folder; give a file name like out.h5 in it", name));
  // A rank 0 whose mpirun was killed takes some seconds to end.
  const auto lock = [&] { return take_lock(path, std::chrono::seconds(existing == Existing::resume ? 30 : 0)); };
  if (existing != Existing::refuse) return lock();
  const auto refuse_existing = [&] {
    if (is_there(path)) throw usage_error(fmt::format("output {}: exists; --resume continues it, --overwrite starts over", name));
    for (const std::string& left : {Places(path).partial, Places(path).journal})
      if (is_there(left))
        throw usage_error(fmt::format("output {}: an unfinished run left {}; --resume continues it, --overwrite starts over",
                                      name, manifest::shown(left)));
  };
  // A running run is reported as such. Without one, a refusal must not leave a lock file.
  if (!is_there(OutputLock::path_of(path))) refuse_existing();
  Lock taken = lock();
  refuse_existing();
  return taken;
}

void ResultFile::discard(const std::string& path) noexcept {
  const Places places(path);
  ::unlink(places.partial.c_str());
  ::unlink(places.journal.c_str());
  if (!is_there(places.old_partial()) && !is_there(places.old_journal())) return;
  ::rename(places.old_journal().c_str(), places.journal.c_str());
  ::rename(places.old_partial().c_str(), places.partial.c_str());
}

void ResultFile::tidy(const std::string& path) noexcept {
  ::unlink(Places(path).journal.c_str());
  ::unlink(Places(path).recovering.c_str());
  ::unlink(Places(path).merging.c_str());
}

std::unique_ptr<ResultFile> ResultFile::create(const std::string& path, const manifest::Manifest& manifest, const Header& header,
                                               Lock lock) {
  ignore_size_signal();
  if (!lock) lock = take_lock(path, std::chrono::seconds(0));
  std::string old = set_aside(Places(path), header.identity && header.by_items);
  auto file = std::make_unique<RunningFile>(Places(path), manifest, header, std::move(lock));
  file->say_set_aside(std::move(old));
  return file;
}

std::unique_ptr<ResultFile> ResultFile::resume(const std::string& path, const Header& header, bool verify,
                                               const OnReading& on_reading, Lock lock) {
  ignore_size_signal();
  if (!lock) lock = take_lock(path, std::chrono::seconds(0));
  const Places places(path);
  auto file = read_journal(places, RawFile::Mode::modify, verify, on_reading, std::move(lock));
  if (!file) {
    if (is_there(places.output))
      throw usage_error(fmt::format("--resume: {} is not complete and {} is not there to be resumed; --overwrite starts over",
                                    manifest::shown(path), manifest::shown(places.journal)));
    if (is_there(places.partial) && !is_there(places.journal))
      throw usage_error(fmt::format(
          "--resume: {} is there, but {}, which says what is done, is gone; --overwrite starts over and keeps it as {}",
          manifest::shown(places.partial), manifest::shown(places.journal), manifest::shown(places.old_partial())));
    return nullptr;
  }
  if (!file->has_batches()) return nullptr; // a new start loses nothing
  refuse_other_run(path, file->identity(), *header.identity);
  file->go_on(header);
  return file;
}

} // namespace mgpu::agent::write
