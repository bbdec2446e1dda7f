/* Where a file's bytes are: records, levels, stages, and what time does to a stage under way. */
#include "sim.h"

#include <inttypes.h>

#define COPY_BYTES (1 << 20)

uint32_t sim_id(const struct record *record) { return (uint32_t)(record - sim_state()->record); }

struct record *sim_record_new(uint32_t cos, uint32_t mode) {
    struct state *state = sim_state();
    for (uint32_t step = 1; step < RECORD_COUNT; step++) {
        uint32_t id = (state->next_record + step) % RECORD_COUNT;
        struct record *record = &state->record[id];
        if (record->used || id == 0)
            continue;
        state->next_record = id;
        state->highest_record = id > state->highest_record ? id : state->highest_record;
        uint32_t now = (uint32_t)(sim_now() / NANO), generation = record->generation + 1;
        *record = (struct record){.used = 1, .generation = generation, .cos = cos, .mode = mode};
        record->uid = getuid();
        record->gid = getgid();
        record->access_time = record->modify_time = record->change_time = record->create_time = now;
        record->damaged_from = NEVER;
        return record;
    }
    return NULL;
}

void sim_level_path(const struct record *record, int level, char *path) {
    snprintf(path, PATH_BYTES, "%s/data/%" PRIu32 ".%d", sim_root(), sim_id(record), level);
}

void sim_drop_data(struct record *record, int level) {
    char path[PATH_BYTES];
    sim_level_path(record, level, path);
    unlink(path);
    record->level[level].bytes = 0;
}

/* Free the record once no name and no descriptor is left. */
void sim_record_release(struct record *record) {
    if (record->links > 0 || record->opens > 0)
        return;
    for (int level = 0; level < LEVELS; level++)
        sim_drop_data(record, level);
    record->used = 0;
}

static int kind_of(const struct record *record, int level) { return (int)sim_state()->cos[record->cos].kind[level]; }

int sim_top_kind(const struct record *record) { return kind_of(record, 0); }

bool sim_staging(const struct record *record) { return record->stage.ends != 0 && sim_now() < record->stage.ends; }

/* The first level below the top that holds the most bytes, or -1. */
int sim_source_level(const struct record *record) {
    int source = -1;
    for (int level = 1; level < LEVELS; level++)
        if (record->level[level].bytes > (source < 0 ? 0 : record->level[source].bytes))
            source = level;
    return source;
}

bool sim_online(const struct record *record) {
    int source = sim_source_level(record);
    return source < 0 || record->level[0].bytes >= record->level[source].bytes;
}

/* A new file at *target*; the old one may be read-only. */
int sim_copy(const char *source, const char *target) {
    unlink(target);
    int in = open(source, O_RDONLY | O_CLOEXEC), out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    static char block[COPY_BYTES]; /* the archive's lock guards it */
    ssize_t moved = in < 0 || out < 0 ? -1 : 1;
    while (moved > 0) {
        moved = read(in, block, COPY_BYTES);
        if (moved > 0 && write(out, block, (size_t)moved) != moved)
            moved = -1;
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return moved < 0 ? HPSS_EIO : 0;
}

static int copy_level(const struct record *record, int from, int to) {
    char source[PATH_BYTES], target[PATH_BYTES];
    sim_level_path(record, from, source);
    sim_level_path(record, to, target);
    int code = sim_copy(source, target);
    sim_show_mode(record);
    return code;
}

/* Let a stage whose time has come take effect. */
void sim_settle(struct record *record) {
    if (record->stage.ends == 0 || sim_staging(record))
        return;
    int source = sim_source_level(record);
    if (record->stage.code == 0 && source >= 0)
        record->stage.code = copy_level(record, source, 0);
    if (record->stage.code == 0 && source >= 0)
        record->level[0].bytes = record->stage.bytes;
    record->stage.ends = 0;
    int64_t *counter = record->stage.code == 0 ? &sim_state()->counters.recalls_finished : &sim_state()->counters.recalls_failed;
    sim_count(counter, 1);
}

uint64_t sim_used_bytes(void) {
    uint64_t sum = 0;
    for (uint32_t id = 1; id <= sim_state()->highest_record; id++)
        sum += sim_state()->record[id].used ? sim_state()->record[id].size : 0;
    return sum;
}

static int queued_stages(void) {
    int count = 0;
    for (uint32_t id = 1; id <= sim_state()->highest_record; id++)
        count += sim_state()->record[id].used && sim_staging(&sim_state()->record[id]);
    return count;
}

int sim_stage_start(struct record *record, const struct failure *failure, const struct stage_id *id) {
    struct state *state = sim_state();
    sim_settle(record);
    if (sim_staging(record)) {
        sim_count(&state->counters.duplicate_stages, 1);
        return 0;
    }
    int source = sim_source_level(record);
    record->stage.code = 0;
    if (sim_online(record) || failure->lost)
        return 0;
    if (state->settings.stage_queue < RECORD_COUNT && queued_stages() >= state->settings.stage_queue)
        return HPSS_EAGAIN;
    sim_schedule(record, source, &record->stage.begins, &record->stage.ends);
    record->stage.bytes = (uint64_t)((double)record->level[source].bytes * failure->fraction);
    record->stage.code = record->damaged_from != NEVER ? HPSS_EIO : failure->stage_code;
    memset(record->stage.callback, 0, sizeof record->stage.callback);
    memcpy(record->stage.callback, id->bytes, id->size);
    record->stage.in_batch = id->in_batch;
    sim_count(&state->counters.stages, 1);
    return 0;
}

void sim_stage_wait(uint32_t id, uint32_t generation) {
    struct record *record = &sim_state()->record[id];
    for (;;) {
        sim_lock();
        bool waiting = record->used && record->generation == generation && sim_staging(record);
        uint64_t ends = record->stage.ends;
        if (!waiting && record->used && record->generation == generation)
            sim_settle(record);
        sim_unlock();
        if (!waiting)
            return;
        sim_wait_until(ends);
    }
}

/* Copy *level* one level down; never over bytes that *level* does not have. The real codes are not known. */
int sim_move_down(struct record *record, int level) {
    sim_settle(record);
    if (level + 1 >= LEVELS || kind_of(record, level + 1) == NO_LEVEL)
        return HPSS_EINVAL;
    if (sim_staging(record))
        return HPSS_EBUSY;
    if (record->level[level].bytes < record->level[level + 1].bytes)
        return HPSS_EINVAL;
    int code = copy_level(record, level, level + 1);
    if (code != 0)
        return code;
    record->level[level + 1].bytes = record->level[level].bytes;
    if (kind_of(record, level + 1) == TAPE)
        sim_place_on_tape(record, level + 1);
    return 0;
}

/* Purge: only what a lower level holds too, and is not locked. The real codes are not known. */
int sim_empty_level(struct record *record, int level, uint64_t *bytes) {
    sim_settle(record);
    if (sim_staging(record))
        return HPSS_EBUSY;
    uint64_t below = 0;
    for (int lower = level + 1; lower < LEVELS; lower++)
        if (record->level[lower].bytes > below)
            below = record->level[lower].bytes;
    if (record->purge_locked || below < record->level[level].bytes)
        return HPSS_EPERM;
    *bytes = record->level[level].bytes;
    sim_drop_data(record, level);
    return 0;
}
