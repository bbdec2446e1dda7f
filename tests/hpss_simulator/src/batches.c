/* Stages of many files by one call, from 9.3 on. The core server reads a tape's files in the order of the tape. */
#include "sim.h"

#if SIM_VERSION >= 903

#define BATCH_MOST 1024

struct sim_batch_entry {
    bool filled;
    bfs_bitfile_obj_handle_t bitfile;
    int from_level, to_level;
};

int API_StageBatchInit(hpss_stage_batch_t *batch, int length) {
    if (length <= 0 || length > BATCH_MOST)
        return HPSS_EINVAL;
    batch->entries = sim_block((size_t)length * sizeof *batch->entries);
    batch->length = length;
    return batch->entries != NULL ? 0 : HPSS_ENOMEM;
}

int API_StageBatchInsertBFObj(hpss_stage_batch_t *batch, int index, const bfs_bitfile_obj_handle_t *bitfile,
                              int from_level, int to_level, u_signed64 offset, u_signed64 length, uint32_t flags) {
    (void)offset, (void)length, (void)flags;
    if (index < 0 || index >= batch->length)
        return HPSS_EINVAL;
    batch->entries[index] = (struct sim_batch_entry){true, *bitfile, from_level, to_level};
    return 0;
}

void API_StageBatchFree(hpss_stage_batch_t *batch) {
    sim_free(batch->entries);
    batch->entries = NULL;
    batch->length = 0;
}

void API_StageStatusFree(hpss_stage_batch_status_t *status) {
    sim_free(status->StatusList.StatusList_val);
    status->StatusList.StatusList_val = NULL;
    status->StatusList.StatusList_len = 0;
}

static int make_status(hpss_stage_batch_status_t *status, uint32_t length) {
    status->StatusList.StatusList_len = length;
    status->StatusList.StatusList_val = sim_block(length * sizeof *status->StatusList.StatusList_val);
    return status->StatusList.StatusList_val != NULL ? 0 : HPSS_ENOMEM;
}

static bool lies_before(const struct sim_batch_entry *one, const struct sim_batch_entry *other) {
    struct record *here = sim_record_of_bitfile(&one->bitfile), *there = sim_record_of_bitfile(&other->bitfile);
    return here != NULL && there != NULL ? sim_lies_before(here, there) : here == NULL && there != NULL;
}

/* Lock held. What the caller is told of one file; most often that not all has moved yet. */
static int32_t submit(const struct failure *failure, const struct sim_batch_entry *entry, const hpss_reqid_t *id) {
    struct record *record = entry->filled ? sim_record_of_bitfile(&entry->bitfile) : NULL;
    if (record == NULL)
        return HPSS_ENOENT;
    if (entry->to_level != 0 || sim_top_kind(record) != DISK)
        return HPSS_EINVAL;
    bool has_source = entry->from_level > 0 && entry->from_level < LEVELS && record->level[entry->from_level].bytes > 0;
    if (!sim_online(record) && !has_source)
        return HPSS_EINVAL;
    int code = sim_stage_start(record, failure, &(struct stage_id){id, sizeof *id, true});
    return code != 0 ? code : sim_online(record) ? 0 : HPSS_ENOTALLMOVED;
}

static void submit_all(const struct failure *failure, const hpss_stage_batch_t *batch, const hpss_reqid_t *id,
                       hpss_stage_status_t *out) {
    int order[BATCH_MOST];
    for (int i = 0; i < batch->length; i++) {
        int at = i;
        for (; at > 0 && lies_before(&batch->entries[i], &batch->entries[order[at - 1]]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (int i = 0; i < batch->length; i++)
        out[order[i]].Status = submit(failure, &batch->entries[order[i]], id);
}

int hpss_StageBatchCallBack(hpss_stage_batch_t *batch, bfs_callback_addr_t *callback, hpss_reqid_t *request,
                            hpss_stage_bitfile_list_t *bitfiles, hpss_stage_batch_status_t *status) {
    struct call call;
    int code = sim_enter(&call, "hpss_StageBatchCallBack", NULL, "files=%d address=%#x port=%u", batch->length,
                         callback != NULL ? callback->sockaddr.address : 0, callback != NULL ? callback->sockaddr.port : 0);
    if (code == 0 && callback == NULL)
        sim_count(&sim_state()->counters.alarms, 1);
    if (code == 0 && (callback == NULL || bitfiles->List.List_val == NULL))
        code = HPSS_EFAULT;
    if (code == 0 && bitfiles->List.List_len != (uint32_t)batch->length)
        code = -EOPNOTSUPP;
    if (code == 0)
        code = make_status(status, (uint32_t)batch->length);
    if (code == 0) {
        sim_lock();
        submit_all(&call.failure, batch, &callback->id, status->StatusList.StatusList_val);
        *request = sim_fresh_request_id();
        sim_unlock();
        for (int i = 0; i < batch->length; i++)
            bitfiles->List.List_val[i] = batch->entries[i].bitfile;
    }
    return (int)sim_leave(&call, code);
}

int hpss_GetBatchAsynchStatus(hpss_reqid_t id, hpss_stage_bitfile_list_t *bitfiles, hpss_stage_status_type_t type,
                              hpss_stage_batch_status_t *status) {
    struct call call;
    int code = sim_enter(&call, "hpss_GetBatchAsynchStatus", NULL, "files=%u", bitfiles->List.List_len);
    if (code == 0 && type != HPSS_STAGE_STATUS_BFS_SS)
        code = HPSS_EINVAL;
    if (code == 0)
        code = make_status(status, bitfiles->List.List_len);
    sim_lock();
    for (uint32_t i = 0; code == 0 && i < bitfiles->List.List_len; i++) {
        struct record *record = sim_record_of_bitfile(&bitfiles->List.List_val[i]);
        bool asked = record != NULL && sim_staging(record) && record->stage.in_batch &&
                     memcmp(record->stage.callback, &id, sizeof id) == 0;
        status->StatusList.StatusList_val[i].StageStatus = asked ? 2 : 0;
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}

#endif
