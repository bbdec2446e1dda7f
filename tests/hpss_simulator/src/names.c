/* The calls by name: attributes, renaming and removing. */
#include "sim.h"

#include <stddef.h>

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
    out->st_uid = record->uid;
    out->st_gid = record->gid;
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

/* Lock held. The file that *bitfile* names, or NULL. */
struct record *sim_record_of_bitfile(const sim_bitfile_t *bitfile) {
    uint32_t identity[2];
#if SIM_VERSION >= 705
    memcpy(identity, &bitfile->BfId.Bytes[3], sizeof identity);
#else
    memcpy(identity, &bitfile->ObjectID, sizeof identity);
#endif
    struct record *record = identity[0] < RECORD_COUNT ? &sim_state()->record[identity[0]] : NULL;
    if (record == NULL || !record->used || record->generation != identity[1])
        return NULL;
    sim_settle(record);
    return record;
}

static void fill_attributes(const struct record *record, bool lag, hpss_Attrs_t *out) {
    memset(out, 0, sizeof *out);
    out->DataLength = lag && record->writers > 0 ? 0 : record->size;
    out->Type = record->links > 1 ? NS_OBJECT_TYPE_HARD_LINK : NS_OBJECT_TYPE_FILE;
    out->COSId = record->cos;
    out->FamilyId = record->family;
    out->FilesetId = ROOT_FILESET;
    out->UID = record->uid;
    out->GID = record->gid;
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

int sim_attributes_of(const char *path, bool lag, ns_ObjHandle_t *handle, hpss_Attrs_t *out) {
    struct record *record = NULL;
    sim_lock();
    int code = sim_find(path, &record);
    if (code == 0)
        fill_attributes(record, lag, out);
    if (code == HPSS_EISDIR) {
        memset(out, 0, sizeof *out);
        out->Type = NS_OBJECT_TYPE_DIRECTORY;
        out->FilesetId = ROOT_FILESET;
        record = NULL;
        code = 0;
    }
    if (code == 0)
        sim_handle_of(path, record, handle);
    sim_unlock();
    return code;
}

int hpss_FileGetAttributes(SIM_CONST char *path, hpss_fileattr_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_FileGetAttributes", path, "-");
    if (code == 0)
        code = sim_attributes_of(path, call.failure.lag, &out->ObjectHandle, &out->Attrs);
    return (int)sim_leave(&call, code);
}

/* Two blocks, as XDR allocates them; the caller frees both. */
static pv_list_t *volume_list(const struct record *record, int level, uint32_t number, uint32_t width) {
    pv_list_t *list = sim_block(sizeof *list);
    list->List.List_len = width;
    list->List.List_val = sim_block(width * sizeof *list->List.List_val);
    for (uint32_t i = 0; i < width; i++)
        snprintf(list->List.List_val[i].Name, sizeof list->List.List_val[i].Name, "VT%04u%02u",
                 record->level[level].volume, (number * width + i) % 100);
    return list;
}

static void fill_volume(const struct record *record, int level, uint32_t number, const bf_sc_attrib_t *in,
                        bf_vv_attrib_t *out) {
    memset(out, 0, sizeof *out);
    uint32_t identity[3] = {sim_id(record), (uint32_t)level, number};
    memcpy(&out->VVID, identity, sizeof identity);
    out->RelPosition = record->level[level].position;
    out->RelPositionOffset = record->level[level].offset;
    out->BytesOnVV = in->BytesAtLevel / in->NumberOfVVs;
    out->PVList = volume_list(record, level, number, in->StripeWidth);
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
    out->StripeWidth = kind == TAPE ? sim_state()->cos[record->cos].tape_stripe : 1;
    out->NumberOfVVs = bytes == 0 ? 0 : kind == TAPE && bytes > 1 ? 2 : 1;
    for (uint32_t number = 0; number < out->NumberOfVVs; number++)
        fill_volume(record, level, number, out, &out->VVAttrib[number]);
}

static bool wanted(uint32_t flags, uint32_t level, uint32_t number) {
    if (flags & (API_GET_STATS_FOR_ALL_LEVELS | API_GET_STATS_OPTIMIZE))
        return true;
    return number == (flags & API_GET_STATS_FOR_1STLEVEL ? 0 : level);
}

int sim_levels_of(const char *path, uint32_t flags, uint32_t level, bool lag, hpss_xfileattr_t *out) {
    struct record *record;
    uint32_t asked = flags & (API_GET_STATS_FOR_LEVEL | API_GET_STATS_FOR_1STLEVEL | API_GET_STATS_OPTIMIZE |
                              API_GET_STATS_FOR_ALL_LEVELS);
    if (asked == 0 || (asked & (asked - 1)) != 0 || level >= LEVELS)
        return HPSS_EINVAL;
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
        if (wanted(flags, level, (uint32_t)i))
            fill_level(record, i, &out->SCAttrib[i]);
    sim_unlock();
    if (code == 0 || code == HPSS_EISDIR)
        code = sim_attributes_of(path, lag, &out->ObjectHandle, &out->Attrs);
    return code;
}

static void forget_volumes(hpss_xfileattr_t *out) {
    for (int i = 0; i < LEVELS; i++) {
        for (uint32_t number = 0; number < out->SCAttrib[i].NumberOfVVs; number++) {
            sim_free(out->SCAttrib[i].VVAttrib[number].PVList->List.List_val);
            sim_free(out->SCAttrib[i].VVAttrib[number].PVList);
        }
        out->SCAttrib[i].NumberOfVVs = 0;
    }
}

int hpss_FileGetXAttributes(SIM_CONST char *path, uint32_t flags, uint32_t level, hpss_xfileattr_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_FileGetXAttributes", path, "flags=%#x level=%u", flags, level);
    if (code == 0)
        code = sim_levels_of(path, flags, level, call.failure.lag, out);
    if (code == 0 && call.failure.unplaced)
        forget_volumes(out);
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
    } else if (code == -ELOOP) {
        code = sim_name_path(path, real) == 0 && unlink(real) == 0 ? 0 : HPSS_ENOENT;
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

/* Permissions of users are not simulated: everybody may. */
int hpss_Chown(SIM_CONST char *path, uid_t owner, gid_t group) {
    struct call call;
    struct record *record;
    int code = sim_enter(&call, "hpss_Chown", path, "uid=%u gid=%u", owner, group);
    sim_lock();
    if (code == 0 && (code = sim_find(path, &record)) == 0) {
        record->uid = owner == (uid_t)-1 ? record->uid : owner;
        record->gid = group == (gid_t)-1 ? record->gid : group;
        record->change_time = (uint32_t)(sim_now() / NANO);
    }
    sim_unlock();
    return (int)sim_leave(&call, code);
}

/* A symbolic link is made, read, renamed and removed; it is never followed. */
int hpss_Symlink(SIM_CONST char *contents, SIM_CONST char *path) {
    struct call call;
    char real[PATH_BYTES];
    int code = sim_enter(&call, "hpss_Symlink", path, "%s", contents);
    if (code == 0)
        code = sim_name_path(path, real);
    if (code == 0 && symlink(contents, real) != 0)
        code = -errno;
    return (int)sim_leave(&call, code);
}

/* What the link says, with a zero at its end; HPSS's own code for a buffer that is too small is not known. */
int hpss_Readlink(SIM_CONST char *path, char *contents, size_t size) {
    struct call call;
    struct record *record;
    char real[PATH_BYTES], text[PATH_BYTES];
    int code = sim_enter(&call, "hpss_Readlink", path, "-");
    sim_lock();
    if (code == 0)
        code = sim_find(path, &record);
    sim_unlock();
    if (code != -ELOOP) /* what a link of HPSS is told as */
        return (int)sim_leave(&call, code == 0 || code == HPSS_EISDIR ? HPSS_EINVAL : code);
    sim_name_path(path, real);
    ssize_t length = readlink(real, text, sizeof text);
    if (length < 0 || (size_t)length >= size)
        return (int)sim_leave(&call, length < 0 ? -errno : HPSS_ERANGE);
    memcpy(contents, text, (size_t)length);
    contents[length] = '\0';
    return (int)sim_leave(&call, length);
}
