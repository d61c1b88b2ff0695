/* Preloaded into a run's processes: file calls that fail or take long.
 *
 * FAULT_RANK     whose processes (OMPI_COMM_WORLD_RANK)
 * FAULT_PROGRAM  "agent" or "worker"
 * FAULT_PART     paths that hold this; descriptors opened from them, too
 * FAULT_AT       the first call that is hit, counted from 1
 * FAULT_CALLS    how many calls in a row; 0: all from there on
 * FAULT_ERRNO    what they fail with; 0: they only take long
 * FAULT_SECONDS  how long they take
 * FAULT_ONLY     "locks": only flock and fcntl's locks are counted; "opens": only calls with a path
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { PATH, DATA, LOCK };

static int on = -1, at, calls, number, seconds, only_locks, only_opens;
static const char* part;
static atomic_int seen;

static int setting(const char* name) {
  const char* text = getenv(name);
  return text ? atoi(text) : 0;
}

static int switched_on(void) {
  if (on >= 0) return on;
  const char *rank = getenv("FAULT_RANK"), *own = getenv("OMPI_COMM_WORLD_RANK"), *program = getenv("FAULT_PROGRAM"), *only = getenv("FAULT_ONLY");
  part = getenv("FAULT_PART");
  at = setting("FAULT_AT"), calls = setting("FAULT_CALLS"), number = setting("FAULT_ERRNO"), seconds = setting("FAULT_SECONDS");
  only_locks = only && strcmp(only, "locks") == 0;
  only_opens = only && strcmp(only, "opens") == 0;
  char name[64] = "";
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/comm", O_RDONLY, 0);
  if (fd >= 0) {
    if (syscall(SYS_read, fd, name, sizeof name - 1) < 0) name[0] = 0;
    syscall(SYS_close, fd);
  }
  const char* wanted = program && strcmp(program, "worker") == 0 ? "mgpu_worker" : "mgpu_run";
  return on = part && rank && own && strcmp(rank, own) == 0 && strncmp(name, wanted, strlen(wanted)) == 0;
}

/* Whether this call fails, with errno set. */
static int hit(enum kind kind) {
  if ((only_locks && kind != LOCK) || (only_opens && kind != PATH)) return 0;
  const int call = atomic_fetch_add(&seen, 1) + 1;
  if (call < at || (calls > 0 && call >= at + calls)) return 0;
  if (seconds) sleep((unsigned)seconds);
  errno = number;
  return number != 0;
}
static int path_is_hit(const char* path) {
  return switched_on() && path && strstr(path, part) && hit(PATH);
}
static int fd_is_hit(int fd, enum kind kind) {
  if (!switched_on()) return 0;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = 0;
  return strstr(path, part) && hit(kind);
}

#define REAL(result, name, ...)                                     \
  static result (*real)(__VA_ARGS__);                               \
  if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int opened(int folder, const char* path, int flags, mode_t mode) {
  if (path_is_hit(path)) return -1;
  return (int)syscall(SYS_openat, folder, path, flags, mode);
}
#define MODE                           \
  mode_t mode = 0;                     \
  if (flags & (O_CREAT | O_TMPFILE)) { \
    va_list list;                      \
    va_start(list, flags);             \
    mode = va_arg(list, mode_t);       \
    va_end(list);                      \
  }
int open(const char* path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char* path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char* path, int flags, ...) { MODE return opened(folder, path, flags, mode); }
int openat64(int folder, const char* path, int flags, ...) { MODE return opened(folder, path, flags, mode); }

ssize_t pwrite(int fd, const void* from, size_t size, off_t place) {
  REAL(ssize_t, pwrite, int, const void*, size_t, off_t);
  return fd_is_hit(fd, DATA) ? -1 : real(fd, from, size, place);
}
ssize_t pwrite64(int fd, const void* from, size_t size, off64_t place) {
  REAL(ssize_t, pwrite64, int, const void*, size_t, off64_t);
  return fd_is_hit(fd, DATA) ? -1 : real(fd, from, size, place);
}
ssize_t pwritev(int fd, const struct iovec* parts, int count, off_t place) {
  REAL(ssize_t, pwritev, int, const struct iovec*, int, off_t);
  return fd_is_hit(fd, DATA) ? -1 : real(fd, parts, count, place);
}
ssize_t pwritev64(int fd, const struct iovec* parts, int count, off64_t place) {
  REAL(ssize_t, pwritev64, int, const struct iovec*, int, off64_t);
  return fd_is_hit(fd, DATA) ? -1 : real(fd, parts, count, place);
}
ssize_t pread(int fd, void* to, size_t size, off_t place) {
  REAL(ssize_t, pread, int, void*, size_t, off_t);
  return fd_is_hit(fd, DATA) ? -1 : real(fd, to, size, place);
}
ssize_t pread64(int fd, void* to, size_t size, off64_t place) {
  REAL(ssize_t, pread64, int, void*, size_t, off64_t);
  return fd_is_hit(fd, DATA) ? -1 : real(fd, to, size, place);
}
ssize_t write(int fd, const void* from, size_t size) {
  REAL(ssize_t, write, int, const void*, size_t);
  return fd_is_hit(fd, DATA) ? -1 : real(fd, from, size);
}
int fsync(int fd) {
  REAL(int, fsync, int);
  return fd_is_hit(fd, DATA) ? -1 : real(fd);
}
int fdatasync(int fd) {
  REAL(int, fdatasync, int);
  return fd_is_hit(fd, DATA) ? -1 : real(fd);
}
int ftruncate(int fd, off_t size) {
  REAL(int, ftruncate, int, off_t);
  return fd_is_hit(fd, DATA) ? -1 : real(fd, size);
}
int ftruncate64(int fd, off64_t size) {
  REAL(int, ftruncate64, int, off64_t);
  return fd_is_hit(fd, DATA) ? -1 : real(fd, size);
}
int rename(const char* from, const char* to) {
  REAL(int, rename, const char*, const char*);
  return path_is_hit(from) ? -1 : real(from, to);
}
int unlink(const char* path) {
  REAL(int, unlink, const char*);
  return path_is_hit(path) ? -1 : real(path);
}
int flock(int fd, int how) {
  REAL(int, flock, int, int);
  return fd_is_hit(fd, LOCK) ? -1 : real(fd, how);
}
static int controlled(int (*real)(int, int, ...), int fd, int what, void* more) {
  const int lock = what == F_SETLK || what == F_SETLKW || what == F_OFD_SETLK || what == F_OFD_SETLKW;
  return lock && fd_is_hit(fd, LOCK) ? -1 : real(fd, what, more);
}
int fcntl(int fd, int what, ...) {
  REAL(int, fcntl, int, int, ...);
  va_list list;
  va_start(list, what);
  void* more = va_arg(list, void*);
  va_end(list);
  return controlled(real, fd, what, more);
}
int fcntl64(int fd, int what, ...) {
  REAL(int, fcntl64, int, int, ...);
  va_list list;
  va_start(list, what);
  void* more = va_arg(list, void*);
  va_end(list);
  return controlled(real, fd, what, more);
}
