/* The calls that go by name: attributes, renaming and removing, directories. */
#include "sim.h"

#include <dirent.h>
#include <stddef.h>

#define DIRECTORIES 64

/* Lock held. A name of *record* is gone. */
static void unbind(struct record *record) {
    struct state *state = sim_state();
    record->links--;
    if (record->links == 0 && record->opens > 0) {
        sim_count(&state->counters.unlinked_open, 1);
        if (state->settings.abort_on_unlink)
            abort(); /* what the original saw when it removed a file with a read under way */
    }
    sim_record_release(record);
}

static void fill_stat(const struct record *record, bool lag, hpss_stat_t *out) {
    memset(out, 0, sizeof *out);
    out->st_ino = sim_id(record);
    out->st_gen = record->generation;
    out->st_nlink = (uint16_t)record->links;
    out->hpss_st_atime = record->access_time;
    out->hpss_st_mtime = record->modify_time;
    out->hpss_st_ctime = record->change_time;
    out->st_size = lag && record->writers > 0 ? 0 : record->size;
    out->st_mode = S_IFREG | record->mode;
}

static int stat_name(const char *path, bool lag, hpss_stat_t *out) {
    struct record *record;
    struct stat real_stat;
    char real[PATH_BYTES];
    sim_lock();
    int code = sim_find(path, &record);
    if (code == 0)
        fill_stat(record, lag, out);
    sim_unlock();
    if (code != HPSS_EISDIR)
        return code;
    if ((code = sim_name_path(path, real)) != 0 || lstat(real, &real_stat) != 0)
        return code != 0 ? code : -errno;
    memset(out, 0, sizeof *out);
    out->st_ino = real_stat.st_ino;
    out->st_nlink = (uint16_t)real_stat.st_nlink;
    out->st_mode = real_stat.st_mode;
    out->hpss_st_mtime = (timestamp_sec_t)real_stat.st_mtime;
    out->hpss_st_ctime = (timestamp_sec_t)real_stat.st_ctime;
    return 0;
}

int hpss_Stat(SIM_CONST char *path, hpss_stat_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_Stat", path, "-");
    if (code == 0)
        code = stat_name(path, call.failure.lag, out);
    return (int)sim_leave(&call, code);
}

int hpss_Lstat(SIM_CONST char *path, hpss_stat_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_Lstat", path, "-");
    if (code == 0)
        code = stat_name(path, call.failure.lag, out);
    if (code == -ELOOP) {
        memset(out, 0, sizeof *out);
        out->st_mode = S_IFLNK | 0777;
        code = 0;
    }
    return (int)sim_leave(&call, code);
}

int hpss_Fstat(int descriptor, hpss_stat_t *out) {
    struct call call;
    char path[PATH_BYTES];
    int code = sim_path_of(descriptor, path);
    int refused = sim_enter(&call, "hpss_Fstat", code == 0 ? path : NULL, "fd=%d", descriptor);
    code = code != 0 ? code : refused;
    struct record *record;
    sim_lock();
    if (code == 0 && !sim_record_of(descriptor, &record))
        code = HPSS_EBADF;
    if (code == 0)
        fill_stat(record, call.failure.lag, out);
    sim_unlock();
    return (int)sim_leave(&call, code);
}

void sim_bitfile_of(const struct record *record, sim_bitfile_t *out) {
    uint32_t identity[2] = {sim_id(record), record->generation};
    memset(out, 0, sizeof *out);
#if SIM_VERSION >= 705
    memcpy(&out->BfId.Bytes[3], identity, sizeof identity);
    out->ValidHash = 1;
    out->BfHash = identity[0] * 2654435761u;
#else
    memcpy(&out->ObjectID, identity, sizeof identity);
#endif
}

static void fill_attributes(const struct record *record, bool lag, hpss_Attrs_t *out) {
    memset(out, 0, sizeof *out);
    out->DataLength = lag && record->writers > 0 ? 0 : record->size;
    out->Type = record->links > 1 ? NS_OBJECT_TYPE_HARD_LINK : NS_OBJECT_TYPE_FILE;
    out->COSId = record->cos;
    out->FamilyId = record->family;
    out->UserPerms = record->mode >> 6 & 7;
    out->GroupPerms = record->mode >> 3 & 7;
    out->OtherPerms = record->mode & 7;
    out->LinkCount = record->links;
    out->OpenCount = record->opens;
    out->ReadCount = record->reads;
    out->WriteCount = record->writes;
    out->TimeCreated = record->create_time;
    out->TimeLastRead = record->access_time;
    out->TimeLastWritten = out->TimeModified = record->modify_time;
    out->OptionFlags = record->purge_locked ? CORE_OPTION_FLAG_DONT_PURGE : 0;
#if SIM_VERSION >= 705
    sim_bitfile_of(record, &out->BitfileObj);
#else
    sim_bitfile_of(record, &out->BitfileId);
#endif
}

