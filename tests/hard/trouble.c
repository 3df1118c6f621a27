/* Put before the C library of a process (LD_PRELOAD): its clock jumps, its disk fails, as the control file says.

   The control file, mapped by both sides, is an array of 64-bit integers, see trouble.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CLOCK_OFFSET_S, SYNC_ERROR, WRITE_ERROR, SYNCED_WAL_BYTES, WAL_SYNCS, QUOTA };
static volatile int64_t nothing[512], *control = nothing;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TROUBLE_FILE");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) control = mapped;
    close(file);
}

static int name_ends(int file, const char *ending) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    size_t wanted = strlen(ending);
    return length >= (ssize_t)wanted && !memcmp(name + length - wanted, ending, wanted);
}

static int is_database(int file) { return name_ends(file, ".db") || name_ends(file, ".db-wal"); }

static int sync_with(const char *function, int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, function);
    if (control[SYNC_ERROR] && is_database(file)) {
        errno = (int)control[SYNC_ERROR];
        return -1;
    }
    struct stat status;
    int is_wal = name_ends(file, ".db-wal") && !fstat(file, &status);
    int result = real(file);
    if (is_wal && !result) {
        control[SYNCED_WAL_BYTES] = status.st_size;
        control[WAL_SYNCS]++;
    }
    return result;
}

int fsync(int file) { return sync_with("fsync", file); }
int fdatasync(int file) { return sync_with("fdatasync", file); }

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    if (control[WRITE_ERROR] && is_database(file)) {
        errno = (int)control[WRITE_ERROR];
        return -1;
    }
    ssize_t result = real(file, bytes, count, offset);
    if (result < 0 && errno == ENOSPC && control[QUOTA]) errno = EDQUOT;
    return result;
}

int posix_fallocate64(int file, off64_t offset, off64_t length) {
    int (*real)(int, off64_t, off64_t) = dlsym(RTLD_NEXT, "posix_fallocate64");
    int result = real(file, offset, length);
    return result == ENOSPC && control[QUOTA] ? EDQUOT : result;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += control[CLOCK_OFFSET_S];
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(now, zone);
    now->tv_sec += control[CLOCK_OFFSET_S];
    return result;
}

time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}
