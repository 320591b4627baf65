/* A file system whose locks do not meet, or that another machine serves: locks are granted to all
   who ask while NO_LOCKS is set, exclusive ones of parts of files to nobody while NO_RANGES is, and
   statfs tells the type that FS_TYPE gives. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/vfs.h>

int flock(int fd, int how) {
  static int (*real)(int, int);
  if (!real) real = dlsym(RTLD_NEXT, "flock");
  return getenv("NO_LOCKS") ? 0 : real(fd, how);
}

#define FCNTL(name)                                                       \
  int name(int fd, int command, ...) {                                    \
    static int (*real)(int, int, ...);                                    \
    if (!real) real = dlsym(RTLD_NEXT, #name);                            \
    va_list list;                                                         \
    va_start(list, command);                                              \
    void *argument = va_arg(list, void *);                                \
    va_end(list);                                                         \
    if (getenv("NO_LOCKS") && (command == F_SETLK || command == F_SETLKW || \
                               command == F_OFD_SETLK || command == F_OFD_SETLKW)) \
      return 0;                                                           \
    if (getenv("NO_RANGES") && (command == F_SETLK || command == F_OFD_SETLK) && \
        ((struct flock *)argument)->l_type == F_WRLCK) {                  \
      errno = EAGAIN;                                                     \
      return -1;                                                          \
    }                                                                     \
    return real(fd, command, argument);                                   \
  }
FCNTL(fcntl)
FCNTL(fcntl64)

int statfs(const char *path, struct statfs *told) {
  static int (*real)(const char *, struct statfs *);
  if (!real) real = dlsym(RTLD_NEXT, "statfs");
  int failed = real(path, told);
  const char *type = getenv("FS_TYPE");
  if (!failed && type) told->f_type = strtoul(type, NULL, 0);
  return failed;
}