static int attributes_of(const char *path, bool lag, hpss_Attrs_t *out) {
    struct record *record;
    sim_lock();
    int code = sim_find(path, &record);
    if (code == 0)
        fill_attributes(record, lag, out);
    sim_unlock();
    if (code == HPSS_EISDIR) {
        memset(out, 0, sizeof *out);
        out->Type = NS_OBJECT_TYPE_DIRECTORY;
        code = 0;
    }
    return code;
}

int hpss_FileGetAttributes(SIM_CONST char *path, hpss_fileattr_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_FileGetAttributes", path, "-");
    if (code == 0)
        code = attributes_of(path, call.failure.lag, &out->Attrs);
    return (int)sim_leave(&call, code);
}

static void fill_volume(const struct record *record, int level, uint32_t number, uint64_t bytes, bf_vv_attrib_t *out) {
    memset(out, 0, sizeof *out);
    out->VVID = 7000u + sim_id(record);
    out->RelPosition = record->level[level].position;
    out->BytesOnVV = bytes;
    /* One block holds the list and its element, so one free gives all back. */
    char *block = sim_block(sizeof(pv_list_t) + sizeof(pv_list_element_t));
    out->PVList = (pv_list_t *)block;
    out->PVList->List.List_len = 1;
    out->PVList->List.List_val = (pv_list_element_t *)(block + sizeof(pv_list_t));
    snprintf(out->PVList->List.List_val->Name, sizeof out->PVList->List.List_val->Name, "VT%04d%02u",
             record->level[level].position / 100 % 10000, number % 100);
}

/* Fill one level as HPSS does: an undefined level is left as the caller had it, so callers must zero the struct. */
static void fill_level(const struct record *record, int level, bf_sc_attrib_t *out) {
    uint32_t kind = sim_state()->cos[record->cos].kind[level];
    if (kind == NO_LEVEL)
        return;
    uint64_t bytes = record->level[level].bytes;
    memset(out, 0, sizeof *out);
    out->Flags = kind == DISK ? BFS_BFATTRS_LEVEL_IS_DISK : BFS_BFATTRS_LEVEL_IS_TAPE;
    out->Flags |= bytes > 0 ? BFS_BFATTRS_DATAEXISTS_AT_LEVEL : 0;
    out->BytesAtLevel = bytes;
    out->OptimumAccessSize = 4u << 20;
    out->StripeWidth = 1;
    out->NumberOfVVs = bytes == 0 ? 0 : kind == TAPE && bytes > 1 ? 2 : 1;
    for (uint32_t number = 0; number < out->NumberOfVVs; number++)
        fill_volume(record, level, number, bytes / out->NumberOfVVs, &out->VVAttrib[number]);
}

static int levels_of(const char *path, uint32_t flags, uint32_t level, bool lag, hpss_xfileattr_t *out) {
    struct record *record;
    sim_lock();
    int code = sim_find(path, &record);
    while (code == 0 && sim_staging(record) && !(flags & API_GET_XATTRS_NO_BLOCK)) {
        uint32_t id = sim_id(record), generation = record->generation;
        sim_unlock();
        sim_stage_wait(id, generation);
        sim_lock();
        code = sim_find(path, &record);
    }
    for (int i = 0; code == 0 && i < LEVELS; i++)
        if ((flags & API_GET_STATS_FOR_ALL_LEVELS) || (flags & API_GET_STATS_OPTIMIZE) ||
            (uint32_t)i == (flags & API_GET_STATS_FOR_1STLEVEL ? 0 : level))
            fill_level(record, i, &out->SCAttrib[i]);
    sim_unlock();
    if (code == 0 || code == HPSS_EISDIR)
        code = attributes_of(path, lag, &out->Attrs);
    return code;
}

int hpss_FileGetXAttributes(SIM_CONST char *path, uint32_t flags, uint32_t level, hpss_xfileattr_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_FileGetXAttributes", path, "flags=%#x level=%u", flags, level);
    uint32_t asked = flags & (API_GET_STATS_FOR_LEVEL | API_GET_STATS_FOR_1STLEVEL | API_GET_STATS_OPTIMIZE |
                              API_GET_STATS_FOR_ALL_LEVELS);
    if (code == 0 && (asked == 0 || (asked & (asked - 1)) != 0 || level >= LEVELS))
        code = HPSS_EINVAL;
    if (code == 0)
        code = levels_of(path, flags, level, call.failure.lag, out);
    return (int)sim_leave(&call, code);
}

