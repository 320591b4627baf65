/* A share that does not answer any more: no folder under HANGS is listed within a minute. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

DIR *opendir(const char *path) {
    static DIR *(*real)(const char *);
    if (!real) real = (DIR * (*)(const char *)) dlsym(RTLD_NEXT, "opendir");
    const char *hangs = getenv("HANGS");
    if (hangs && !strncmp(path, hangs, strlen(hangs))) sleep(60);
    return real(path);
}
