#include "common/support/inherited.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace mgpu {

void mend_inherited_state() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (fcntl(stream, F_GETFD) != -1 || errno != EBADF) continue;
    // The lowest free descriptor is taken, and those below `stream` are open.
    if (open("/dev/null", O_RDWR) != stream) _exit(1);
  }
  std::signal(SIGCHLD, SIG_DFL);
  constexpr rlim_t most_files = 65536;
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= std::min(files.rlim_max, most_files)) return;
  files.rlim_cur = std::min(files.rlim_max, most_files);
  setrlimit(RLIMIT_NOFILE, &files);
}

} // namespace mgpu
