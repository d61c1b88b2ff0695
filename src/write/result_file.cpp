#include "write/result_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "manifest/text.hpp"
#include "write/read_journal.hpp"
#include "write/running_file.hpp"

namespace mgpu::write {

namespace {

/// Whether another run writes the output now; one that is just ending is waited for, at most `limit`.
bool is_running(const std::string& path, std::chrono::seconds limit) {
  struct stat facts {};
  const std::string journal = Journal::path_of(path);
  const auto end = std::chrono::steady_clock::now() + limit;
  while (::lstat(journal.c_str(), &facts) == 0 && S_ISREG(facts.st_mode)) {
    if (RawFile(journal, RawFile::Mode::read).lock()) return false;
    if (std::chrono::steady_clock::now() >= end) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

/// A file size limit shall be an error of the write that meets it, not the end of the process.
void ignore_size_signal() {
  std::signal(SIGXFSZ, SIG_IGN);
}

void refuse_other_run(const std::string& path, const Identity& then, const Identity& now) {
  const std::vector<std::string> lines = differences(then, Identity::parse(now.json()));
  if (lines.empty()) return;
  std::string text = fmt::format("--resume: {} was begun by another run; --overwrite begins anew", manifest::shown(path));
  for (const std::string& line : lines) text += "\n  " + line;
  throw usage_error(text);
}

} // namespace

void ResultFile::check(const std::string& path, Existing existing) {
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
  // A rank 0 whose mpirun was killed needs some seconds to notice.
  if (is_running(path, std::chrono::seconds(existing == Existing::resume ? 30 : 0)))
    throw usage_error(fmt::format("output {}: another run is writing it now; wait for it or choose another name", name));
  if (existing != Existing::refuse) return;
  if (is_there(path))
    throw usage_error(fmt::format("output {}: exists; --resume goes on with it, --overwrite begins anew", name));
  for (const std::string& left : {Places(path).partial, Places(path).journal})
    if (is_there(left))
      throw usage_error(fmt::format("output {}: an unfinished run left {}; --resume goes on with it, --overwrite begins anew",
                                    name, manifest::shown(left)));
}

void ResultFile::discard(const std::string& path) noexcept {
  ::unlink(Places(path).partial.c_str());
  ::unlink(Places(path).journal.c_str());
}

void ResultFile::tidy(const std::string& path) noexcept {
  ::unlink(Places(path).journal.c_str());
  ::unlink(Places(path).recovering.c_str());
}

std::unique_ptr<ResultFile> ResultFile::create(const std::string& path, const manifest::Manifest& manifest,
                                               const Header& header) {
  ignore_size_signal();
  if (is_running(path, std::chrono::seconds(0)))
    throw usage_error(fmt::format("output {}: another run is writing it now", manifest::shown(path)));
  remove_old(Places(path).partial);
  remove_old(Places(path).journal);
  return std::make_unique<RunningFile>(Places(path), manifest, header);
}

std::unique_ptr<ResultFile> ResultFile::resume(const std::string& path, const Header& header, bool verify,
                                               const OnReading& on_reading) {
  ignore_size_signal();
  const Places places(path);
  auto file = read_journal(places, RawFile::Mode::modify, verify, on_reading);
  if (!file) {
    if (is_there(places.output))
      throw usage_error(fmt::format("--resume: {} is not complete and {} is not there to go on with; --overwrite begins anew",
                                    manifest::shown(path), manifest::shown(places.journal)));
    return nullptr;
  }
  if (!file->has_batches()) return nullptr; // nothing is lost by beginning anew
  refuse_other_run(path, file->identity(), *header.identity);
  file->go_on(header);
  return file;
}

} // namespace mgpu::write
