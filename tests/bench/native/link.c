// A link between two network namespaces: a delay, a rate, a loss, a queue in front of it.
//
// link NAMESPACE NAMESPACE ONE_WAY_MS MBIT LOSS_PERCENT QUEUE_KB
//
// It makes a TUN device "link" in each namespace and prints "up"; addresses are the caller's to give.
// A packet waits for the packets before it (the rate), then for the delay; one that would wait
// behind more than the queue holds is dropped, and so is one in so many by chance (the loss).
//
// Segments come and go many at a time, as to and from a network card that does segmentation (TSO)
// and receive offload (GRO). One by one, a core would carry less than a gigabit a second. Each waits
// and gets lost for itself all the same.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MTU = 1500, LARGEST = 1 << 16, PACKETS = 1 << 16, BATCH = 64 };
static const uint64_t SECOND = 1000000000, NEVER = UINT64_MAX;

// As the device takes it and gives it: a head that tells of the segments, then headers and content.
struct piece {
    struct virtio_net_hdr head;
    unsigned char content[LARGEST];
};

struct packet {
    uint64_t due;
    size_t size;
    struct piece piece;  // as much of it as there is
};

// One direction: a ring of packets on their way, and when the line is free again.
struct way {
    int from, to;
    unsigned sent, received;
    uint64_t free;
    struct packet **packets;
};

static double rate, loss, queue;  // bytes in a nanosecond, probability, bytes
static uint64_t delay;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static int device(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", name);
    int space = open(path, O_RDONLY), tun = -1;
    struct ifreq request = {.ifr_name = "link", .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    if (space < 0 || setns(space, CLONE_NEWNET) || (tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK)) < 0 ||
        ioctl(tun, TUNSETIFF, &request) || ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)) {
        perror(name);
        exit(1);
    }
    close(space);
    return tun;
}

static uint16_t checksum(const unsigned char *header, int size) {
    unsigned sum = 0;
    for (int i = 0; i < size; i += 2) sum += header[i] << 8 | header[i + 1];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return htons(~sum);
}

// The part of a piece from start to end is on its way, with the headers if it has segments.
static void forward(struct way *way, const struct piece *piece, int headers, int start, int end, int size) {
    if (start >= end) return;
    int length = headers + end - start;
    struct packet *packet = malloc(offsetof(struct packet, piece.content) + length);
    packet->due = way->free + delay;
    packet->size = sizeof piece->head + length;
    packet->piece.head = piece->head;
    memcpy(packet->piece.content, piece->content, headers);
    memcpy(packet->piece.content + headers, piece->content + start, end - start);
    way->packets[way->sent++ % PACKETS] = packet;
    if (!headers) return;
    if (end - start <= piece->head.gso_size) packet->piece.head.gso_type = packet->piece.head.gso_size = 0;
    struct iphdr *ip = (struct iphdr *)packet->piece.content;
    struct tcphdr *tcp = (struct tcphdr *)(packet->piece.content + 4 * ip->ihl);
    ip->tot_len = htons(length);
    ip->check = 0;
    ip->check = checksum(packet->piece.content, 4 * ip->ihl);
    // Its checksum is still to be made, so nobody looks at it.
    tcp->seq = htonl(ntohl(tcp->seq) + start - headers);
    if (end < size) tcp->psh = tcp->fin = 0;
}

// Segment by segment: what is not lost in between goes on together.
static void enter(struct way *way, const struct piece *piece, int size) {
    int headers = 0, segment = size;
    if (piece->head.gso_type) {
        const struct iphdr *ip = (const struct iphdr *)piece->content;
        const struct tcphdr *tcp = (const struct tcphdr *)(piece->content + 4 * ip->ihl);
        headers = 4 * ip->ihl + 4 * tcp->doff;
        segment = piece->head.gso_size;
    }
    uint64_t time = now();
    if (way->free < time) way->free = time;
    int start = headers;
    for (int at = headers; at < size; at += segment) {
        int end = at + segment < size ? at + segment : size;
        if (drand48() < loss || (way->free - time) * rate > queue) {
            forward(way, piece, headers, start, at, size);
            start = end;
        } else {
            way->free += (headers + end - at) / rate;
        }
    }
    forward(way, piece, headers, start, size, size);
}

int main(int count, char **arguments) {
    if (count != 7) return 2;
    delay = atof(arguments[3]) * SECOND / 1000;
    rate = atof(arguments[4]) * 1e6 / 8 / SECOND;
    loss = atof(arguments[5]) / 100;
    queue = atof(arguments[6]) * 1000;
    int ends[] = {device(arguments[1]), device(arguments[2])};
    struct way ways[] = {{.from = ends[0], .to = ends[1]}, {.from = ends[1], .to = ends[0]}};
    for (int i = 0; i < 2; i++) ways[i].packets = malloc(PACKETS * sizeof(struct packet *));
    static struct piece piece;
    srand48(1);
    puts("up");
    fflush(stdout);
    for (;;) {
        uint64_t next = NEVER;
        for (int i = 0; i < 2; i++) {
            struct way *way = &ways[i];
            for (int k = 0; k < BATCH && way->sent - way->received < PACKETS - LARGEST / MTU; k++) {
                int size = read(way->from, &piece, sizeof piece);
                if (size <= (int)sizeof piece.head) break;
                enter(way, &piece, size - sizeof piece.head);
            }
            while (way->sent != way->received) {
                struct packet *packet = way->packets[way->received % PACKETS];
                if (packet->due > now()) {
                    if (packet->due < next) next = packet->due;
                    break;
                }
                // What comes to an end that is down is lost.
                (void)!write(way->to, &packet->piece, packet->size);
                free(packet);
                way->received++;
            }
        }
        uint64_t time = now(), wait = next == NEVER ? 3600 * SECOND : next > time ? next - time : 0;
        struct timespec timeout = {wait / SECOND, wait % SECOND};
        struct pollfd readable[] = {{ends[0], POLLIN, 0}, {ends[1], POLLIN, 0}};
        ppoll(readable, 2, &timeout, NULL);
    }
}
