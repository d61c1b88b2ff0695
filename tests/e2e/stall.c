/* Preloaded: while the file $STALL_FLAG exists, opening a path that contains $STALL_PATH does not come back, as with a server that is away. $STALL_STILL: for good. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void stall(const char* path) {
  const char *flag = getenv("STALL_FLAG"), *part = getenv("STALL_PATH");
  if (!flag || !part || !path || !strstr(path, part)) return;
  if (getenv("STALL_STILL"))
    for (;;) pause(); /* for good, and without a moment of a processor */
  while (syscall(SYS_faccessat, AT_FDCWD, flag, F_OK) == 0) usleep(20000);
}
static int real_open(int folder, const char* path, int flags, mode_t mode) {
  stall(path);
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
int open(const char* path, int flags, ...) { MODE return real_open(AT_FDCWD, path, flags, mode); }
int open64(const char* path, int flags, ...) { MODE return real_open(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char* path, int flags, ...) { MODE return real_open(folder, path, flags, mode); }
int openat64(int folder, const char* path, int flags, ...) { MODE return real_open(folder, path, flags | O_LARGEFILE, mode); }
