/* The calls that move bytes between levels: stage, purge, migrate, and how a stage is getting on. */
#include "sim.h"

int hpss_Stage(int descriptor, u_signed64 offset, u_signed64 length, uint32_t level, uint32_t flags) {
    struct call call;
    struct open_file file;
    (void)offset;
    int code = sim_enter_file(&call, "hpss_Stage", descriptor, &file, length);
    struct record *record = code == 0 ? &sim_state()->record[file.id] : NULL;
    if (code == 0 && level != 0)
        code = HPSS_EINVAL;
    sim_lock();
    if (code == 0)
        code = sim_top_kind(record) == DISK ? sim_stage_start(record, &call.failure, &(struct stage_id){"stage", 5, false}) : HPSS_EINVAL;
    sim_unlock();
    if (code == 0 && (flags & BFS_ASYNCH_CALL)) {
        sim_close_after_stage(descriptor);
    } else if (code == 0) {
        sim_stage_wait(file.id, file.generation);
        code = record->stage.code;
    }
    return (int)sim_leave(&call, code);
}

/* A request id that nobody has had before. */
hpss_reqid_t sim_fresh_request_id(void) {
    hpss_reqid_t id;
    uint32_t number = ++sim_state()->next_request;
    memset(&id, 0xa5, sizeof id);
    memcpy(&id, &number, sizeof number);
    return id;
}

static void write_hex(const void *bytes, size_t length, char *out) {
    for (size_t i = 0; i < length; i++)
        sprintf(out + 2 * i, "%02x", ((const uint8_t *)bytes)[i]);
}

/* A stage is known by the callback's id. *request and *bitfile are only written. */
int hpss_StageCallBack(SIM_CONST char *path, u_signed64 offset, u_signed64 length, uint32_t level,
                       bfs_callback_addr_t *callback, uint32_t flags, hpss_reqid_t *request, sim_bitfile_t *bitfile) {
    struct call call;
    struct record *record;
    char id[2 * sizeof(hpss_reqid_t) + 1] = "";
    (void)offset, (void)length, (void)flags;
    if (callback != NULL)
        write_hex(&callback->id, sizeof callback->id, id);
    int code = sim_enter(&call, "hpss_StageCallBack", path, "id=%s address=%#x port=%u", id,
                         callback != NULL ? callback->sockaddr.address : 0, callback != NULL ? callback->sockaddr.port : 0);
    if (code == 0 && callback == NULL)
        sim_count(&sim_state()->counters.alarms, 1);
    sim_lock();
    if (code == 0)
        code = sim_find(path, &record);
    if (code == 0 && (level != 0 || sim_top_kind(record) != DISK))
        code = HPSS_EINVAL;
    if (code == 0) {
        *request = sim_fresh_request_id();
        const void *known_by = callback != NULL ? &callback->id : request;
        code = sim_stage_start(record, &call.failure, &(struct stage_id){known_by, sizeof *request, false});
    }
    if (code == 0)
        sim_bitfile_of(record, bitfile);
    sim_unlock();
    return (int)sim_leave(&call, code);
}

/* The state of the stage whose callback has the id *callback*; a stage that ended, well or badly, is forgotten, and
 * those of batches are known by their own call only. */
static int stage_status(const void *callback, size_t size, const void *identity, int32_t *status) {
    struct state *state = sim_state();
    uint32_t id[2];
    memcpy(id, identity, sizeof id);
    if (id[0] >= RECORD_COUNT)
        return HPSS_EINVAL;
    sim_lock();
    struct record *record = &state->record[id[0]];
    bool asked = record->used && record->generation == id[1];
    if (asked)
        sim_settle(record);
    asked = asked && sim_staging(record) && !record->stage.in_batch && memcmp(record->stage.callback, callback, size) == 0;
    *status = !asked                                ? HPSS_STAGE_STATUS_UNKNOWN
              : sim_now() < record->stage.begins ? HPSS_STAGE_STATUS_QUEUED
                                                    : HPSS_STAGE_STATUS_ACTIVE;
    sim_unlock();
    return 0;
}

#if SIM_VERSION >= 705
int hpss_GetAsyncStatus(hpss_reqid_t callback, bfs_bitfile_obj_handle_t *bitfile, int32_t *status) {
    struct call call;
    int code = sim_enter(&call, "hpss_GetAsyncStatus", NULL, "-");
    if (code == 0)
        code = stage_status(&callback, sizeof callback, &bitfile->BfId.Bytes[3], status);
    return (int)sim_leave(&call, code);
}
#else
int hpss_GetAsynchStatus(signed32 id, hpssoid_t *bitfile, signed32 *status) {
    struct call call;
    int code = sim_enter(&call, "hpss_GetAsynchStatus", NULL, "id=%d", id);
    if (code == 0)
        code = stage_status(&id, sizeof id, &bitfile->ObjectID, status);
    return (int)sim_leave(&call, code);
}
#endif

int hpss_Purge(int descriptor, u_signed64 offset, u_signed64 length, uint32_t level, uint32_t flags,
               u_signed64 *purged) {
    struct call call;
    struct open_file file;
    (void)offset, (void)flags;
    int code = sim_enter_file(&call, "hpss_Purge", descriptor, &file, length);
    if (code == 0 && ((file.flags & O_ACCMODE) != O_RDWR || level >= LEVELS))
        code = HPSS_EINVAL;
    *purged = 0;
    sim_lock();
    if (code == 0)
        code = sim_empty_level(&sim_state()->record[file.id], (int)level, purged);
    sim_unlock();
    return (int)sim_leave(&call, code);
}

int hpss_PurgeLock(int descriptor, purgelock_flag_t flag) {
    struct call call;
    struct open_file file;
    int code = sim_enter_file(&call, "hpss_PurgeLock", descriptor, &file, 0);
    sim_lock();
    if (code == 0) {
        struct record *record = &sim_state()->record[file.id];
        bool tape = false;
        for (int level = 0; level < LEVELS; level++)
            tape = tape || sim_state()->cos[record->cos].kind[level] == TAPE;
        if (record->size == 0 || !tape || sim_top_kind(record) != DISK)
            code = HPSS_EINVAL;
        else
            record->purge_locked = flag == PURGE_LOCK;
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}

int hpss_Migrate(int descriptor, uint32_t level, uint32_t flags, u_signed64 *migrated) {
    struct call call;
    struct open_file file;
    int code = sim_enter_file(&call, "hpss_Migrate", descriptor, &file, 0);
    *migrated = 0;
    sim_lock();
    if (code == 0 && level < LEVELS) {
        struct record *record = &sim_state()->record[file.id];
        uint64_t purged;
        code = sim_move_down(record, (int)level);
        *migrated = code == 0 ? record->level[level].bytes : 0;
        if (code == 0 && (flags & HPSS_MIGRATE_PURGE_DATA) == HPSS_MIGRATE_PURGE_DATA)
            code = sim_empty_level(record, (int)level, &purged);
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}
