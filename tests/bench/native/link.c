// A link between two network namespaces: a delay, a rate, a loss, a queue in front of it.
//
// link NAMESPACE NAMESPACE ONE_WAY_MS MBIT LOSS_PERCENT QUEUE_KB
//
// It makes a TUN device "link" in each namespace and prints "up"; addresses are the caller's to give.
// A packet waits for the packets before it (the rate), then for the delay; one that would wait
// behind more than the queue holds is dropped, and so is one in so many by chance (the loss).
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MTU = 1500, PACKETS = 1 << 16, BATCH = 64 };
static const uint64_t SECOND = 1000000000, NEVER = UINT64_MAX;

struct packet {
    uint64_t due;
    int size;
    char content[MTU];
};

// One direction: a ring of packets on their way, and when the line is free again.
struct way {
    int from, to;
    unsigned sent, received;
    uint64_t free;
    struct packet *packets;
};

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static int device(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", name);
    int space = open(path, O_RDONLY), tun = -1;
    struct ifreq request = {.ifr_name = "link", .ifr_flags = IFF_TUN | IFF_NO_PI};
    if (space < 0 || setns(space, CLONE_NEWNET) || (tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK)) < 0 ||
        ioctl(tun, TUNSETIFF, &request)) {
        perror(name);
        exit(1);
    }
    close(space);
    return tun;
}

int main(int count, char **arguments) {
    if (count != 7) return 2;
    uint64_t delay = atof(arguments[3]) * SECOND / 1000;
    double rate = atof(arguments[4]) * 1e6 / 8 / SECOND;  // bytes in a nanosecond
    double loss = atof(arguments[5]) / 100, queue = atof(arguments[6]) * 1000;
    int ends[] = {device(arguments[1]), device(arguments[2])};
    struct way ways[] = {{.from = ends[0], .to = ends[1]}, {.from = ends[1], .to = ends[0]}};
    for (int i = 0; i < 2; i++) ways[i].packets = malloc(PACKETS * sizeof(struct packet));
    srand48(1);
    puts("up");
    fflush(stdout);
    for (;;) {
        uint64_t next = NEVER;
        for (int i = 0; i < 2; i++) {
            struct way *way = &ways[i];
            for (int k = 0; k < BATCH && way->sent - way->received < PACKETS; k++) {
                struct packet *packet = &way->packets[way->sent % PACKETS];
                packet->size = read(way->from, packet->content, MTU);
                if (packet->size <= 0) break;
                uint64_t time = now();
                if (way->free < time) way->free = time;
                if (drand48() < loss || (way->free - time) * rate > queue) continue;
                way->free += packet->size / rate;
                packet->due = way->free + delay;
                way->sent++;
            }
            while (way->sent != way->received) {
                struct packet *packet = &way->packets[way->received % PACKETS];
                if (packet->due > now()) {
                    if (packet->due < next) next = packet->due;
                    break;
                }
                // What comes to an end that is down is lost.
                (void)!write(way->to, packet->content, packet->size);
                way->received++;
            }
        }
        uint64_t time = now(), wait = next == NEVER ? 3600 * SECOND : next > time ? next - time : 0;
        struct timespec timeout = {wait / SECOND, wait % SECOND};
        struct pollfd readable[] = {{ends[0], POLLIN, 0}, {ends[1], POLLIN, 0}};
        ppoll(readable, 2, &timeout, NULL);
    }
}
