/* Kills the process at the nth time that it is about to change a file under a directory.

   Preloaded into the program, it stands before the C library's calls that write, sync, cut, rename
   or remove files. KILL_UNDER is the directory, KILL_AT the number of the call that is not made any
   more: SIGKILL comes first. With KILL_LOG each call is noted there, one line each. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;

static void about_to(const char *what, const char *path) {
    const char *under = getenv("KILL_UNDER");
    if (under == NULL || strncmp(path, under, strlen(under)) != 0)
        return;
    long number = atomic_fetch_add(&calls, 1) + 1;
    const char *log = getenv("KILL_LOG");
    if (log != NULL) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%s %s\n", what, path + strlen(under));
        int descriptor = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        syscall(SYS_write, descriptor, line, (size_t)length);
        syscall(SYS_close, descriptor);
    }
    const char *at = getenv("KILL_AT");
    if (at != NULL && number >= atol(at))
        kill(getpid(), SIGKILL);
}

static void about_to_by_descriptor(const char *what, int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    about_to(what, path);
}

static void about_to_at(const char *what, int folder, const char *name) {
    char path[PATH_MAX], link[64];
    if (name[0] == '/') {
        about_to(what, name);
        return;
    }
    snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return;
    snprintf(path + length, sizeof path - (size_t)length, "/%s", name);
    about_to(what, path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define BY_DESCRIPTOR(type, name, parameters, arguments)  \
    type name parameters {                                \
        about_to_by_descriptor(#name, descriptor);        \
        return NEXT(name) arguments;                      \
    }

BY_DESCRIPTOR(ssize_t, write, (int descriptor, const void *data, size_t size),
              (descriptor, data, size))
BY_DESCRIPTOR(ssize_t, writev, (int descriptor, const struct iovec *data, int count),
              (descriptor, data, count))
BY_DESCRIPTOR(ssize_t, pwrite, (int descriptor, const void *data, size_t size, off_t offset),
              (descriptor, data, size, offset))
BY_DESCRIPTOR(ssize_t, pwrite64, (int descriptor, const void *data, size_t size, off64_t offset),
              (descriptor, data, size, offset))
BY_DESCRIPTOR(int, fsync, (int descriptor), (descriptor))
BY_DESCRIPTOR(int, fdatasync, (int descriptor), (descriptor))
BY_DESCRIPTOR(int, ftruncate, (int descriptor, off_t size), (descriptor, size))
BY_DESCRIPTOR(int, ftruncate64, (int descriptor, off64_t size), (descriptor, size))

int rename(const char *from, const char *to) {
    about_to_at("rename", AT_FDCWD, to);
    return NEXT(rename)(from, to);
}

int renameat(int from_folder, const char *from, int folder, const char *to) {
    about_to_at("renameat", folder, to);
    return NEXT(renameat)(from_folder, from, folder, to);
}

int unlink(const char *path) {
    about_to_at("unlink", AT_FDCWD, path);
    return NEXT(unlink)(path);
}

int unlinkat(int folder, const char *path, int flags) {
    about_to_at("unlinkat", folder, path);
    return NEXT(unlinkat)(folder, path, flags);
}
