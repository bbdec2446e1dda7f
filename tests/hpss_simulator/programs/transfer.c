/* In the manner of a GridFTP server's storage module: it logs in, acts as another user, moves files by parallel I/O,
 * lists directories by handle, and stages without waiting.
 *
 * transfer PRINCIPAL AUTH whoami - | store PATH BYTES | retrieve PATH | list PATH | stage PATH | stage-batch PATH... |
 *     digest PATH [VALUE] | hash PATH | give-up PATH | read-by-handle PATH NEW_PATH
 */
#include "program.h"

#include <pthread.h>

#define BLOCK_BYTES (1u << 16)
#define DIGEST_KEY "/hpss/user/cksum/checksum"

static char content_at(uint64_t offset) { return (char)('a' + offset * 7 % 26); }

/* One transfer: its file, the two sides of its group, and the block that one side lends. */
struct transfer {
    int descriptor;
    hpss_pio_grp_t coordinator, participant;
    hpss_pio_cb_t callback;
    char block[BLOCK_BYTES];
    uint64_t wrong;
    pthread_t thread;
};

static int fill_block(void *argument, u_signed64 offset, uint32_t *length, void **buffer) {
    struct transfer *transfer = argument;
    *buffer = transfer->block;
    for (uint32_t i = 0; i < *length; i++)
        transfer->block[i] = content_at(offset + i);
    return 0;
}

static int check_block(void *argument, u_signed64 offset, uint32_t *length, void **buffer) {
    struct transfer *transfer = argument;
    for (uint32_t i = 0; i < *length; i++)
        transfer->wrong += ((char *)*buffer)[i] != content_at(offset + i);
    return 0;
}

static void *participate(void *argument) {
    struct transfer *transfer = argument;
    must(hpss_PIORegister(0, NULL, transfer->block, BLOCK_BYTES, transfer->participant, transfer->callback, transfer),
         "hpss_PIORegister");
    must(hpss_PIOEnd(transfer->participant), "hpss_PIOEnd");
    return NULL;
}

static void begin(struct transfer *transfer, hpss_pio_operation_t operation, uint32_t stripe_width,
                  hpss_pio_cb_t callback) {
    hpss_pio_params_t params = {.Operation = operation, .ClntStripeWidth = 1, .BlockSize = BLOCK_BYTES};
    void *group;
    unsigned int size;
    params.FileStripeWidth = stripe_width;
    params.Transport = HPSS_PIO_TCPIP;
    transfer->callback = callback;
    must(hpss_PIOStart(&params, &transfer->coordinator), "hpss_PIOStart");
    must(hpss_PIOExportGrp(transfer->coordinator, &group, &size), "hpss_PIOExportGrp");
    must(hpss_PIOImportGrp(group, size, &transfer->participant), "hpss_PIOImportGrp");
    free(group);
    pthread_create(&transfer->thread, NULL, participate, transfer);
}

static uint64_t move(struct transfer *transfer, uint64_t offset, uint64_t length) {
    hpss_pio_gapinfo_t gap;
    u_signed64 moved = 0;
    must(hpss_PIOExecute(transfer->descriptor, offset, length, transfer->coordinator, &gap, &moved), "hpss_PIOExecute");
    return moved;
}

static void end(struct transfer *transfer) {
    must(hpss_PIOEnd(transfer->coordinator), "hpss_PIOEnd");
    pthread_join(transfer->thread, NULL);
    must(hpss_Close(transfer->descriptor), "hpss_Close");
}

/* Whether the file set of *path*'s directory leaves the class of service to us. */
static int may_choose_class(char *path) {
    char parent[HPSS_MAX_PATH_NAME];
    hpss_fileattr_t found;
    ns_FilesetAttrs_t fileset;
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = '\0';
    must(hpss_FileGetAttributes(parent, &found), "hpss_FileGetAttributes");
    u_signed64 id = found.Attrs.FilesetId;
    must(hpss_FilesetGetAttributes(NULL, &id, NULL, NULL, orbit64m(cast64m(0), NS_FS_ATTRINDEX_COS), &fileset),
         "hpss_FilesetGetAttributes");
    return fileset.ClassOfService == 0;
}

