/* Clocks that a test moves: preloaded into a process, it adds to what the C library says of the time.

   SHIFTED_CLOCK names a file of three 64-bit numbers, the nanoseconds by which CLOCK_REALTIME, CLOCK_MONOTONIC
   and CLOCK_BOOTTIME are ahead. A deadline that the process has worked out by such a clock is given to the
   kernel by the true one. Relative waits (poll, epoll_wait) take their true time, and the stamps that the
   kernel puts on packets are the true clock's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

struct ahead {
    int64_t realtime, monotonic, boottime;
};

static const volatile struct ahead *ahead;

__attribute__((constructor)) static void look_up(void)
{
    const char *name = getenv("SHIFTED_CLOCK");
    int file = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
    void *found = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);

    if (found == MAP_FAILED)
        abort();
    close(file);
    ahead = found;
}

static int64_t shift(clockid_t clock)
{
    if (ahead == NULL)
        return 0;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return ahead->realtime;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
        return ahead->monotonic;
    case CLOCK_BOOTTIME:
        return ahead->boottime;
    default:
        return 0;
    }
}

static struct timespec moved(const struct timespec *from, int64_t by)
{
    int64_t whole = from->tv_sec * SECOND + from->tv_nsec + by;

    if (whole < 0)
        whole = 0;
    return (struct timespec){.tv_sec = whole / SECOND, .tv_nsec = whole % SECOND};
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, now);

    if (!failed)
        *now = moved(now, shift(clock));
    return failed;
}

time_t time(time_t *now)
{
    struct timespec found;

    clock_gettime(CLOCK_REALTIME, &found);
    if (now != NULL)
        *now = found.tv_sec;
    return found.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec found;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    int (*real)(clockid_t, int, const struct timespec *, struct timespec *) = dlsym(RTLD_NEXT, "clock_nanosleep");
    struct timespec true_until = flags & TIMER_ABSTIME ? moved(until, -shift(clock)) : *until;

    return real(clock, flags, &true_until, left);
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until)
{
    int (*real)(sem_t *, clockid_t, const struct timespec *) = dlsym(RTLD_NEXT, "sem_clockwait");
    struct timespec true_until = moved(until, -shift(clock));

    return real(semaphore, clock, &true_until);
}

/* Python makes all its conditions for CLOCK_MONOTONIC. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    struct timespec true_until = moved(until, -shift(CLOCK_MONOTONIC));

    return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &true_until);
}
