/* Calls by handle: an object that was met before, and a path from there.
 *
 * A process knows the handles that it was given, and where they were then. One that was renamed since is stale: the worse
 * of what a caller may meet.
 */
#include "sim.h"

#define KNOWN_HANDLES 4096

ns_ObjHandle_t API_RootNSHandle = {1, 1, 1, NS_OBJECT_TYPE_DIRECTORY};

static struct {
    ns_ObjHandle_t handle;
    char *path;
} known[KNOWN_HANDLES];
static pthread_mutex_t known_mutex = PTHREAD_MUTEX_INITIALIZER;

static bool same(const ns_ObjHandle_t *one, const ns_ObjHandle_t *other) {
    return one->ObjId == other->ObjId && one->Generation == other->Generation && one->Type == other->Type;
}

static size_t slot_of(const ns_ObjHandle_t *handle) { return (handle->ObjId * 31 + handle->Type) % KNOWN_HANDLES; }

static void keep(const ns_ObjHandle_t *handle, const char *path) {
    size_t slot = slot_of(handle);
    pthread_mutex_lock(&known_mutex);
    free(known[slot].path);
    known[slot].path = strdup(path);
    known[slot].handle = *handle;
    pthread_mutex_unlock(&known_mutex);
}

/* The handle of what is at *path* now; for a directory, *record* is NULL. */
static int handle_now(const char *path, const struct record *record, ns_ObjHandle_t *out) {
    char real[PATH_BYTES];
    struct stat found;
    memset(out, 0, sizeof *out);
    if (record != NULL) {
        out->ObjId = out->FileId = sim_id(record);
        out->Generation = record->generation;
        out->Type = NS_OBJECT_TYPE_FILE;
        return 0;
    }
    if (strcmp(path, "/") == 0) {
        *out = API_RootNSHandle;
        return 0;
    }
    int code = sim_name_path(path, real);
    if (code != 0 || lstat(real, &found) != 0)
        return code != 0 ? code : -errno;
    out->ObjId = out->FileId = found.st_ino;
    out->Generation = 1;
    out->Type = S_ISLNK(found.st_mode) ? NS_OBJECT_TYPE_SYM_LINK : NS_OBJECT_TYPE_DIRECTORY;
    return 0;
}

/* Lock held. */
void sim_handle_of(const char *path, const struct record *record, ns_ObjHandle_t *out) {
    if (handle_now(path, record, out) == 0)
        keep(out, path);
}

static int path_of(const ns_ObjHandle_t *handle, char *path) {
    ns_ObjHandle_t now;
    struct record *record = NULL;
    if (handle == NULL || same(handle, &API_RootNSHandle)) {
        strcpy(path, "/");
        return 0;
    }
    pthread_mutex_lock(&known_mutex);
    size_t slot = slot_of(handle);
    bool found = known[slot].path != NULL && same(&known[slot].handle, handle);
    if (found)
        snprintf(path, PATH_BYTES, "%s", known[slot].path);
    pthread_mutex_unlock(&known_mutex);
    if (!found)
        return HPSS_ESTALE;
    sim_lock();
    int code = sim_find(path, &record);
    bool current = (code == 0 || code == HPSS_EISDIR) && handle_now(path, record, &now) == 0 && same(&now, handle);
    sim_unlock();
    return current ? 0 : HPSS_ESTALE;
}

/* Write the path that *handle* and *path* name together. */
static int path_from(const ns_ObjHandle_t *handle, const char *path, char *out) {
    char base[PATH_BYTES];
    int code = path_of(handle, base);
    if (code != 0)
        return code;
    bool root = strcmp(base, "/") == 0;
    if (path == NULL || *path == '\0')
        snprintf(out, PATH_BYTES, "%s", base);
    else if (*path == '/' && !root)
        return HPSS_EINVAL;
    else if (snprintf(out, PATH_BYTES, "%s/%s", root ? "" : base, path + (*path == '/')) >= PATH_BYTES)
        return HPSS_ENAMETOOLONG;
    return 0;
}

/* Enter a call by handle; *path* is then what it is about. */
int sim_enter_handle(struct call *call, const char *function, const ns_ObjHandle_t *handle, const char *name, char *path) {
    int found = path_from(handle, name, path);
    int code = sim_enter(call, function, found == 0 ? path : name, "by handle");
    return code != 0 ? code : found;
}

int hpss_FileGetAttributesHandle(SIM_CONST ns_ObjHandle_t *handle, SIM_CONST char *name, SIM_CONST sec_cred_t *user,
                                 hpss_fileattr_t *out) {
    struct call call;
    char path[PATH_BYTES];
    (void)user;
    int code = sim_enter_handle(&call, "hpss_FileGetAttributesHandle", handle, name, path);
    if (code == 0)
        code = sim_attributes_of(path, call.failure.lag, &out->ObjectHandle, &out->Attrs);
    return (int)sim_leave(&call, code);
}

int hpss_FileGetXAttributesHandle(SIM_CONST ns_ObjHandle_t *handle, SIM_CONST char *name, SIM_CONST sec_cred_t *user,
                                  uint32_t flags, uint32_t level, hpss_xfileattr_t *out) {
    struct call call;
    char path[PATH_BYTES];
    (void)user;
    int code = sim_enter_handle(&call, "hpss_FileGetXAttributesHandle", handle, name, path);
    if (code == 0)
        code = sim_levels_of(path, flags, level, call.failure.lag, out);
    return (int)sim_leave(&call, code);
}

int hpss_OpenHandle(SIM_CONST ns_ObjHandle_t *handle, SIM_CONST char *name, int flags, mode_t mode,
                    SIM_CONST sec_cred_t *user, SIM_CONST hpss_cos_hints_t *hints,
                    SIM_CONST hpss_cos_priorities_t *priorities, hpss_cos_hints_t *hints_out) {
    struct call call;
    char path[PATH_BYTES];
    (void)user;
    int code = sim_enter_handle(&call, "hpss_OpenHandle", handle, name, path);
    if (code == 0)
        code = sim_open(&call, path, flags, mode, hints, priorities, hints_out);
    return (int)sim_leave(&call, code);
}