static void store(char *path, uint64_t length) {
    static struct transfer transfer;
    hpss_cos_hints_t hints, chosen;
    hpss_cos_priorities_t priorities;
    hpss_cos_md_t class;
    memset(&hints, 0, sizeof hints);
    memset(&priorities, 0, sizeof priorities);
    hints.MinFileSize = hints.MaxFileSize = length;
    priorities.MinFileSizePriority = REQUIRED_PRIORITY;
    priorities.MaxFileSizePriority = HIGHLY_DESIRED_PRIORITY;
    transfer.descriptor =
        (int)must(hpss_Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &hints, &priorities, &chosen), "hpss_Open");
    if (may_choose_class(path))
        must(hpss_SetCOSByHints(transfer.descriptor, 0, &hints, &priorities, &class), "hpss_SetCOSByHints");
    begin(&transfer, HPSS_PIO_WRITE, chosen.StripeWidth, fill_block);
    printf("stored %s\n", u64_to_decchar(move(&transfer, 0, length)));
    end(&transfer);
}

static void retrieve(char *path) {
    static struct transfer transfer;
    hpss_cos_hints_t hints, chosen;
    hpss_cos_priorities_t priorities;
    hpss_stat_t found;
    memset(&hints, 0, sizeof hints);
    memset(&priorities, 0, sizeof priorities);
    transfer.descriptor = (int)must(hpss_Open(path, O_RDONLY, 0, &hints, &priorities, &chosen), "hpss_Open");
    must(hpss_Fstat(transfer.descriptor, &found), "hpss_Fstat");
    begin(&transfer, HPSS_PIO_READ, chosen.StripeWidth, check_block);
    uint64_t half = found.st_size / 2;
    uint64_t moved = move(&transfer, half, found.st_size - half) + move(&transfer, 0, half); /* in any order */
    end(&transfer);
    printf("retrieved %s, %s wrong\n", u64_to_decchar(moved), transfer.wrong == 0 ? "none" : "some");
}

static int refuse_block(void *argument, u_signed64 offset, uint32_t *length, void **buffer) {
    (void)argument, (void)offset, (void)length, (void)buffer;
    return PIO_END_TRANSFER;
}

/* A participant that takes no block: what the coordinator is told, and whether of bytes too. */
static void give_up(char *path) {
    static struct transfer transfer;
    u_signed64 moved = 4711;
    transfer.descriptor = (int)must(hpss_Open(path, O_RDONLY, 0, NULL, NULL, NULL), "hpss_Open");
    begin(&transfer, HPSS_PIO_READ, 1, refuse_block);
    int code = hpss_PIOExecute(transfer.descriptor, 0, 1, transfer.coordinator, NULL, &moved);
    end(&transfer);
    printf("%s, %s bytes\n", hpss_ErrnoName(code), moved == 4711 ? "unknown" : u64_to_decchar(moved));
}

/* Read by handle, and again when the file has another name. */
static void read_by_handle(char *path, char *new_path, sec_cred_t *user) {
    hpss_fileattr_t file;
    char first;
    must(hpss_FileGetAttributes(path, &file), "hpss_FileGetAttributes");
    int descriptor =
        (int)must(hpss_OpenHandle(&file.ObjectHandle, NULL, O_RDONLY, 0, user, NULL, NULL, NULL), "hpss_OpenHandle");
    must(hpss_Read(descriptor, &first, 1), "hpss_Read");
    must(hpss_Close(descriptor), "hpss_Close");
    must(hpss_Rename(path, new_path), "hpss_Rename");
    int code = hpss_OpenHandle(&file.ObjectHandle, NULL, O_RDONLY, 0, user, NULL, NULL, NULL);
    printf("%c, then %s\n", first, hpss_ErrnoName(code));
}

