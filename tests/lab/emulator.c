/* A link with known properties between two network namespaces, on a TUN device in each.
 *
 * Each direction has a rate, a queue of so many bytes before it, a delay, a jitter (uniform, added to the
 * delay), and probabilities of loss, of being held back behind what follows, and of coming twice, all drawn
 * from one seeded generator. Every packet's fate is written to a log. A line "books" on stdin prints the counts
 * as JSON; the end of stdin ends it.
 *
 * usage: emulator NAMESPACE DEVICE NAMESPACE DEVICE LOG SEED  then for each direction
 *        RATE(bit/s, 0: none) QUEUE(bytes) DELAY(ns) JITTER(ns) LOSS REORDER(probability) HOLD(ns) DUPLICATE
 * LOSS is a probability, or from 1 on how many packets there are to each that is lost.
 * Log: direction,arrived_ns,left_ns,fate,bytes,protocol,icmp_type,icmp_id,icmp_sequence,tcp_ports,tcp_sequence,
 *      tcp_payload(bytes)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MTU = 65536, SPIN_NS = 60000 };

struct settings {
    double rate;
    int64_t queue, delay, jitter;
    double loss, reorder;
    int64_t hold;
    double duplicate;
};

struct counts {
    uint64_t arrived, left, lost, queue_lost, held, doubled, bytes_left;
    int64_t longest_queue;
};

struct packet {
    int64_t due, arrived;
    uint64_t order;
    uint8_t *data;
    int length;
    const char *fate;
};

struct direction {
    int in, out;
    struct settings set;
    struct counts counts;
    int64_t busy_until;
    struct packet *heap;
    int waiting, room;
};

static struct direction directions[2];
static uint64_t state, order;
static FILE *book;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* splitmix64: uniform in [0, 1) */
static double draw(void)
{
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int tun(const char *space, const char *device)
{
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", space);
    int place = open(path, O_RDONLY | O_CLOEXEC);
    if (place < 0 || setns(place, CLONE_NEWNET))
        fail(path);
    close(place);
    int made = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq ask;
    memset(&ask, 0, sizeof ask);
    ask.ifr_flags = IFF_TUN | IFF_NO_PI;
    snprintf(ask.ifr_name, IFNAMSIZ, "%s", device);
    if (made < 0 || ioctl(made, TUNSETIFF, &ask))
        fail("tun");
    return made;
}

static int before(const struct packet *a, const struct packet *b)
{
    return a->due < b->due || (a->due == b->due && a->order < b->order);
}

static void push(struct direction *d, struct packet p)
{
    if (d->waiting == d->room) {
        d->room = d->room ? 2 * d->room : 1024;
        d->heap = realloc(d->heap, d->room * sizeof *d->heap);
        if (!d->heap)
            fail("memory");
    }
    int at = d->waiting++;
    while (at && before(&p, &d->heap[(at - 1) / 2])) {
        d->heap[at] = d->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    d->heap[at] = p;
}

static struct packet pop(struct direction *d)
{
    struct packet top = d->heap[0], last = d->heap[--d->waiting];
    int at = 0, child;
    while ((child = 2 * at + 1) < d->waiting) {
        if (child + 1 < d->waiting && before(&d->heap[child + 1], &d->heap[child]))
            child++;
        if (!before(&d->heap[child], &last))
            break;
        d->heap[at] = d->heap[child];
        at = child;
    }
    d->heap[at] = last;
    return top;
}

static uint32_t word(const uint8_t *data)
{
    return (uint32_t)data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3];
}

static void note(int which, int64_t arrived, int64_t left, const char *fate, const uint8_t *data, int length)
{
    int v6 = data[0] >> 4 == 6;
    int protocol = v6 ? data[6] : data[9], header = v6 ? 40 : (data[0] & 15) * 4;
    int type = -1, id = 0, sequence = 0, payload = 0;
    uint32_t ports = 0, at = 0;
    if ((protocol == 1 || protocol == 58) && length >= header + 8) {
        type = data[header];
        id = data[header + 4] << 8 | data[header + 5];
        sequence = data[header + 6] << 8 | data[header + 7];
    }
    if (protocol == 6 && length >= header + 20) {
        ports = word(data + header);
        at = word(data + header + 4);
        payload = length - header - (data[header + 12] >> 4) * 4;
    }
    fprintf(book, "%d,%" PRId64 ",%" PRId64 ",%s,%d,%d,%d,%d,%d,%" PRIu32 ",%" PRIu32 ",%d\n", which, arrived, left,
            fate, length, protocol, type, id, sequence, ports, at, payload);
}

/* What kernels say to each other by themselves: to IPv6 groups. It passes and is in no book. */
static int is_noise(const uint8_t *data)
{
    return data[0] >> 4 == 6 && data[24] == 0xFF;
}

static void arrive(int which, uint8_t *buffer, int length, int64_t now)
{
    struct direction *d = &directions[which];
    struct settings *s = &d->set;
    const char *fate = "ok";
    int64_t due = now, extra = 0;
    if (!is_noise(buffer)) {
        d->counts.arrived++;
        if (s->loss >= 1 ? d->counts.arrived % (uint64_t)s->loss == 0 : s->loss > 0 && draw() < s->loss) {
            d->counts.lost++;
            note(which, now, 0, "lost", buffer, length);
            return;
        }
        if (s->rate > 0) {
            int64_t backlog = d->busy_until > now ? d->busy_until - now : 0;
            if (backlog * s->rate / 8e9 + length > s->queue) {
                d->counts.queue_lost++;
                note(which, now, 0, "queue", buffer, length);
                return;
            }
            d->busy_until = now + backlog + (int64_t)(length * 8e9 / s->rate);
            due = d->busy_until;
            if (due - now > d->counts.longest_queue)
                d->counts.longest_queue = due - now;
        }
        if (s->reorder > 0 && draw() < s->reorder) {
            extra = s->hold;
            fate = "held";
            d->counts.held++;
        }
    }
    due += s->delay + extra + (s->jitter ? (int64_t)(draw() * s->jitter) : 0);
    int twice = s->duplicate > 0 && !is_noise(buffer) && draw() < s->duplicate;
    for (int copy = 0; copy <= twice; copy++) {
        struct packet p = {due, now, order++, malloc(length), length, copy ? "double" : fate};
        if (!p.data)
            fail("memory");
        memcpy(p.data, buffer, length);
        push(d, p);
    }
}

static void leave(int which, int64_t now)
{
    struct direction *d = &directions[which];
    while (d->waiting && d->heap[0].due <= now) {
        struct packet p = pop(d);
        int64_t left = now_ns();
        /* A device that is not up yet drops it. */
        int gone = write(d->out, p.data, p.length) == p.length;
        if (!is_noise(p.data)) {
            d->counts.left += gone;
            d->counts.bytes_left += gone ? p.length : 0;
            d->counts.doubled += p.fate[0] == 'd';
            note(which, p.arrived, left, gone ? p.fate : "dropped", p.data, p.length);
        }
        free(p.data);
        now = now_ns();
    }
}

static void print_books(void)
{
    fflush(book);
    printf("[");
    for (int which = 0; which < 2; which++) {
        struct counts *c = &directions[which].counts;
        printf("%s{\"arrived\": %" PRIu64 ", \"left\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"queue_lost\": %" PRIu64
               ", \"held\": %" PRIu64 ", \"doubled\": %" PRIu64 ", \"bytes_left\": %" PRIu64
               ", \"longest_queue_ns\": %" PRId64 "}",
               which ? ", " : "", c->arrived, c->left, c->lost, c->queue_lost, c->held, c->doubled, c->bytes_left,
               c->longest_queue);
    }
    printf("]\n");
    fflush(stdout);
}

/* Nanoseconds until the next packet is due, or -1. */
static int64_t next_due(int64_t now)
{
    int64_t left = -1;
    for (int which = 0; which < 2; which++)
        if (directions[which].waiting) {
            int64_t due = directions[which].heap[0].due - now;
            if (due < 0)
                due = 0;
            if (left < 0 || due < left)
                left = due;
        }
    return left;
}

static void read_settings(struct settings *s, char **from)
{
    s->rate = atof(from[0]);
    s->queue = atoll(from[1]);
    s->delay = atoll(from[2]);
    s->jitter = atoll(from[3]);
    s->loss = atof(from[4]);
    s->reorder = atof(from[5]);
    s->hold = atoll(from[6]);
    s->duplicate = atof(from[7]);
}

int main(int count, char **given)
{
    static uint8_t buffer[MTU];
    if (count != 23) {
        fprintf(stderr, "wrong number of arguments\n");
        return 2;
    }
    int near = tun(given[1], given[2]), far = tun(given[3], given[4]);
    book = fopen(given[5], "w");
    if (!book)
        fail(given[5]);
    setvbuf(book, NULL, _IOFBF, 1 << 20);
    state = strtoull(given[6], NULL, 10);
    directions[0].in = directions[1].out = near;
    directions[0].out = directions[1].in = far;
    read_settings(&directions[0].set, given + 7);
    read_settings(&directions[1].set, given + 15);
    mlockall(MCL_CURRENT | MCL_FUTURE);
    struct sched_param urgent = {10};
    if (sched_setscheduler(0, SCHED_RR, &urgent))
        fail("real-time priority");
    printf("ready\n");
    fflush(stdout);
    struct pollfd watched[3] = {{near, POLLIN, 0}, {far, POLLIN, 0}, {0, POLLIN, 0}};
    for (;;) {
        int64_t left = next_due(now_ns());
        struct timespec rest = {0, 0}, *wait = NULL;
        if (left >= 0) {
            if (left > SPIN_NS)
                rest.tv_nsec = (left - SPIN_NS) % 1000000000, rest.tv_sec = (left - SPIN_NS) / 1000000000;
            wait = &rest;
        }
        if (ppoll(watched, 3, wait, NULL) < 0 && errno != EINTR)
            fail("poll");
        for (int which = 0; which < 2; which++)
            if (watched[which].revents & POLLIN)
                for (int turn = 0; turn < 64; turn++) {
                    int length = read(watched[which].fd, buffer, sizeof buffer);
                    if (length <= 0)
                        break;
                    arrive(which, buffer, length, now_ns());
                    leave(which, now_ns());
                }
        for (int which = 0; which < 2; which++)
            leave(which, now_ns());
        if (watched[2].revents & (POLLIN | POLLHUP)) {
            char line[64];
            if (read(0, line, sizeof line) <= 0)
                break;
            print_books();
        }
    }
    fflush(book);
    return 0;
}
