/* Directories: their entries, with and without attributes. */
#include "sim.h"

#include <dirent.h>

#define DIRECTORIES 64

static void fill_entry(const char *directory, const struct dirent *found, bool attributes, ns_DirEntry_t *out) {
    char path[PATH_BYTES];
    hpss_Attrs_t all;
    bool root = strcmp(directory, "/") == 0;
    memset(out, 0, sizeof *out);
    snprintf(out->Name, sizeof out->Name, "%s", found->d_name);
    out->ObjOffset = (u_signed64)found->d_off;
    snprintf(path, sizeof path, "%.3000s/%s", root ? "" : directory, found->d_name);
    if (strcmp(found->d_name, ".") == 0)
        snprintf(path, sizeof path, "%.3000s", directory);
    if (strcmp(found->d_name, "..") != 0 && sim_attributes_of(path, false, &out->ObjHandle, &all) == 0 && attributes)
        out->Attrs = all;
}

/* The directory's entries from *offset* on, as many as *room* holds; their number, or a code. */
static int read_entries(DIR *opened, const char *directory, u_signed64 offset, uint32_t room, bool attributes,
                        uint32_t *end, u_signed64 *offset_out, ns_DirEntry_t *out) {
    int count = 0, most = (int)(room / sizeof *out);
    if (most == 0)
        return HPSS_ERANGE;
    if (offset == 0)
        rewinddir(opened);
    else
        seekdir(opened, (long)offset);
    *end = FALSE;
    *offset_out = offset;
    while (count < most && !*end) {
        const struct dirent *found = readdir(opened);
        *end = found == NULL;
        if (found == NULL)
            break;
        fill_entry(directory, found, attributes, &out[count]);
        *offset_out = out[count++].ObjOffset;
    }
    return count;
}

static struct {
    DIR *opened;
    char path[PATH_BYTES];
} directories[DIRECTORIES];
static pthread_mutex_t directories_mutex = PTHREAD_MUTEX_INITIALIZER;

int hpss_Opendir(SIM_CONST char *path) {
    struct call call;
    char real[PATH_BYTES];
    int code = sim_enter(&call, "hpss_Opendir", path, "-");
    if (code == 0)
        code = sim_name_path(path, real);
    DIR *opened = code == 0 ? opendir(real) : NULL;
    if (code == 0 && opened == NULL)
        code = -errno;
    pthread_mutex_lock(&directories_mutex);
    int slot = 0;
    while (slot < DIRECTORIES && directories[slot].opened != NULL)
        slot++;
    if (opened != NULL && slot < DIRECTORIES) {
        directories[slot].opened = opened;
        snprintf(directories[slot].path, sizeof directories[slot].path, "%s", path);
        code = slot;
        sim_count(&sim_state()->counters.open_descriptors, 1);
    } else if (opened != NULL) {
        closedir(opened);
        code = HPSS_EMFILE;
    }
    pthread_mutex_unlock(&directories_mutex);
    return (int)sim_leave(&call, code);
}

int hpss_Readdir(int descriptor, hpss_dirent_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_Readdir", NULL, "dd=%d", descriptor);
    pthread_mutex_lock(&directories_mutex);
    bool known = descriptor >= 0 && descriptor < DIRECTORIES && directories[descriptor].opened != NULL;
    if (code == 0 && !known)
        code = HPSS_EBADF;
    struct dirent *entry = code == 0 ? readdir(directories[descriptor].opened) : NULL;
    memset(out, 0, sizeof *out);
    if (entry != NULL) {
        ns_DirEntry_t whole;
        fill_entry(directories[descriptor].path, entry, false, &whole);
        out->d_handle = whole.ObjHandle;
        out->d_offset = whole.ObjOffset;
        out->d_namelen = (uint16_t)strlen(entry->d_name);
        out->d_reclen = sizeof *out;
        memcpy(out->d_name, entry->d_name, out->d_namelen);
    }
    pthread_mutex_unlock(&directories_mutex);
    return (int)sim_leave(&call, code);
}

int hpss_Closedir(int descriptor) {
    struct call call;
    int code = sim_enter(&call, "hpss_Closedir", NULL, "dd=%d", descriptor);
    pthread_mutex_lock(&directories_mutex);
    if (descriptor >= 0 && descriptor < DIRECTORIES && directories[descriptor].opened != NULL) {
        closedir(directories[descriptor].opened);
        directories[descriptor].opened = NULL;
        sim_count(&sim_state()->counters.open_descriptors, -1);
    } else {
        code = HPSS_EBADF;
    }
    pthread_mutex_unlock(&directories_mutex);
    return (int)sim_leave(&call, code);
}

int hpss_ReadAttrsPlus(int descriptor, u_signed64 offset, uint32_t room, uint32_t options, uint32_t *end,
                       u_signed64 *offset_out, ns_DirEntry_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_ReadAttrsPlus", NULL, "dd=%d offset=%llu", descriptor, (unsigned long long)offset);
    pthread_mutex_lock(&directories_mutex);
    if (code == 0 && (descriptor < 0 || descriptor >= DIRECTORIES || directories[descriptor].opened == NULL))
        code = HPSS_EBADF;
    if (code == 0)
        code = read_entries(directories[descriptor].opened, directories[descriptor].path, offset, room,
                            options & HPSS_READDIR_GETATTRS, end, offset_out, out);
    pthread_mutex_unlock(&directories_mutex);
    return (int)sim_leave(&call, code);
}

int hpss_ReadAttrsHandle(SIM_CONST ns_ObjHandle_t *handle, u_signed64 offset, SIM_CONST sec_cred_t *user, uint32_t room,
                         uint32_t attributes, uint32_t *end, u_signed64 *offset_out, ns_DirEntry_t *out) {
    struct call call;
    char path[PATH_BYTES], real[PATH_BYTES];
    (void)user;
    int code = sim_enter_handle(&call, "hpss_ReadAttrsHandle", handle, NULL, path);
    if (code == 0)
        code = sim_name_path(path, real);
    DIR *opened = code == 0 ? opendir(real) : NULL;
    if (code == 0)
        code = opened == NULL ? -errno : read_entries(opened, path, offset, room, attributes, end, offset_out, out);
    if (opened != NULL)
        closedir(opened);
    return (int)sim_leave(&call, code);
}