static const char *residency_of(const ns_ObjHandle_t *directory, char *name, const sec_cred_t *user) {
    hpss_xfileattr_t found;
    uint64_t disk = 0, tape = 0;
    memset(&found, 0, sizeof found);
    must(hpss_FileGetXAttributesHandle((ns_ObjHandle_t *)directory, name, (sec_cred_t *)user,
                                       API_GET_STATS_FOR_ALL_LEVELS | API_GET_XATTRS_NO_BLOCK, 0, &found),
         "hpss_FileGetXAttributesHandle");
    for (int i = 0; i < HPSS_MAX_STORAGE_LEVELS; i++) {
        bf_sc_attrib_t *level = &found.SCAttrib[i];
        uint64_t *most = level->Flags & BFS_BFATTRS_LEVEL_IS_DISK ? &disk : &tape;
        *most = lt64m(*most, level->BytesAtLevel) ? level->BytesAtLevel : *most;
        for (uint32_t j = 0; j < level->NumberOfVVs; j++) {
            free(level->VVAttrib[j].PVList->List.List_val);
            free(level->VVAttrib[j].PVList);
        }
    }
    return eqz64m(found.Attrs.DataLength) || !lt64m(disk, tape) ? "resident" : "archived";
}

static void list_entry(const ns_ObjHandle_t *directory, ns_DirEntry_t *entry, const sec_cred_t *user) {
    hpss_fileattr_t again;
    if (entry->Attrs.Type != NS_OBJECT_TYPE_FILE) {
        printf("%s directory\n", entry->Name);
        return;
    }
    must(hpss_FileGetAttributesHandle(&entry->ObjHandle, NULL, (sec_cred_t *)user, &again), "hpss_FileGetAttributesHandle");
    printf("%s file %llu %s %s\n", entry->Name, (unsigned long long)again.Attrs.DataLength,
           residency_of(directory, entry->Name, user),
           again.ObjectHandle.FileId == entry->ObjHandle.FileId ? "same" : "another");
}

/* Two entries at a time, as a caller with a small buffer does. */
static void list(char *path, const sec_cred_t *user) {
    hpss_fileattr_t found;
    ns_DirEntry_t entries[2];
    u_signed64 offset = 0;
    unsigned32 end_of_directory = FALSE;
    must(hpss_FileGetAttributesHandle(&API_RootNSHandle, path, (sec_cred_t *)user, &found),
         "hpss_FileGetAttributesHandle");
    while (!end_of_directory) {
        long count = must(hpss_ReadAttrsHandle(&found.ObjectHandle, offset, (sec_cred_t *)user, sizeof entries, TRUE,
                                               &end_of_directory, &offset, entries),
                          "hpss_ReadAttrsHandle");
        for (long i = 0; i < count; i++)
            if (entries[i].Name[0] != '.')
                list_entry(&found.ObjectHandle, &entries[i], user);
    }
}

#if HPSS_MAJOR_VERSION >= 8
static hpss_reqid_t task_id(void) { return (hpss_uuid_t){1, 2, 3, 4, 5, {6, 7, 8, 9, 10, 11}}; }
#else
static hpss_reqid_t task_id(void) { return 0x5eed; }
#endif

/* How the recall is getting on, before asking for it and after. */
static int recall_state(hpss_fileattr_t *file) {
    signed32 state = 0;
#if HPSS_MAJOR_VERSION > 7 || HPSS_MINOR_VERSION >= 5
    must(hpss_GetAsyncStatus(task_id(), &file->Attrs.BitfileObj, &state), "hpss_GetAsyncStatus");
#else
    must(hpss_GetAsynchStatus((signed32)task_id(), &file->Attrs.BitfileId, &state), "hpss_GetAsynchStatus");
#endif
    return state;
}

