/* A machine whose DNS does not answer: only addresses can be resolved. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stddef.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real) real = dlsym(RTLD_NEXT, "getaddrinfo");
    struct addrinfo only = {.ai_flags = AI_NUMERICHOST};
    if (hints) {
        only = *hints;
        only.ai_flags |= AI_NUMERICHOST;
    }
    int failed = real(node, service, &only, found);
    return failed ? EAI_AGAIN : 0;
}
