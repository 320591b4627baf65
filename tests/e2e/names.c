/* A machine whose DNS does not answer: only addresses can be resolved. With NAMES_HANG it takes its
   time; with NAMES every name has these two addresses, which a space separates. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    static resolver *real;
    if (!real) real = (resolver *)dlsym(RTLD_NEXT, "getaddrinfo");
    struct addrinfo only = {.ai_flags = 0};
    if (hints) only = *hints;
    only.ai_flags |= AI_NUMERICHOST;
    if (!real(node, service, &only, found)) return 0;
    if (getenv("NAMES_HANG")) sleep(60);
    const char *names = getenv("NAMES");
    char one[64], other[64];
    if (!names || sscanf(names, "%63s %63s", one, other) != 2) return EAI_AGAIN;
    struct addrinfo *rest;
    if (real(one, service, &only, found) || real(other, service, &only, &rest)) return EAI_AGAIN;
    struct addrinfo *last = *found;
    while (last->ai_next) last = last->ai_next;
    last->ai_next = rest;
    return 0;
}
