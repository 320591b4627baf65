// What both sinks share: TLS connections, a thread for each, read through a buffer, and counters.
//
// A sink is started with ADDRESS CERTIFICATE KEY (PEM). It prints "listening PORT", then for each
// line on stdin a line "UPLOADS BYTES" of what came so far, and ends with its stdin.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, TLS_BUFFER = 512 * 1024, BACKLOG = 512 };

struct connection {
    SSL *tls;
    size_t start, end;
    unsigned char buffer[BUFFER];
};

static atomic_ulong uploads, bytes;

// The sink's protocol; returns when the peer has nothing more to say.
static void serve(struct connection *peer);
// What TLS agrees on; called for each connection that offers protocols.
static int choose_protocol(SSL *tls, const unsigned char **chosen, unsigned char *length,
                           const unsigned char *offered, unsigned offered_length, void *unused);

// Empty the buffer and read what there is; 0 at the end.
static int fill(struct connection *peer) {
    int got = SSL_read(peer->tls, peer->buffer, BUFFER);
    peer->start = 0;
    peer->end = got > 0 ? got : 0;
    return got > 0;
}

// The next n bytes to `to`, or to nowhere; 0 if the connection ends before.
static int take(struct connection *peer, unsigned char *to, size_t n) {
    while (n) {
        if (peer->start == peer->end && !fill(peer)) return 0;
        size_t there = peer->end - peer->start, now = there < n ? there : n;
        if (to) {
            memcpy(to, peer->buffer + peer->start, now);
            to += now;
        }
        peer->start += now;
        n -= now;
    }
    return 1;
}

static int put(struct connection *peer, const void *from, size_t n) {
    return SSL_write(peer->tls, from, n) == (int)n;
}

static void *attend(void *argument) {
    struct connection *peer = argument;
    if (SSL_accept(peer->tls) > 0) serve(peer);
    int socket = SSL_get_fd(peer->tls);
    SSL_free(peer->tls);
    close(socket);
    free(peer);
    return NULL;
}

static SSL_CTX *context;
static int listener;

static void *accept_all(void *unused) {
    for (int socket; (socket = accept(listener, NULL, NULL)) >= 0;) {
        int one = 1;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *peer = malloc(sizeof *peer);
        peer->start = peer->end = 0;
        peer->tls = SSL_new(context);
        SSL_set_fd(peer->tls, socket);
        SSL_set_read_ahead(peer->tls, 1);
        SSL_set_default_read_buffer_len(peer->tls, TLS_BUFFER);
        pthread_t thread;
        pthread_create(&thread, NULL, attend, peer);
        pthread_detach(thread);
    }
    perror("accept");
    return unused;
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: %s ADDRESS CERTIFICATE KEY\n", arguments[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, arguments[2]) <= 0 ||
        SSL_CTX_use_PrivateKey_file(context, arguments[3], SSL_FILETYPE_PEM) <= 0) {
        fprintf(stderr, "the certificate or its key cannot be read\n");
        return 1;
    }
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (inet_pton(AF_INET, arguments[1], &address.sin_addr) != 1 ||
        bind(listener, (void *)&address, length) || listen(listener, BACKLOG) ||
        getsockname(listener, (void *)&address, &length)) {
        perror(arguments[1]);
        return 1;
    }
    pthread_t thread;
    pthread_create(&thread, NULL, accept_all, NULL);
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (int c; (c = getchar()) != EOF;) {
        if (c != '\n') continue;
        printf("%lu %lu\n", atomic_load(&uploads), atomic_load(&bytes));
        fflush(stdout);
    }
}
