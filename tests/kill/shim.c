/* Kills the process at the nth time that it is about to change a file under a directory, or makes
   the disk under that directory a full one.

   Preloaded into the program, it stands before the C library's calls that write, sync, cut, rename
   or remove files. KILL_UNDER is the directory, KILL_AT the number of the call that is not made any
   more: SIGKILL comes first. With KILL_LOG each call is noted there, one line each. As long as the
   file FULL_WHILE is there, no file grows: what is there already can be written anew, as on a real
   disk. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* Fills in the path, which is empty for what is no file. */
static void find_path(int descriptor, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = '\0';
}

static void about_to_by_descriptor(const char *what, int descriptor) {
    char path[PATH_MAX];
    find_path(descriptor, path);
    about_to(what, path);
}

#define WHERE_IT_STANDS -1

/* Whether the disk is full and lacks the room for so many bytes. */
static int lacks_room(int descriptor, off_t offset, size_t size) {
    const char *full = getenv("FULL_WHILE"), *under = getenv("KILL_UNDER");
    char path[PATH_MAX];
    struct stat file;
    if (full == NULL || under == NULL || access(full, F_OK) != 0)
        return 0;
    find_path(descriptor, path);
    if (strncmp(path, under, strlen(under)) != 0 || fstat(descriptor, &file) != 0)
        return 0;
    if (offset == WHERE_IT_STANDS) {
        int appends = fcntl(descriptor, F_GETFL) & O_APPEND;
        offset = appends ? file.st_size : lseek(descriptor, 0, SEEK_CUR);
    }
    errno = ENOSPC;
    return offset + (off_t)size > file.st_size;
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

#define BY_DESCRIPTOR(type, name, parameters, arguments, offset, length)  \
    type name parameters {                                                \
        about_to_by_descriptor(#name, descriptor);                        \
        if (length > 0 && lacks_room(descriptor, offset, length))         \
            return -1;                                                    \
        return NEXT(name) arguments;                                      \
    }

BY_DESCRIPTOR(ssize_t, write, (int descriptor, const void *data, size_t size),
              (descriptor, data, size), WHERE_IT_STANDS, size)
BY_DESCRIPTOR(ssize_t, writev, (int descriptor, const struct iovec *data, int count),
              (descriptor, data, count), WHERE_IT_STANDS, 1)
BY_DESCRIPTOR(ssize_t, pwrite, (int descriptor, const void *data, size_t size, off_t offset),
              (descriptor, data, size, offset), offset, size)
BY_DESCRIPTOR(ssize_t, pwrite64, (int descriptor, const void *data, size_t size, off64_t offset),
              (descriptor, data, size, offset), offset, size)
BY_DESCRIPTOR(int, fsync, (int descriptor), (descriptor), 0, 0)
BY_DESCRIPTOR(int, fdatasync, (int descriptor), (descriptor), 0, 0)
BY_DESCRIPTOR(int, ftruncate, (int descriptor, off_t size), (descriptor, size), 0, size)
BY_DESCRIPTOR(int, ftruncate64, (int descriptor, off64_t size), (descriptor, size), 0, size)

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
