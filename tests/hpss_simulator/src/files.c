/* Open files: descriptors (indexes of a table, 0 is one), reading, writing, closing. */
#include "sim.h"

#include <limits.h>

#define OPEN_MAX_HERE 4096

static struct open_file files[OPEN_MAX_HERE];
static uint64_t openings;
static pthread_mutex_t files_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Copy of the table's entry, false for a descriptor that is not open. */
static bool look_up(int descriptor, struct open_file *file) {
    pthread_mutex_lock(&files_mutex);
    bool known = descriptor >= 0 && descriptor < OPEN_MAX_HERE && files[descriptor].used;
    if (known)
        *file = files[descriptor];
    pthread_mutex_unlock(&files_mutex);
    if (!known)
        sim_count(&sim_state()->counters.bad_descriptors, 1);
    return known;
}

int sim_path_of(int descriptor, char *path) {
    struct open_file file;
    if (!look_up(descriptor, &file))
        return HPSS_EBADF;
    strcpy(path, file.path);
    return 0;
}

bool sim_record_of(int descriptor, struct record **record) {
    struct open_file file;
    if (!look_up(descriptor, &file))
        return false;
    *record = &sim_state()->record[file.id];
    sim_settle(*record);
    return true;
}

static void give_back(const struct open_file *file) {
    struct record *record = &sim_state()->record[file->id];
    sim_lock();
    if (record->used && record->generation == file->generation) {
        record->opens--;
        record->writers -= (file->flags & O_ACCMODE) != O_RDONLY;
        sim_settle(record);
        sim_record_release(record);
    }
    sim_unlock();
    sim_count(&sim_state()->counters.open_descriptors, -1);
}

/* What ClientAPIReset does to descriptors is not known; here they are lost, and their numbers are used again. */
void sim_files_reset(void) {
    for (int descriptor = 0; descriptor < OPEN_MAX_HERE; descriptor++) {
        pthread_mutex_lock(&files_mutex);
        bool was_used = files[descriptor].used;
        files[descriptor].used = false;
        pthread_mutex_unlock(&files_mutex);
        if (was_used)
            give_back(&files[descriptor]);
    }
}

static int add_file(const char *path, int flags, struct record *record) {
    int limit = (int)sim_state()->settings.open_max;
    pthread_mutex_lock(&files_mutex);
    int descriptor = 0;
    while (descriptor < OPEN_MAX_HERE && descriptor < limit && files[descriptor].used)
        descriptor++;
    if (descriptor < OPEN_MAX_HERE && descriptor < limit) {
        struct open_file *file = &files[descriptor];
        *file = (struct open_file){.used = true, .flags = flags, .id = sim_id(record), .generation = record->generation};
        file->opening = ++openings;
        snprintf(file->path, sizeof file->path, "%s", path);
        record->opens++;
        record->writers += (flags & O_ACCMODE) != O_RDONLY;
        sim_count(&sim_state()->counters.open_descriptors, 1);
    } else {
        descriptor = HPSS_EMFILE;
    }
    pthread_mutex_unlock(&files_mutex);
    return descriptor;
}

