/* Records, in order and with its content, each change of a file under a directory, and each sync.

   Preloaded into a program. RECORD_UNDER is the directory, RECORD_LOG the file that the records go
   to: kind, inode, offset or size, length of the path, length of the data, path, data. One call at
   a time is made, so that the order is the true one. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void record(char kind, ino_t inode, off_t offset, const char *path, const void *data,
                   size_t length) {
    const char *under = getenv("RECORD_UNDER"), *log = getenv("RECORD_LOG");
    if (under == NULL || log == NULL || strncmp(path, under, strlen(under)) != 0)
        return;
    struct __attribute__((packed)) {
        uint8_t kind;
        uint64_t inode, offset;
        uint32_t path_length, length;
    } head = {(uint8_t)kind, inode, (uint64_t)offset, (uint32_t)strlen(path), (uint32_t)length};
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    syscall(SYS_write, descriptor, &head, sizeof head);
    syscall(SYS_write, descriptor, path, strlen(path));
    syscall(SYS_write, descriptor, data, length);
    syscall(SYS_close, descriptor);
}

static void record_by_descriptor(char kind, int descriptor, off_t offset, const void *data,
                                 size_t length) {
    char link[64], path[PATH_MAX];
    struct stat file;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t end = readlink(link, path, sizeof path - 1);
    if (end <= 0 || fstat(descriptor, &file) != 0)
        return;
    path[end] = '\0';
    record(kind, file.st_ino, offset, path, data, length);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Makes the call, and records it if it did something. */
#define MAKE(type, call, recording)               \
    pthread_mutex_lock(&one_at_a_time);           \
    type result = call;                           \
    if (result >= 0)                              \
        recording;                                \
    pthread_mutex_unlock(&one_at_a_time);         \
    return result

ssize_t write(int descriptor, const void *data, size_t size) {
    /* Where it stands behind what was written, also for what is appended. */
    MAKE(ssize_t, NEXT(write)(descriptor, data, size),
         record_by_descriptor('w', descriptor, lseek(descriptor, 0, SEEK_CUR) - result, data,
                              (size_t)result));
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    MAKE(ssize_t, NEXT(pwrite)(descriptor, data, size, offset),
         record_by_descriptor('w', descriptor, offset, data, (size_t)result));
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
    MAKE(ssize_t, NEXT(pwrite64)(descriptor, data, size, offset),
         record_by_descriptor('w', descriptor, offset, data, (size_t)result));
}

int ftruncate(int descriptor, off_t size) {
    MAKE(int, NEXT(ftruncate)(descriptor, size),
         record_by_descriptor('t', descriptor, size, "", 0));
}

int ftruncate64(int descriptor, off64_t size) {
    MAKE(int, NEXT(ftruncate64)(descriptor, size),
         record_by_descriptor('t', descriptor, size, "", 0));
}

int fsync(int descriptor) {
    MAKE(int, NEXT(fsync)(descriptor), record_by_descriptor('s', descriptor, 0, "", 0));
}

int fdatasync(int descriptor) {
    MAKE(int, NEXT(fdatasync)(descriptor), record_by_descriptor('s', descriptor, 0, "", 0));
}

int rename(const char *from, const char *to) {
    MAKE(int, NEXT(rename)(from, to), record('r', 0, 0, to, from, strlen(from)));
}

int unlink(const char *path) {
    MAKE(int, NEXT(unlink)(path), record('u', 0, 0, path, "", 0));
}

int mkdir(const char *path, mode_t mode) {
    MAKE(int, NEXT(mkdir)(path, mode), record('m', 0, 0, path, "", 0));
}