static const char *name_of(int state) {
    return state == HPSS_STAGE_STATUS_UNKNOWN  ? "unknown"
           : state == HPSS_STAGE_STATUS_QUEUED ? "queued"
           : state == HPSS_STAGE_STATUS_ACTIVE ? "active"
                                               : "not a state";
}

static void stage(char *path) {
    hpss_fileattr_t file;
    bfs_callback_addr_t address;
    hpss_reqid_t given;
    must(hpss_FileGetAttributes(path, &file), "hpss_FileGetAttributes");
    int before = recall_state(&file);
    memset(&address, 0, sizeof address);
    address.id = task_id();
    if (before == HPSS_STAGE_STATUS_UNKNOWN) {
#if HPSS_MAJOR_VERSION > 7 || HPSS_MINOR_VERSION >= 5
        bfs_bitfile_obj_handle_t bitfile;
#else
        hpssoid_t bitfile;
#endif
        must(hpss_StageCallBack(path, cast64m(0), file.Attrs.DataLength, 0, &address, BFS_STAGE_ALL, &given, &bitfile),
             "hpss_StageCallBack");
    }
    printf("%s, then %s\n", name_of(before), name_of(recall_state(&file)));
}

static void get_digest(ns_ObjHandle_t *file, sec_cred_t *user) {
    char value[HPSS_XML_SIZE];
    hpss_userattr_t pair = {DIGEST_KEY, value};
    hpss_userattr_list_t list = {1, &pair};
#if HPSS_MAJOR_VERSION > 7 || HPSS_MINOR_VERSION >= 5
    int code = hpss_UserAttrGetAttrsHandle(file, NULL, user, &list, UDA_API_VALUE, HPSS_XML_SIZE - 1);
#else
    int code = hpss_UserAttrGetAttrsHandle(file, NULL, user, &list, UDA_API_VALUE);
#endif
    printf("%s\n", code == HPSS_ENOENT ? "none" : code == 0 ? value : hpss_ErrnoName(code));
}

static void digest(char *path, char *value, sec_cred_t *user) {
    hpss_fileattr_t file;
    hpss_userattr_t pair = {DIGEST_KEY, value};
    hpss_userattr_list_t list = {1, &pair};
    must(hpss_FileGetAttributes(path, &file), "hpss_FileGetAttributes");
    if (value != NULL)
        must(hpss_UserAttrSetAttrsHandle(&file.ObjectHandle, NULL, user, &list, NULL), "hpss_UserAttrSetAttrsHandle");
    get_digest(&file.ObjectHandle, user);
}

static void tell_digest(const ns_ObjHandle_t *file, sec_cred_t *user) {
    hpss_file_hash_digest_t found;
    must(hpss_FileGetDigestHandle((ns_ObjHandle_t *)file, NULL, user, &found), "hpss_FileGetDigestHandle");
    if (found.Type == hpss_hash_type_none)
        printf("no digest\n");
    else
        printf("%02x%02x by %s, %s\n", found.Buffer[0], found.Buffer[1], found.Creator,
               found.Flags & HPSS_FILE_HASH_DIGEST_VALID ? "valid" : "invalid");
}

/* Set HPSS's own digest of the file, then change the file. */
static void hash(char *path, sec_cred_t *user) {
    hpss_fileattr_t file;
    hpss_file_hash_digest_t digest = {.Type = hpss_hash_type_md5, .Flags = HPSS_FILE_HASH_DIGEST_VALID};
    digest.Buffer[0] = 0xab;
    digest.Buffer[1] = 0xcd;
    strcpy(digest.Creator, "transfer");
    must(hpss_FileGetAttributes(path, &file), "hpss_FileGetAttributes");
    tell_digest(&file.ObjectHandle, user);
    int descriptor = (int)must(hpss_Open(path, O_RDWR, 0, NULL, NULL, NULL), "hpss_Open");
    must(hpss_FsetFileDigest(descriptor, &digest), "hpss_FsetFileDigest");
    tell_digest(&file.ObjectHandle, user);
    must(hpss_Write(descriptor, "x", 1), "hpss_Write");
    must(hpss_Close(descriptor), "hpss_Close");
    tell_digest(&file.ObjectHandle, user);
}

