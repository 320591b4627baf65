// An S3 service over HTTP/1.1 that takes every PUT, throws it away, and holds nothing.
#include "server.h"

enum { LONGEST_HEAD = 64 * 1024 };

// The request line and the headers, as text; 0 if the connection ends before.
static int read_head(struct connection *peer, char *head) {
    for (int n = 0; n < LONGEST_HEAD - 1; n++) {
        if (!take(peer, (unsigned char *)head + n, 1)) return 0;
        if (n >= 3 && !memcmp(head + n - 3, "\r\n\r\n", 4)) {
            head[n + 1] = 0;
            return 1;
        }
    }
    return 0;
}

static int answer(struct connection *peer, const char *status, const char *body) {
    char out[1024];
    // The tag has to look like no MD5, or the clients compare it with that of the file.
    int size = snprintf(out, sizeof out,
                        "HTTP/1.1 %s\r\nETag: \"discarded-1\"\r\nContent-Length: %zu\r\n"
                        "Content-Type: application/xml\r\n\r\n%s",
                        status, strlen(body), body);
    return put(peer, out, size);
}

static void serve(struct connection *peer) {
    static const char empty[] =
        "<?xml version=\"1.0\"?><ListBucketResult><Name>bench</Name><KeyCount>0</KeyCount>"
        "<IsTruncated>false</IsTruncated></ListBucketResult>";
    static const char goon[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char head[LONGEST_HEAD];
    for (int alive = 1; alive && read_head(peer, head);) {
        const char *field = strcasestr(head, "\r\ncontent-length:");
        size_t size = field ? strtoul(field + strlen("\r\ncontent-length:"), NULL, 10) : 0;
        if (strcasestr(head, "\r\nexpect: 100-continue")) put(peer, goon, sizeof goon - 1);
        if (!take(peer, NULL, size)) return;
        if (!strncmp(head, "PUT ", 4)) {
            atomic_fetch_add(&uploads, 1);
            atomic_fetch_add(&bytes, size);
            alive = answer(peer, "200 OK", "");
        } else if (!strncmp(head, "GET ", 4)) {
            alive = answer(peer, "200 OK", empty);
        } else {
            alive = put(peer, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 45);
        }
    }
}

static int choose_protocol(SSL *tls, const unsigned char **chosen, unsigned char *length,
                           const unsigned char *offered, unsigned offered_length, void *unused) {
    (void)tls, (void)chosen, (void)length, (void)offered, (void)offered_length, (void)unused;
    return SSL_TLSEXT_ERR_NOACK;
}
