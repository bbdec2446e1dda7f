/* The archive's shared memory, its lock and its clock, and the blocks that callers have to free. */
#include "sim.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>

#define MAGIC 0x48505353494d3038ull

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static struct state *state;
static char root[PATH_BYTES / 4], names[PATH_BYTES / 4];

static void default_settings(struct state *fresh) {
    fresh->settings.tape_rate = 100e6;
    fresh->settings.drives = 2;
    fresh->settings.files_per_volume = 100;
    fresh->settings.files_per_aggregate = 1;
    fresh->settings.stage_queue = 1000;
    fresh->settings.open_max = 1024;
    fresh->settings.log = 1;
    fresh->settings.busy_unit = 0.001;
    fresh->settings.expired_code = HPSS_EACCES;
    fresh->settings.before_login = HPSS_EACCES;
    strcpy(fresh->settings.principal, "hpss");
    strcpy(fresh->settings.site, "sim");
    fresh->cos[1] = (struct cos){1, COS_STAGE_ON_OPEN, 0, UINT64_MAX, {DISK, TAPE}, 1};
    fresh->cos[2] = (struct cos){1, COS_STAGE_ON_OPEN, 0, UINT64_MAX, {DISK, DISK, TAPE, TAPE, TAPE}, 2};
    fresh->cos[3] = (struct cos){1, COS_STAGE_NO_STAGE, 0, UINT64_MAX, {TAPE}, 1};
    fresh->cos[4] = (struct cos){1, COS_STAGE_NO_STAGE, 0, UINT64_MAX, {DISK}, 1};
    fresh->cos[5] = (struct cos){1, COS_STAGE_ON_OPEN_ASYNCH, 0, UINT64_MAX, {DISK, TAPE}, 1};
    fresh->cos[6] = (struct cos){1, COS_STAGE_ON_OPEN_BACKGROUND, 0, UINT64_MAX, {DISK, TAPE}, 1};
    fresh->cos[7] = (struct cos){1, COS_STAGE_NO_STAGE, 0, UINT64_MAX, {DISK, TAPE}, 1};
    fresh->cos[8] = (struct cos){1, COS_STAGE_ON_OPEN, 0, 1 << 20, {DISK, TAPE}, 1};
}

static void fill(struct state *fresh) {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&fresh->mutex, &kind);
    pthread_mutexattr_destroy(&kind);
    default_settings(fresh);
    fresh->magic = MAGIC;
}

static void give_up(const char *what) {
    fprintf(stderr, "hpss simulator: %s %s: %s\n", what, root, strerror(errno));
    abort();
}

static void make_directory(const char *path) {
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        give_up("cannot make the archive");
}

static void open_archive(void) {
    char path[PATH_BYTES];
    make_directory(root);
    make_directory(names);
    snprintf(path, sizeof path, "%s/data", root);
    make_directory(path);
    snprintf(path, sizeof path, "%s/state", root);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || flock(fd, LOCK_EX) != 0 || ftruncate(fd, sizeof *state) != 0)
        give_up("cannot open the state of");
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (state == MAP_FAILED)
        give_up("cannot map the state of");
    madvise(state, sizeof *state, MADV_RANDOM); /* reading ahead would fill all records with zeros, in milliseconds */
    if (state->magic != MAGIC)
        fill(state);
    flock(fd, LOCK_UN); /* closing does not: the mapping keeps the file */
    close(fd);
}

static void choose(const char *path, const char *names_path) {
    snprintf(root, sizeof root, "%s", path);
    if (names_path != NULL)
        snprintf(names, sizeof names, "%s", names_path);
    else
        snprintf(names, sizeof names, "%.*s/names", (int)sizeof names - 8, root);
}

/* Choose the directory that holds the archive, and the one that shows its names (NULL: below the first). The old
 * archive stays mapped, for threads that are still in a call. */
