// A gRPC service over HTTP/2 that throws away what it is sent and answers each call with a talk ID.
//
// It looks at no header, so it serves Upload and UploadAsStream alike. A connection that does not
// begin with HTTP/2's preface is read to its end: that is the raw sender.
#include "server.h"

enum { DATA = 0, HEADERS = 1, SETTINGS = 4, PING = 6, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
enum { MAX_CONCURRENT_STREAMS = 3, INITIAL_WINDOW_SIZE = 4 };

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum { PREFACE_SIZE = sizeof PREFACE - 1, FRAME_HEADER = 9 };
// A stream never asks for more room, so none may be longer than this.
static const unsigned WINDOW = 0x7fffffff, DEFAULT_WINDOW = 65535, STREAMS = 4096;

static unsigned char *number(unsigned char *at, unsigned value, int size) {
    while (size--) *at++ = value >> 8 * size;
    return at;
}

static unsigned char *frame(unsigned char *at, unsigned size, int type, int flags, unsigned stream) {
    at = number(at, size, 3);
    *at++ = type;
    *at++ = flags;
    return number(at, stream, 4);
}

static unsigned char *text(unsigned char *at, const char *value) {
    *at++ = strlen(value);
    return (unsigned char *)stpcpy((char *)at, value);
}

// 200, a message with the talk ID, and grpc-status 0; HPACK without its table or Huffman codes.
static int answer(struct connection *peer, unsigned stream) {
    static const char content_type[] = "application/grpc", status[] = "grpc-status";
    char talk_id[32];
    int id = snprintf(talk_id, sizeof talk_id, "bench-%lu", atomic_fetch_add(&uploads, 1) + 1);
    unsigned char out[256], *at = out;
    at = frame(at, 4 + sizeof content_type - 1, HEADERS, END_HEADERS, stream);
    *at++ = 0x88;                  // :status 200, from the static table
    at = number(at, 0x0f10, 2);    // content-type, from the static table, not to be indexed
    at = text(at, content_type);
    at = frame(at, 5 + 2 + id, DATA, 0, stream);
    *at++ = 0;                     // not compressed
    at = number(at, 2 + id, 4);
    *at++ = 0x0a;                  // UploadTalkResponse.talk_id
    at = text(at, talk_id);
    at = frame(at, 4 + sizeof status - 1, HEADERS, END_STREAM | END_HEADERS, stream);
    *at++ = 0;                     // a name of its own, not to be indexed
    at = text(at, status);
    at = text(at, "0");
    return put(peer, out, at - out);
}

static int greet(struct connection *peer) {
    unsigned char out[64], *at = out;
    at = frame(at, 12, SETTINGS, 0, 0);
    at = number(number(at, MAX_CONCURRENT_STREAMS, 2), STREAMS, 4);
    at = number(number(at, INITIAL_WINDOW_SIZE, 2), WINDOW, 4);
    at = frame(at, 4, WINDOW_UPDATE, 0, 0);
    at = number(at, WINDOW - DEFAULT_WINDOW, 4);
    return put(peer, out, at - out);
}

static void discard(struct connection *peer) {
    do atomic_fetch_add(&bytes, peer->end - peer->start);
    while (fill(peer));
    atomic_fetch_add(&uploads, 1);
}

// Answers one frame; 0 at the end of the connection. `unread` is what the window lost so far.
static int next(struct connection *peer, unsigned *unread) {
    unsigned char header[FRAME_HEADER], out[64], *at = out;
    if (!take(peer, header, FRAME_HEADER)) return 0;
    unsigned size = header[0] << 16 | header[1] << 8 | header[2];
    unsigned stream = (header[5] & 0x7f) << 24 | header[6] << 16 | header[7] << 8 | header[8];
    int type = header[3], flags = header[4];
    if (type == PING && !(flags & ACK)) {
        at = frame(at, size, PING, ACK, 0);
        return size == 8 && take(peer, at, size) && put(peer, out, at + size - out);
    }
    if (!take(peer, NULL, size)) return 0;
    if (type == SETTINGS && !(flags & ACK)) {
        at = frame(at, 0, SETTINGS, ACK, 0);
    } else if (type == DATA) {
        atomic_fetch_add(&bytes, size);
        *unread += size;
        if (*unread > WINDOW / 2) {
            at = number(frame(at, 4, WINDOW_UPDATE, 0, 0), *unread, 4);
            *unread = 0;
        }
    }
    if (at != out && !put(peer, out, at - out)) return 0;
    int ended = (type == DATA || type == HEADERS) && flags & END_STREAM;
    return !ended || answer(peer, stream);
}

static void serve(struct connection *peer) {
    unsigned unread = 0;
    if (!fill(peer)) return;
    if (peer->end < PREFACE_SIZE || memcmp(peer->buffer, PREFACE, PREFACE_SIZE)) {
        discard(peer);
        return;
    }
    peer->start = PREFACE_SIZE;
    if (!greet(peer)) return;
    while (next(peer, &unread)) continue;
}

static int choose_protocol(SSL *tls, const unsigned char **chosen, unsigned char *length,
                           const unsigned char *offered, unsigned offered_length, void *unused) {
    static const unsigned char ours[] = "\x02h2";
    (void)tls, (void)unused;
    return SSL_select_next_proto((unsigned char **)chosen, length, ours, sizeof ours - 1, offered,
                                 offered_length) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}
