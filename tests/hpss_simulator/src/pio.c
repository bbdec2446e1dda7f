/* Parallel I/O: one coordinator moves a range of a file, one participant lends the buffer and is called back for each
 * block. Both are of one process; the protocol between them is not HPSS's.
 */
#include "sim.h"

struct sim_pio_group {
    hpss_pio_params_t params;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int holders; /* the coordinator, those who imported the group, and who is registered */
    bool registered, ended;
    void *buffer;
    uint32_t length;
    hpss_pio_cb_t callback;
    void *argument;
};

/* What an exported group looks like. */
struct exported {
    uint64_t mark;
    pid_t process;
    struct sim_pio_group *group;
};
#define EXPORT_MARK 0x50494f2d47525031ull

static void hold(struct sim_pio_group *group) {
    pthread_mutex_lock(&group->mutex);
    group->holders++;
    pthread_mutex_unlock(&group->mutex);
}

/* Who lets the group go last frees it. */
static void let_go(struct sim_pio_group *group) {
    pthread_mutex_lock(&group->mutex);
    bool last = --group->holders == 0;
    pthread_mutex_unlock(&group->mutex);
    if (!last)
        return;
    pthread_mutex_destroy(&group->mutex);
    pthread_cond_destroy(&group->changed);
    free(group);
}

static bool acceptable(const hpss_pio_params_t *params) {
    bool operation = params->Operation == HPSS_PIO_READ || params->Operation == HPSS_PIO_WRITE;
    bool transport = params->Transport == HPSS_PIO_TCPIP || params->Transport == HPSS_PIO_MVR_SELECT;
    bool stripes = params->ClntStripeWidth == 1 && params->FileStripeWidth >= 1;
    return operation && transport && stripes && params->BlockSize > 0 && params->Options == 0;
}

int hpss_PIOStart(hpss_pio_params_t *params, hpss_pio_grp_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_PIOStart", NULL, "operation=%d block=%u", (int)params->Operation, params->BlockSize);
    if (code == 0 && !acceptable(params))
        code = HPSS_EINVAL;
    struct sim_pio_group *group = code == 0 ? calloc(1, sizeof *group) : NULL;
    if (group != NULL) {
        group->params = *params;
        group->holders = 1;
        pthread_mutex_init(&group->mutex, NULL);
        pthread_cond_init(&group->changed, NULL);
        *out = group;
    }
    return (int)sim_leave(&call, code);
}

int hpss_PIOExportGrp(SIM_CONST hpss_pio_grp_t group, void **buffer, unsigned int *length) {
    struct call call;
    int code = sim_enter(&call, "hpss_PIOExportGrp", NULL, "-");
    if (code == 0) {
        struct exported *exported = sim_block(sizeof *exported);
        *exported = (struct exported){EXPORT_MARK, getpid(), group};
        *buffer = exported;
        *length = sizeof *exported;
    }
    return (int)sim_leave(&call, code);
}

int hpss_PIOImportGrp(SIM_CONST void *buffer, unsigned int length, hpss_pio_grp_t *out) {
    struct call call;
    struct exported exported;
    int code = sim_enter(&call, "hpss_PIOImportGrp", NULL, "length=%u", length);
    if (code == 0 && length != sizeof exported)
        code = HPSS_EINVAL;
    if (code == 0)
        memcpy(&exported, buffer, sizeof exported);
    if (code == 0 && (exported.mark != EXPORT_MARK || exported.process != getpid()))
        code = HPSS_EINVAL;
    if (code == 0) {
        hold(exported.group);
        *out = exported.group;
    }
    return (int)sim_leave(&call, code);
}

static void lend(struct sim_pio_group *group, void *buffer, uint32_t length, hpss_pio_cb_t callback, const void *argument) {
    pthread_mutex_lock(&group->mutex);
    group->buffer = buffer;
    group->length = length;
    group->callback = callback;
    group->argument = (void *)(uintptr_t)argument;
    group->registered = true;
    pthread_cond_broadcast(&group->changed);
    while (!group->ended)
        pthread_cond_wait(&group->changed, &group->mutex);
    pthread_mutex_unlock(&group->mutex);
}