void sim_use_root(const char *path, const char *names_path) {
    if (state != NULL && strcmp(root, path) == 0)
        return;
    if (state != NULL)
        sim_files_reset();
    pthread_mutex_lock(&opening);
    choose(path, names_path);
    open_archive();
    pthread_mutex_unlock(&opening);
    sim_session_reset();
}

struct state *sim_state(void) {
    if (state != NULL)
        return state;
    pthread_mutex_lock(&opening);
    if (state == NULL) {
        const char *path = getenv("HPSS_SIM_ROOT");
        choose(path != NULL ? path : SIM_DEFAULT_ROOT, getenv("HPSS_SIM_NAMES"));
        open_archive();
    }
    pthread_mutex_unlock(&opening);
    return state;
}

const char *sim_root(void) {
    sim_state();
    return root;
}

const char *sim_names(void) {
    sim_state();
    return names;
}

void sim_lock(void) {
    /* A process may have been killed inside a call; its half-made change is what a crash leaves. */
    if (pthread_mutex_lock(&sim_state()->mutex) == EOWNERDEAD)
        pthread_mutex_consistent(&state->mutex);
}

void sim_unlock(void) { pthread_mutex_unlock(&state->mutex); }

uint64_t sim_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * NANO + (uint64_t)now.tv_nsec + (uint64_t)__atomic_load_n(&sim_state()->clock_offset, __ATOMIC_RELAXED);
}

void sim_sleep(double seconds) {
    struct timespec rest = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        ;
}

/* The virtual clock may jump, so look at it often. */
void sim_wait_until(uint64_t moment) {
    for (uint64_t now = sim_now(); now < moment; now = sim_now())
        sim_sleep(moment - now < NANO / 200 ? (double)(moment - now) / 1e9 : 0.005);
}

void sim_count(int64_t *counter, int64_t step) { __atomic_add_fetch(counter, step, __ATOMIC_RELAXED); }

/* Blocks that the caller frees: each is known by its address until it comes back. The addresses are inverted, so that a
 * search for lost blocks does not take this table for an owner. */
#define BLOCK_SLOTS 65536
#define BLOCK_STEPS 256 /* a caller that is not built to be counted fills the table */
static uintptr_t blocks[BLOCK_SLOTS];
static pthread_mutex_t blocks_mutex = PTHREAD_MUTEX_INITIALIZER;

static uintptr_t *block_slot(const void *block) {
    size_t start = ((uintptr_t)block >> 4) * 2654435761u % BLOCK_SLOTS;
    for (size_t step = 0; step < BLOCK_STEPS; step++) {
        uintptr_t *slot = &blocks[(start + step) % BLOCK_SLOTS];
        if (*slot == ~(uintptr_t)block)
            return slot;
    }
    return NULL;
}

static void remember(void *block) {
    size_t start = ((uintptr_t)block >> 4) * 2654435761u % BLOCK_SLOTS;
    pthread_mutex_lock(&blocks_mutex);
    for (size_t step = 0; step < BLOCK_STEPS; step++) {
        uintptr_t *slot = &blocks[(start + step) % BLOCK_SLOTS];
        if (*slot == 0) {
            *slot = ~(uintptr_t)block;
            break;
        }
    }
    pthread_mutex_unlock(&blocks_mutex);
    sim_count(&sim_state()->counters.blocks, 1);
}

void *sim_block(size_t size) {
    void *block = calloc(1, size);
    if (block != NULL)
        remember(block);
    return block;
}

char *sim_text(const char *text) {
    char *copy = sim_block(strlen(text) + 1);
    return copy != NULL ? strcpy(copy, text) : NULL;
}

void sim_free(void *block) {
    if (block == NULL)
        return;
    pthread_mutex_lock(&blocks_mutex);
    uintptr_t *slot = block_slot(block);
    if (slot != NULL)
        *slot = 0;
    pthread_mutex_unlock(&blocks_mutex);
    sim_count(slot != NULL ? &sim_state()->counters.blocks : &sim_state()->counters.bad_frees, slot != NULL ? -1 : 1);
    free(block);
}