int hpss_Utime(SIM_CONST char *path, SIM_CONST struct utimbuf *times) {
    struct call call;
    struct record *record;
    int code = sim_enter(&call, "hpss_Utime", path, "mtime=%lld", (long long)times->modtime);
    sim_lock();
    if (code == 0 && (code = sim_find(path, &record)) == 0) {
        record->access_time = (uint32_t)times->actime;
        record->modify_time = (uint32_t)times->modtime;
        record->change_time = (uint32_t)(sim_now() / NANO);
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}

int hpss_Chmod(SIM_CONST char *path, mode_t mode) {
    struct call call;
    struct record *record;
    int code = sim_enter(&call, "hpss_Chmod", path, "mode=%o", mode);
    sim_lock();
    if (code == 0 && (code = sim_find(path, &record)) == 0) {
        record->mode = mode & 07777;
        sim_show_mode(record);
        record->change_time = (uint32_t)(sim_now() / NANO);
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}

int hpss_Mkdir(SIM_CONST char *path, mode_t mode) {
    struct call call;
    char real[PATH_BYTES];
    int code = sim_enter(&call, "hpss_Mkdir", path, "mode=%o", mode);
    if (code == 0)
        code = sim_name_path(path, real);
    if (code == 0 && mkdir(real, 0755) != 0)
        code = -errno;
    return (int)sim_leave(&call, code);
}

int hpss_Rmdir(SIM_CONST char *path) {
    struct call call;
    char real[PATH_BYTES];
    int code = sim_enter(&call, "hpss_Rmdir", path, "-");
    if (code == 0)
        code = sim_name_path(path, real);
    if (code == 0 && rmdir(real) != 0)
        code = -errno;
    return (int)sim_leave(&call, code);
}

int hpss_Unlink(SIM_CONST char *path) {
    struct call call;
    struct record *record;
    char real[PATH_BYTES];
    int code = sim_enter(&call, "hpss_Unlink", path, "-");
    sim_lock();
    if (code == 0 && (code = sim_find(path, &record)) == 0) {
        sim_name_path(path, real);
        unlink(real);
        unbind(record);
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}

/* Lock held. */
static int rename_locked(const char *old, const char *new) {
    struct record *moved = NULL, *replaced = NULL;
    char from[PATH_BYTES], to[PATH_BYTES];
    int code = sim_find(old, &moved);
    if (code != 0 && code != HPSS_EISDIR)
        return code;
    if (sim_name_path(new, to) != 0)
        return sim_name_path(new, to);
    sim_name_path(old, from);
    int other = sim_find(new, &replaced);
    if (other == -ELOOP || (other == HPSS_EISDIR && code != HPSS_EISDIR))
        return HPSS_EEXIST; /* nothing that HPSS made: a link or pipe of somebody who tests */
    if (rename(from, to) != 0)
        return -errno;
    if (other == 0 && replaced != moved)
        unbind(replaced);
    return 0;
}

int hpss_Rename(SIM_CONST char *old, SIM_CONST char *new) {
    struct call call;
    int code = sim_enter(&call, "hpss_Rename", old, "%s", new != NULL ? new : "-");
    sim_lock();
    if (code == 0)
        code = rename_locked(old, new);
    sim_unlock();
    return (int)sim_leave(&call, code);
}

int hpss_Link(SIM_CONST char *existing, SIM_CONST char *new) {
    struct call call;
    struct record *record;
    char from[PATH_BYTES], to[PATH_BYTES];
    int code = sim_enter(&call, "hpss_Link", existing, "%s", new != NULL ? new : "-");
    sim_lock();
    if (code == 0 && (code = sim_find(existing, &record)) == 0 && (code = sim_name_path(new, to)) == 0) {
        sim_name_path(existing, from);
        code = link(from, to) == 0 ? 0 : -errno;
        record->links += code == 0;
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}

int hpss_Access(SIM_CONST char *path, int mode) {
    struct call call;
    hpss_stat_t found;
    int code = sim_enter(&call, "hpss_Access", path, "mode=%d", mode);
    if (code == 0)
        code = stat_name(path, false, &found);
    if (code == 0 && S_ISREG(found.st_mode) && ((found.st_mode >> 6 & 7) & (uint32_t)mode) != (uint32_t)mode)
        code = HPSS_EACCES;
    return (int)sim_leave(&call, code);
}

static DIR *directories[DIRECTORIES];
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
    while (slot < DIRECTORIES && directories[slot] != NULL)
        slot++;
    if (opened != NULL && slot < DIRECTORIES) {
        directories[slot] = opened;
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
    bool known = descriptor >= 0 && descriptor < DIRECTORIES && directories[descriptor] != NULL;
    if (code == 0 && !known)
        code = HPSS_EBADF;
    struct dirent *entry = code == 0 ? readdir(directories[descriptor]) : NULL;
    memset(out, 0, sizeof *out);
    if (entry != NULL) {
        out->d_namelen = (uint32_t)strlen(entry->d_name);
        memcpy(out->d_name, entry->d_name, out->d_namelen);
    }
    pthread_mutex_unlock(&directories_mutex);
    return (int)sim_leave(&call, code);
}

int hpss_Closedir(int descriptor) {
    struct call call;
    int code = sim_enter(&call, "hpss_Closedir", NULL, "dd=%d", descriptor);
    pthread_mutex_lock(&directories_mutex);
    if (descriptor >= 0 && descriptor < DIRECTORIES && directories[descriptor] != NULL) {
        closedir(directories[descriptor]);
        directories[descriptor] = NULL;
        sim_count(&sim_state()->counters.open_descriptors, -1);
    } else {
        code = HPSS_EBADF;
    }
    pthread_mutex_unlock(&directories_mutex);
    return (int)sim_leave(&call, code);
}