static int make_empty(const struct record *record) {
    char path[PATH_BYTES];
    sim_level_path(record, 0, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    close(fd);
    sim_show_mode(record);
    return 0;
}

/* Lock held. */
static int create(const char *path, mode_t mode, SIM_CONST hpss_cos_hints_t *hints,
                  SIM_CONST hpss_cos_priorities_t *priorities, struct record **record) {
    int cos = sim_choose_cos(hints, priorities);
    if (cos < 0)
        return cos;
    mode_t mask = hpss_Umask(0);
    hpss_Umask(mask);
    *record = sim_record_new((uint32_t)cos, mode & ~mask & 07777);
    if (*record == NULL)
        return HPSS_ENOSPACE;
    if (hints != NULL && priorities->FamilyIdPriority == REQUIRED_PRIORITY)
        (*record)->family = hints->FamilyId;
    int code = sim_bind(path, *record);
    if (code == 0)
        code = make_empty(*record);
    sim_record_release(*record);
    return code;
}

static void truncate_record(struct record *record, uint64_t length) {
    char path[PATH_BYTES];
    for (int level = length == 0 ? 0 : 1; level < LEVELS; level++)
        sim_drop_data(record, level);
    sim_level_path(record, 0, path);
    if (length > 0 && truncate(path, (off_t)length) != 0)
        fprintf(stderr, "hpss simulator: cannot truncate %s\n", path);
    record->size = length;
    record->level[0].bytes = record->level[0].bytes > length ? length : record->level[0].bytes;
    record->modify_time = record->change_time = (uint32_t)(sim_now() / NANO);
}

/* Lock held: begin the stage that opening this file asks for; false when the open need not wait for it. */
static int stage_on_open(const struct call *call, struct record *record, int flags, bool *waits) {
    uint32_t code = sim_state()->cos[record->cos].stage_code;
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    *waits = false;
    if (sim_online(record) || (flags & O_TRUNC) || sim_top_kind(record) != DISK)
        return 0;
    if (!writes && ((flags & O_NONBLOCK) || code == COS_STAGE_NO_STAGE))
        return 0;
    if ((flags & O_NONBLOCK) && writes)
        return 0; /* for purge and migrate; a write waits by itself */
    int failed = sim_stage_start(record, &call->failure, &(struct stage_id){"open", 4, false});
    if (failed != 0)
        return failed;
    if (code == COS_STAGE_ON_OPEN_BACKGROUND || (flags & HPSS_O_STAGE_BKGRD)) {
        api_config_t configuration;
        hpss_GetConfiguration(&configuration);
        *waits = configuration.RetryStageInp != 0;
        return *waits ? 0 : -EINPROGRESS;
    }
    *waits = code == COS_STAGE_ON_OPEN && !(flags & HPSS_O_STAGE_ASYNC);
    return 0;
}

static int open_locked(const struct call *call, const char *path, int flags, mode_t mode,
                       SIM_CONST hpss_cos_hints_t *hints, SIM_CONST hpss_cos_priorities_t *priorities,
                       struct record **record, bool *waits) {
    int code = sim_find(path, record);
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (code == HPSS_ENOENT && (flags & O_CREAT)) {
        code = create(path, mode, hints, priorities, record);
        if (code != 0)
            return code;
    } else if (code != 0) {
        return code;
    } else if ((flags & O_CREAT) && (flags & O_EXCL)) {
        return HPSS_EEXIST;
    } else if (!((*record)->mode & (writes ? 0200 : 0400)) && !(writes && (flags & O_NONBLOCK))) {
        return HPSS_EACCES;
    }
    if (writes && (flags & O_TRUNC) && (*record)->size > 0)
        truncate_record(*record, 0);
    code = stage_on_open(call, *record, flags, waits);
    return code != 0 ? code : add_file(path, flags, *record);
}

int sim_open(const struct call *call, const char *path, int flags, mode_t mode, SIM_CONST hpss_cos_hints_t *hints,
             SIM_CONST hpss_cos_priorities_t *priorities, hpss_cos_hints_t *hints_out) {
    struct record *record = NULL;
    bool waits = false;
    if ((hints == NULL) != (priorities == NULL) || ((flags & HPSS_O_STAGE_ASYNC) && (flags & HPSS_O_STAGE_BKGRD)))
        return HPSS_EINVAL;
    sim_lock();
    int code = open_locked(call, path, flags, mode, hints, priorities, &record, &waits);
    sim_unlock();
    if (code >= 0 && waits)
        sim_stage_wait(sim_id(record), record->generation);
    if (code >= 0 && hints_out != NULL)
        *hints_out = (hpss_cos_hints_t){.COSId = record->cos, .StripeWidth = 1};
    return code;
}

int hpss_Open(SIM_CONST char *path, int flags, mode_t mode, SIM_CONST hpss_cos_hints_t *hints,
              SIM_CONST hpss_cos_priorities_t *priorities, hpss_cos_hints_t *hints_out) {
    struct call call;
    int code = sim_enter(&call, "hpss_Open", path, "flags=%#o mode=%o", flags, mode);
    if (code == 0)
        code = sim_open(&call, path, flags, mode, hints, priorities, hints_out);
    return (int)sim_leave(&call, code);
}

/* Enter a call on a descriptor; the file is copied out. */
int sim_enter_file(struct call *call, const char *function, int descriptor, struct open_file *file, uint64_t length) {
    bool known = look_up(descriptor, file);
    int code = sim_enter(call, function, known ? file->path : NULL, "fd=%d offset=%llu length=%llu", descriptor,
                         known ? (unsigned long long)file->offset : 0ull, (unsigned long long)length);
    return known ? code : HPSS_EBADF;
}

/* The level to read from: the top when it has what the others have, else the fullest below. */
static int reading_level(const struct record *record) {
    return sim_online(record) ? 0 : sim_source_level(record);
}

static void tape_time(struct open_file *file, int descriptor, uint64_t length) {
    double seconds = (double)length / sim_state()->settings.tape_rate;
    if (!file->mounted)
        seconds += sim_state()->settings.mount_seconds;
    pthread_mutex_lock(&files_mutex);
    files[descriptor].mounted = true;
    pthread_mutex_unlock(&files_mutex);
    sim_wait_until(sim_now() + (uint64_t)(seconds * 1e9));
}

/* Not when the number is another file's by now, after a reset. */
static void move_to(int descriptor, const struct open_file *file, uint64_t offset) {
    pthread_mutex_lock(&files_mutex);
    if (files[descriptor].opening == file->opening)
        files[descriptor].offset = offset;
    pthread_mutex_unlock(&files_mutex);
}

static uint64_t smaller(uint64_t one, uint64_t other) { return one < other ? one : other; }

static ssize_t read_level(const struct record *record, int level, void *buffer, size_t length, uint64_t offset) {
    char path[PATH_BYTES];
    sim_level_path(record, level, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : pread(fd, buffer, length, (off_t)offset);
    if (fd >= 0)
        close(fd);
    if (got >= 0 && (size_t)got < length) /* a hole at the end of the level */
        memset((char *)buffer + got, 0, length - (size_t)got);
    return got < 0 ? HPSS_EIO : (ssize_t)length;
}

ssize_t sim_read(const struct failure *failure, int descriptor, struct open_file *file, void *buffer, uint64_t length) {
    struct record *record = &sim_state()->record[file->id];
    sim_lock();
    sim_settle(record);
    bool wait = sim_staging(record) && !(file->flags & O_NONBLOCK);
    sim_unlock();
    if (wait)
        sim_stage_wait(file->id, file->generation);
    sim_lock();
    sim_settle(record);
    int level = reading_level(record);
    bool tape = sim_state()->cos[record->cos].kind[level] == TAPE;
    length = smaller(length, record->size > file->offset ? record->size - file->offset : 0);
    uint64_t damaged_from = tape ? record->damaged_from : NEVER;
    record->reads++;
    sim_unlock();
    if (failure->has_limit && failure->has_code)
        damaged_from = smaller(damaged_from, failure->limit);
    if (length > 0 && file->offset >= damaged_from)
        return failure->has_code ? failure->code : HPSS_EIO;
    length = smaller(length, damaged_from - file->offset);
    if (failure->has_short)
        length = smaller(length, failure->shortened);
    if (length == 0)
        return 0;
    if (tape)
        tape_time(file, descriptor, length);
    ssize_t got = read_level(record, level, buffer, length, file->offset);
    if (got > 0 && failure->corrupt >= 0 && failure->corrupt < got)
        ((char *)buffer)[failure->corrupt] ^= 0x20;
    return got;
}

ssize_t hpss_Read(int descriptor, void *buffer, size_t length) {
    struct call call;
    struct open_file file;
    ssize_t got = sim_enter_file(&call, "hpss_Read", descriptor, &file, length);
    if (got == 0 && (file.flags & O_ACCMODE) == O_WRONLY)
        got = HPSS_EBADF;
    if (got == 0) {
        got = sim_read(&call.failure, descriptor, &file, buffer, length);
        if (got > 0)
            move_to(descriptor, &file, file.offset + (uint64_t)got);
    }
    return sim_leave(&call, got);
}

static ssize_t write_level(const struct record *record, const struct failure *failure, const void *buffer,
                           size_t length, uint64_t offset) {
    char path[PATH_BYTES];
    sim_level_path(record, 0, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    ssize_t written = fd < 0 ? -1 : pwrite(fd, buffer, length, (off_t)offset);
    if (written > 0 && failure->corrupt >= 0 && failure->corrupt < written) {
        char wrong = ((const char *)buffer)[failure->corrupt] ^ 0x20;
        written = pwrite(fd, &wrong, 1, (off_t)offset + failure->corrupt) == 1 ? written : -1;
    }
    if (fd >= 0)
        close(fd);
    return written < 0 ? -errno : written;
}

/* Lock held: what was written counts at the top level, and what lower levels hold is out of date. */
static void after_write(struct record *record, uint64_t offset, uint64_t length) {
    uint64_t end = offset + length, old_end = record->size;
    uint64_t fresh = end > old_end ? end - (offset > old_end ? offset : old_end) : 0;
    for (int level = 1; level < LEVELS; level++)
        sim_drop_data(record, level);
    record->level[0].bytes += fresh; /* a hole is not counted, nor is filling one */
    if (sim_top_kind(record) == TAPE && record->level[0].volume == 0)
        sim_place_on_tape(record, 0);
    record->size = end > old_end ? end : old_end;
    record->writes++;
    record->digest.flags &= ~(uint32_t)HPSS_FILE_HASH_DIGEST_VALID;
    record->modify_time = record->change_time = (uint32_t)(sim_now() / NANO);
}

static int room_for(const struct record *record, uint64_t offset, uint64_t length) {
    uint64_t space = (uint64_t)sim_state()->settings.space;
    if (offset + length > sim_state()->cos[record->cos].largest)
        return HPSS_EFBIG;
    return space > 0 && sim_used_bytes() + length > space ? HPSS_ENOSPACE : 0;
}

ssize_t sim_write(const struct failure *failure, struct open_file *file, const void *buffer, uint64_t length) {
    struct record *record = &sim_state()->record[file->id];
    uint64_t limit = failure->has_limit && failure->has_code ? failure->limit : NEVER;
    sim_lock();
    sim_settle(record);
    int code = sim_online(record) ? 0 : sim_stage_start(record, failure, &(struct stage_id){"write", 5, false});
    file->offset = file->flags & O_APPEND ? record->size : file->offset;
    code = code != 0 ? code : room_for(record, file->offset, length);
    sim_unlock();
    if (code != 0)
        return code;
    sim_stage_wait(file->id, file->generation);
    if (file->offset >= limit)
        return failure->code;
    length = smaller(length, limit - file->offset);
    if (failure->has_short)
        length = smaller(length, failure->shortened);
    ssize_t written = length == 0 ? 0 : write_level(record, failure, buffer, length, file->offset);
    sim_lock();
    if (written > 0)
        after_write(record, file->offset, (uint64_t)written);
    sim_unlock();
    return written;
}

ssize_t hpss_Write(int descriptor, const void *buffer, size_t length) {
    struct call call;
    struct open_file file;
    ssize_t written = sim_enter_file(&call, "hpss_Write", descriptor, &file, length);
    if (written == 0 && (file.flags & O_ACCMODE) == O_RDONLY)
        written = HPSS_EBADF;
    if (written == 0) {
        written = sim_write(&call.failure, &file, buffer, length);
        if (written > 0)
            move_to(descriptor, &file, file.offset + (uint64_t)written);
    }
    return sim_leave(&call, written);
}

static int seek_base(const struct open_file *file, int whence, uint64_t *base) {
    struct record *record = &sim_state()->record[file->id];
    if (whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END)
        return HPSS_EINVAL;
    *base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file->offset : record->size;
    return 0;
}

hpss_off_t hpss_Lseek(int descriptor, hpss_off_t offset, int whence) {
    struct call call;
    struct open_file file;
    uint64_t base = 0;
    int code = sim_enter_file(&call, "hpss_Lseek", descriptor, &file, 0);
    if (code == 0)
        code = seek_base(&file, whence, &base);
    if (code == 0 && offset < 0 && (uint64_t)-offset > base)
        code = HPSS_EINVAL;
    if (code == 0)
        move_to(descriptor, &file, base + (uint64_t)offset);
    return sim_leave(&call, code != 0 ? code : (hpss_off_t)(base + (uint64_t)offset));
}

int hpss_SetFileOffset(int descriptor, u_signed64 offset, int whence, int direction, u_signed64 *out) {
    struct call call;
    struct open_file file;
    uint64_t base = 0;
    int code = sim_enter_file(&call, "hpss_SetFileOffset", descriptor, &file, offset);
    if (code == 0)
        code = seek_base(&file, whence, &base);
    if (code == 0 && direction != HPSS_SET_OFFSET_FORWARD &&
        (direction != HPSS_SET_OFFSET_BACKWARD || offset > base))
        code = HPSS_EINVAL;
    if (code == 0) {
        *out = direction == HPSS_SET_OFFSET_FORWARD ? base + offset : base - offset;
        move_to(descriptor, &file, *out);
    }
    return (int)sim_leave(&call, code);
}

/* Close of this descriptor has to wait for the stage that was asked for with it. */
void sim_close_after_stage(int descriptor) {
    pthread_mutex_lock(&files_mutex);
    files[descriptor].waits_for_stage = true;
    pthread_mutex_unlock(&files_mutex);
}

int hpss_Close(int descriptor) {
    struct call call;
    struct open_file file;
    int code = sim_enter_file(&call, "hpss_Close", descriptor, &file, 0);
    if (code == HPSS_EBADF)
        return (int)sim_leave(&call, code);
    if (file.waits_for_stage)
        sim_stage_wait(file.id, file.generation);
    pthread_mutex_lock(&files_mutex);
    bool was_used = files[descriptor].used;
    files[descriptor].used = false;
    pthread_mutex_unlock(&files_mutex);
    if (was_used)
        give_back(&file);
    return (int)sim_leave(&call, code);
}

int hpss_Fsync(int descriptor) {
    struct call call;
    struct open_file file;
    return (int)sim_leave(&call, sim_enter_file(&call, "hpss_Fsync", descriptor, &file, 0));
}

int hpss_Ftruncate(int descriptor, u_signed64 length) {
    struct call call;
    struct open_file file;
    int code = sim_enter_file(&call, "hpss_Ftruncate", descriptor, &file, length);
    if (code == 0 && (file.flags & O_ACCMODE) == O_RDONLY)
        code = HPSS_EBADF;
    sim_lock();
    if (code == 0)
        truncate_record(&sim_state()->record[file.id], length);
    sim_unlock();
    return (int)sim_leave(&call, code);
}

int hpss_Truncate(SIM_CONST char *path, u_signed64 length) {
    struct call call;
    struct record *record;
    int code = sim_enter(&call, "hpss_Truncate", path, "length=%llu", (unsigned long long)length);
    sim_lock();
    if (code == 0 && (code = sim_find(path, &record)) == 0)
        truncate_record(record, length);
    sim_unlock();
    return (int)sim_leave(&call, code);
}
