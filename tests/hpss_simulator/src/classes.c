/* Classes of service: which one a new file gets, changing it, what is known of it. */
#include "sim.h"

static bool holds(const struct cos *cos, SIM_CONST hpss_cos_hints_t *hints,
                  SIM_CONST hpss_cos_priorities_t *priorities) {
    bool small = hints->MinFileSize >= cos->smallest || priorities->MinFileSizePriority < DESIRED_PRIORITY;
    bool large = hints->MaxFileSize <= cos->largest || priorities->MaxFileSizePriority < DESIRED_PRIORITY;
    return cos->used && small && large;
}

/* The class that the hints ask for, or a code. */
int sim_choose_cos(SIM_CONST hpss_cos_hints_t *hints, SIM_CONST hpss_cos_priorities_t *priorities) {
    const struct cos *cos = sim_state()->cos;
    if (hints == NULL)
        return 1;
    if (priorities->COSIdPriority == REQUIRED_PRIORITY)
        return hints->COSId < COS_COUNT && cos[hints->COSId].used ? (int)hints->COSId : HPSS_EINVAL;
    for (int id = 1; id < COS_COUNT; id++)
        if (holds(&cos[id], hints, priorities))
            return id;
    bool must = priorities->MinFileSizePriority == REQUIRED_PRIORITY ||
                priorities->MaxFileSizePriority == REQUIRED_PRIORITY;
    return must ? HPSS_EINVAL : 1;
}

static void describe(uint32_t id, hpss_cos_md_t *out) {
    const struct cos *cos = &sim_state()->cos[id];
    memset(out, 0, sizeof *out);
    out->COSId = out->HierId = id;
    snprintf(out->COSName, sizeof out->COSName, "class %u", id);
    out->OptimumAccessSize = 4u << 20;
    out->MinFileSize = cos->smallest;
    out->MaxFileSize = cos->largest;
    out->StageCode = cos->stage_code;
}

/* Only a file that holds nothing yet may change its class. */
static int change(struct record *record, int cos) {
    if (cos < 0)
        return cos;
    if (record->size > 0 && (uint32_t)cos != record->cos)
        return HPSS_EINVAL;
    record->cos = (uint32_t)cos;
    return 0;
}

int hpss_SetCOSByHints(int descriptor, uint32_t flags, SIM_CONST hpss_cos_hints_t *hints,
                       SIM_CONST hpss_cos_priorities_t *priorities, hpss_cos_md_t *out) {
    struct call call;
    struct open_file file;
    (void)flags;
    int code = sim_enter_file(&call, "hpss_SetCOSByHints", descriptor, &file, 0);
    if (code == 0 && (hints == NULL || priorities == NULL))
        code = HPSS_EINVAL;
    if (code == 0 && (file.flags & O_ACCMODE) == O_RDONLY)
        code = HPSS_EBADF;
    sim_lock();
    if (code == 0)
        code = change(&sim_state()->record[file.id], sim_choose_cos(hints, priorities));
    if (code == 0 && out != NULL)
        describe(sim_state()->record[file.id].cos, out);
    sim_unlock();
    return (int)sim_leave(&call, code);
}

int hpss_FileSetCOS(SIM_CONST char *path, cos_t cos, uint32_t stream) {
    struct call call;
    struct record *record;
    (void)stream;
    int code = sim_enter(&call, "hpss_FileSetCOS", path, "cos=%u", cos);
    sim_lock();
    if (code == 0 && (cos >= COS_COUNT || !sim_state()->cos[cos].used))
        code = HPSS_EINVAL;
    if (code == 0 && (code = sim_find(path, &record)) == 0)
        code = change(record, (int)cos);
    sim_unlock();
    return (int)sim_leave(&call, code);
}

/* Without a limit of space, what a 64-bit number of bytes holds is free. */
int hpss_Statfs(cos_t cos, hpss_statfs_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_Statfs", NULL, "cos=%u", cos);
    if (code == 0 && (cos >= COS_COUNT || !sim_state()->cos[cos].used))
        code = HPSS_EINVAL;
    if (code == 0) {
        uint64_t space = (uint64_t)sim_state()->settings.space, used = space > 0 ? sim_used_bytes() : 0;
        memset(out, 0, sizeof *out);
        out->f_bsize = 1;
        out->f_blocks = space > 0 ? space : INT64_MAX;
        out->f_bfree = out->f_bavail = out->f_blocks - (used < out->f_blocks ? used : out->f_blocks);
    }
    return (int)sim_leave(&call, code);
}

/* One file set, the root's, which forces no class on anybody. */
int hpss_FilesetGetAttributes(SIM_CONST char *name, SIM_CONST u_signed64 *id, SIM_CONST ns_ObjHandle_t *handle,
                              SIM_CONST sim_server_id_t *server, ns_FilesetAttrBits_t bits, ns_FilesetAttrs_t *out) {
    struct call call;
    (void)server;
    int code = sim_enter(&call, "hpss_FilesetGetAttributes", name, "bits=%#llx", (unsigned long long)bits);
    int named = (name != NULL) + (id != NULL) + (handle != NULL); /* a file set is named in one way */
    if (code == 0 && (named != 1 || bits == 0))
        code = HPSS_EINVAL;
    if (code == 0 && (handle != NULL || (name != NULL && strcmp(name, "root") != 0) || (id != NULL && *id != ROOT_FILESET)))
        code = HPSS_ENOENT;
    if (code == 0)
        *out = (ns_FilesetAttrs_t){.FilesetId = ROOT_FILESET, .ClassOfService = 0};
    return (int)sim_leave(&call, code);
}