/* Lend the buffer; returns when the coordinator ends the group. */
int hpss_PIORegister(uint32_t element, SIM_CONST hpss_sockaddr_t *address, void *buffer, uint32_t length,
                     hpss_pio_grp_t group, SIM_CONST hpss_pio_cb_t callback, SIM_CONST void *argument) {
    struct call call;
    (void)address;
    int code = sim_enter(&call, "hpss_PIORegister", NULL, "element=%u length=%u", element, length);
    if (code == 0 && (element != 0 || buffer == NULL || callback == NULL || length < group->params.BlockSize))
        code = HPSS_EINVAL;
    if (code == 0) {
        hold(group);
        lend(group, buffer, length, callback, argument);
        let_go(group);
    }
    return (int)sim_leave(&call, code);
}

/* Wait for the participant. */
static void await_buffer(struct sim_pio_group *group) {
    pthread_mutex_lock(&group->mutex);
    while (!group->registered && !group->ended)
        pthread_cond_wait(&group->changed, &group->mutex);
    pthread_mutex_unlock(&group->mutex);
}

/* Move one block at the file's offset: bytes, 0 at the end of the file, or a code. */
static ssize_t move_block(struct sim_pio_group *group, const struct failure *failure, int descriptor,
                          struct open_file *file, uint32_t length) {
    void *buffer = group->buffer;
    ssize_t moved = 0;
    if (group->params.Operation == HPSS_PIO_READ) {
        moved = sim_read(failure, descriptor, file, buffer, length);
        if (moved <= 0)
            return moved;
        length = (uint32_t)moved;
    }
    int code = group->callback(group->argument, file->offset, &length, &buffer);
    if (code != 0)
        return SIM_VERSION < 705 ? HPSS_EIO : HPSS_ECONN; /* what a participant that gives up looks like */
    if (group->params.Operation == HPSS_PIO_WRITE)
        moved = length == 0 ? HPSS_EIO : sim_write(failure, file, buffer, length);
    return moved;
}

static int move_range(struct sim_pio_group *group, const struct failure *failure, int descriptor, struct open_file *file,
                      uint64_t size, uint64_t *done) {
    while (*done < size) {
        uint64_t left = size - *done;
        uint32_t length = left < group->params.BlockSize ? (uint32_t)left : group->params.BlockSize;
        ssize_t moved = move_block(group, failure, descriptor, file, length);
        if (moved <= 0)
            return moved == 0 ? HPSS_EOM : (int)moved;
        *done += (uint64_t)moved;
        file->offset += (uint64_t)moved;
    }
    return 0;
}

int hpss_PIOExecute(int descriptor, u_signed64 offset, u_signed64 size, SIM_CONST hpss_pio_grp_t group,
                    hpss_pio_gapinfo_t *gap, u_signed64 *moved) {
    struct call call;
    struct open_file file;
    uint64_t done = 0;
    int code = sim_enter_file(&call, "hpss_PIOExecute", descriptor, &file, size);
    bool writes = group->params.Operation == HPSS_PIO_WRITE;
    if (code == 0 && (file.flags & O_ACCMODE) == (writes ? O_RDONLY : O_WRONLY))
        code = HPSS_EBADF;
    if (code == 0) {
        if (gap != NULL)
            memset(gap, 0, sizeof *gap);
        await_buffer(group);
        file.offset = offset;
        code = move_range(group, &call.failure, descriptor, &file, size, &done);
    }
    /* Old libraries leave the count alone when they fail. */
    if (code == 0 || SIM_VERSION >= 705)
        *moved = done;
    return (int)sim_leave(&call, code);
}

/* The first of these lets those who registered return. */
int hpss_PIOEnd(hpss_pio_grp_t group) {
    struct call call;
    int code = sim_enter(&call, "hpss_PIOEnd", NULL, "-");
    pthread_mutex_lock(&group->mutex);
    group->ended = true;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->mutex);
    let_go(group);
    return (int)sim_leave(&call, code);
}
