/* The digest that HPSS itself keeps of a file; writing makes it invalid. */
#include "sim.h"

int hpss_FsetFileDigest(int descriptor, hpss_file_hash_digest_t *digest) {
    struct call call;
    struct open_file file;
    int code = sim_enter_file(&call, "hpss_FsetFileDigest", descriptor, &file, 0);
    if (code == 0 && digest->Type == hpss_hash_type_none)
        code = HPSS_EINVAL;
    sim_lock();
    if (code == 0) {
        struct record *record = &sim_state()->record[file.id];
        record->digest.type = (uint32_t)digest->Type;
        record->digest.flags = digest->Flags;
        memcpy(record->digest.bytes, digest->Buffer, sizeof record->digest.bytes);
        snprintf(record->digest.creator, sizeof record->digest.creator, "%s", digest->Creator);
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}

/* A file without a digest has one of type none. */
int hpss_FileGetDigestHandle(SIM_CONST ns_ObjHandle_t *handle, SIM_CONST char *name, SIM_CONST sec_cred_t *user,
                             hpss_file_hash_digest_t *out) {
    struct call call;
    struct record *record;
    char path[PATH_BYTES];
    (void)user;
    int code = sim_enter_handle(&call, "hpss_FileGetDigestHandle", handle, name, path);
    sim_lock();
    if (code == 0 && (code = sim_find(path, &record)) == 0) {
        memset(out, 0, sizeof *out);
        out->Type = record->digest.type == 0 ? hpss_hash_type_none : (hpss_hash_type_t)record->digest.type;
        out->Flags = record->digest.flags;
        memcpy(out->Buffer, record->digest.bytes, sizeof out->Buffer);
        memcpy(out->Creator, record->digest.creator, sizeof out->Creator);
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}