#if HPSS_MAJOR_VERSION * 100 + HPSS_MINOR_VERSION >= 903
/* Ask for the recall of many files at once: what each was told, and how each is getting on. */
static void stage_batch(int count, char **paths) {
    hpss_stage_batch_t batch;
    hpss_stage_batch_status_t asked, now;
    hpss_stage_bitfile_list_t bitfiles;
    bfs_callback_addr_t address;
    hpss_reqid_t given;
    memset(&address, 0, sizeof address);
    address.id = task_id();
    bitfiles.List.List_len = (uint32_t)count;
    bitfiles.List.List_val = calloc((size_t)count, sizeof *bitfiles.List.List_val);
    must(API_StageBatchInit(&batch, count), "API_StageBatchInit");
    for (int i = 0; i < count; i++) {
        hpss_fileattr_t file;
        must(hpss_FileGetAttributes(paths[i], &file), "hpss_FileGetAttributes");
        must(API_StageBatchInsertBFObj(&batch, i, &file.Attrs.BitfileObj, 1, 0, 0, file.Attrs.DataLength, BFS_STAGE_ALL),
             "API_StageBatchInsertBFObj");
    }
    must(hpss_StageBatchCallBack(&batch, &address, &given, &bitfiles, &asked), "hpss_StageBatchCallBack");
    must(hpss_GetBatchAsynchStatus(task_id(), &bitfiles, HPSS_STAGE_STATUS_BFS_SS, &now), "hpss_GetBatchAsynchStatus");
    for (int i = 0; i < count; i++)
        printf("%s %d %d\n", strrchr(paths[i], '/') + 1, asked.StatusList.StatusList_val[i].Status,
               now.StatusList.StatusList_val[i].StageStatus);
    API_StageStatusFree(&asked);
    API_StageStatusFree(&now);
    API_StageBatchFree(&batch);
    free(bitfiles.List.List_val);
}
#else
static void stage_batch(int count, char **paths) { printf("%d files from %s on: stage them one by one\n", count, *paths); }
#endif

static int version_fits(void) {
    int major = 0, minor = 0;
    char *level = hpss_BuildLevelString();
    int known = sscanf(level, "%d.%d", &major, &minor);
    free(level);
    return known == 2 && major == HPSS_MAJOR_VERSION + 0 && minor == HPSS_MINOR_VERSION + 0;
}

int main(int count, char **words) {
    sec_cred_t user;
    char *verb = words[3], *path = words[4], *operand = count > 5 ? words[5] : NULL;
    log_in(words[1], words[2]);
    must(hpss_LoadDefaultThreadState(4711, hpss_Umask(022), NULL), "hpss_LoadDefaultThreadState");
    must(hpss_GetThreadUcred(&user), "hpss_GetThreadUcred");
    if (strcmp(verb, "whoami") == 0)
        printf("%s %u %s\n", user.Name, user.Uid, version_fits() ? "fits" : "does not fit");
    else if (strcmp(verb, "store") == 0)
        store(path, strtoull(operand, NULL, 10));
    else if (strcmp(verb, "retrieve") == 0)
        retrieve(path);
    else if (strcmp(verb, "give-up") == 0)
        give_up(path);
    else if (strcmp(verb, "read-by-handle") == 0)
        read_by_handle(path, operand, &user);
    else if (strcmp(verb, "list") == 0)
        list(path, &user);
    else if (strcmp(verb, "stage") == 0)
        stage(path);
    else if (strcmp(verb, "stage-batch") == 0)
        stage_batch(count - 4, words + 4);
    else if (strcmp(verb, "hash") == 0)
        hash(path, &user);
    else if (strcmp(verb, "digest") == 0)
        digest(path, operand, &user);
    hpss_PurgeLoginCred();
    hpss_ClientAPIReset();
    return 0;
}
