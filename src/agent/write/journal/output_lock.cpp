#include "agent/write/journal/output_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <thread>

#include "agent/manifest/text.hpp"
#include "agent/write/hdf5/raw_file.hpp"

namespace mgpu::agent::write {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::string_view mark = "mgpu_run-lock-1";
constexpr auto poll_every = std::chrono::milliseconds(100);

/// The content of the file, one line.
struct Holder {
  std::string way = "flock", host, token;
  std::int64_t pid = 0;
  std::uint64_t beat = 0;
  bool released = false;
};

std::string line_of(const Holder& holder) {
  return fmt::format("{} {} {} {} {} {} {}\n", mark, holder.way, holder.host, holder.pid, holder.token, holder.beat,
                     holder.released ? "released" : "held");
}

std::optional<Holder> parse(const std::string& text) {
  std::istringstream in(text);
  std::string first, state;
  Holder holder;
  in >> first >> holder.way >> holder.host >> holder.pid >> holder.token >> holder.beat >> state;
  if (!in || first != mark) return std::nullopt;
  holder.released = state == "released";
  return holder;
}

std::string read_text(int fd) {
  std::array<char, 1024> bytes;
  const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), 0);
  return got > 0 ? std::string(bytes.data(), static_cast<std::size_t>(got)) : std::string();
}

/// Opens the file again, so that a network file system shows what other hosts have written.
std::string read_text(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return {};
  const std::string text = read_text(fd);
  ::close(fd);
  return text;
}

/// Returns errno, or 0.
int write_line(int fd, const Holder& holder) {
  const std::string line = line_of(holder);
  if (::pwrite(fd, line.data(), line.size(), 0) != static_cast<ssize_t>(line.size())) return errno != 0 ? errno : EIO;
  if (::ftruncate(fd, static_cast<off_t>(line.size())) != 0 || ::fdatasync(fd) != 0) return errno;
  return 0;
}

Holder myself(std::string_view way) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  std::random_device random;
  Holder holder;
  holder.way = way;
  holder.host = host[0] != 0 ? host.data() : "unknown";
  holder.token = fmt::format("{:08x}{:08x}", random(), random());
  holder.pid = ::getpid();
  return holder;
}

enum class Answer : std::uint8_t { mine, other, no_locks };

Answer try_flock(int fd) {
  int result;
  do result = ::flock(fd, LOCK_EX | LOCK_NB);
  while (result != 0 && errno == EINTR);
  return result == 0 ? Answer::mine : errno == EWOULDBLOCK ? Answer::other : Answer::no_locks;
}

Answer try_fcntl(int fd) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  int result;
  do result = ::fcntl(fd, F_OFD_SETLK, &whole);
  while (result != 0 && errno == EINTR);
  return result == 0 ? Answer::mine : errno == EAGAIN || errno == EACCES ? Answer::other : Answer::no_locks;
}

std::string who(const std::string& text) {
  const std::optional<Holder> holder = parse(text);
  return holder && !holder->released ? fmt::format(" (process {} on {})", holder->pid, manifest::shown(holder->host)) : "";
}

/// Whether the recorded holder still beats; observes the file for `silence`.
bool is_alive(const std::string& path, const Holder& holder, std::chrono::milliseconds silence) {
  const auto end = Clock::now() + silence;
  while (Clock::now() < end) {
    std::this_thread::sleep_for(std::min<std::chrono::milliseconds>(silence / 10, poll_every));
    const std::optional<Holder> now = parse(read_text(path));
    if (now && now->released) return false;
    if (!now || now->token != holder.token || now->beat != holder.beat) return true;
  }
  return false;
}

} // namespace

/// Shared with the beating thread, which a stalled file system may delay beyond the lifetime of the lock.
struct OutputLock::Beating {
  std::mutex mutex;
  std::condition_variable changed;
  bool stop = false, ended = false, lost = false; ///< guarded by mutex, as is the next
  Clock::time_point confirmed = Clock::now();     ///< when this process was last seen to be the holder
  Holder self;
  std::string path;
  int fd = -1; ///< owned and closed by the thread
  Options options;

  void run();
};

void OutputLock::Beating::run() {
  std::unique_lock lock(mutex);
  while (!changed.wait_for(lock, options.beat, [this] { return stop; })) {
    lock.unlock();
    const auto now = Clock::now();
    const std::optional<Holder> holder = parse(read_text(path));
    const bool other = holder && holder->token != self.token;
    ++self.beat;
    const bool written = !other && holder && write_line(fd, self) == 0;
    lock.lock();
    if (written) confirmed = now;
    if (!other) continue;
    lost = true;
    break;
  }
  if (!lost) {
    lock.unlock();
    self.released = true;
    const std::optional<Holder> holder = parse(read_text(path));
    if (holder && holder->token == self.token) write_line(fd, self);
    lock.lock();
  }
  ::close(fd);
  ended = true;
  changed.notify_all();
}

OutputLock::OutputLock(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

OutputLock::~OutputLock() {
  if (beating_) {
    constexpr auto last_word = std::chrono::seconds(2);
    std::unique_lock lock(beating_->mutex);
    beating_->stop = true;
    beating_->changed.notify_all();
    beating_->changed.wait_for(lock, last_word, [this] { return beating_->ended; });
  } else if (mine_) {
    Holder holder = parse(read_text(fd_)).value_or(Holder{});
    holder.released = true;
    if (!holder.token.empty()) write_line(fd_, holder);
  }
  ::close(fd_);
}

std::shared_ptr<OutputLock> OutputLock::take(const std::string& path, const std::string& shown, std::chrono::milliseconds limit,
                                             Options options) {
  const auto end = Clock::now() + limit;
  const auto refuse = [&](const std::string& why) { throw usage_error(fmt::format("{}: {}", shown, why)); };
  for (;;) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (fd < 0)
      refuse(fmt::format("cannot be written: {}: {}", manifest::shown(path),
                         errno == ELOOP ? "is a symbolic link" : std::strerror(errno)));
    const std::shared_ptr<OutputLock> lock(new OutputLock(path, fd));
    if (::fstat(fd, &lock->facts_) != 0 || !S_ISREG(lock->facts_.st_mode) || lock->facts_.st_nlink > 1)
      refuse(fmt::format("{} is not a lock file; move it away", manifest::shown(path)));
    const std::string text = read_text(fd);
    // A file truncated by a full disk or a power cut is a prefix of ours or has zeros.
    const bool ours = text.empty() || text.front() == 0 || text.starts_with(mark.substr(0, std::min(mark.size(), text.size())));
    if (!ours) refuse(fmt::format("{} is not a lock file of mgpu_run; move it away", manifest::shown(path)));
    if (lock->acquire(options)) return lock;
    if (Clock::now() >= end)
      refuse(fmt::format("another run is writing it now{}; wait for it or choose another name", who(text)));
    std::this_thread::sleep_for(poll_every);
  }
}

bool OutputLock::acquire(const Options& options) {
  Answer answer = options.flock ? try_flock(fd_) : Answer::no_locks;
  if (answer == Answer::no_locks) {
    way_ = Way::fcntl;
    answer = options.fcntl ? try_fcntl(fd_) : Answer::no_locks;
  }
  if (answer == Answer::other) return false;
  struct stat now {};
  if (::lstat(path_.c_str(), &now) != 0 || now.st_ino != facts_.st_ino || now.st_dev != facts_.st_dev) return false; // removed
  const std::optional<Holder> holder = parse(read_text(fd_));
  if (answer == Answer::no_locks) {
    way_ = Way::beat;
    if (holder && !holder->released && holder->way != "beat")
      throw usage_error(
          fmt::format("{}: process {} on {} has it, by a lock that this host cannot see; remove that file if the run is gone",
                      manifest::shown(path_), holder->pid, manifest::shown(holder->host)));
  }
  // A host without locks may share the file with a host that has them.
  if (holder && !holder->released && holder->way == "beat" && is_alive(path_, *holder, options.silence)) return false;
  if (way_ == Way::beat) return claim_by_beat(options);
  mine_ = true;
  write_line(fd_, myself(way_ == Way::flock ? "flock" : "fcntl")); // only informs users; the lock does not need it
  return true;
}

/// The last writer within a beat is the holder; the other notices it now or at its next beat.
bool OutputLock::claim_by_beat(const Options& options) {
  const Holder self = myself("beat");
  if (const int failure = write_line(fd_, self); failure != 0) throw file_error(path_, "write", failure, 1024);
  const auto written = Clock::now();
  std::this_thread::sleep_for(options.beat);
  const std::optional<Holder> holder = parse(read_text(path_));
  if (!holder || holder->token != self.token) return false;
  beating_ = std::make_shared<Beating>();
  beating_->self = self;
  beating_->path = path_;
  beating_->options = options;
  beating_->confirmed = written;
  beating_->fd = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (beating_->fd < 0) {
    beating_.reset();
    throw file_error(path_, "fcntl", errno, 0);
  }
  std::thread([beating = beating_] { beating->run(); }).detach();
  mine_ = true;
  return true;
}

void OutputLock::require() const {
  const auto lost = [this](std::string_view why) {
    return Error(fmt::format("{}: {}; this run writes nothing more to the output", manifest::shown(path_), why));
  };
  struct stat now {};
  if (::lstat(path_.c_str(), &now) != 0 || now.st_ino != facts_.st_ino || now.st_dev != facts_.st_dev)
    throw lost("the lock file was removed or replaced while the run went on");
  if (!beating_) return;
  const std::lock_guard lock(beating_->mutex);
  if (beating_->lost) throw lost("another run took the lock");
  if (Clock::now() - beating_->confirmed > beating_->options.silence / 2)
    throw lost("the lock could not be renewed in time, so that another run may have taken it");
}

} // namespace mgpu::agent::write
