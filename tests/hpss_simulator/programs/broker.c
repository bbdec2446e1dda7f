/* In the manner of a broker that orders recalls by tape: it tells which volumes hold a file and where, frees the lists,
 * and stages a file by its descriptor.
 *
 * broker PRINCIPAL AUTH where PATH | stage PATH
 */
#include "program.h"

static const char *medium_of(const bf_sc_attrib_t *level) {
    return level->Flags & BFS_BFATTRS_LEVEL_IS_TAPE ? "tape" : level->Flags & BFS_BFATTRS_LEVEL_IS_DISK ? "disk" : NULL;
}

static void tell_volume(int number, const bf_vv_attrib_t *volume) {
    static const hpssoid_t none;
    long long bytes;
    CONVERT_U64_TO_LONGLONG(volume->BytesOnVV, bytes);
    for (unsigned32 i = 0; i < volume->PVList->List.List_len; i++)
        printf("  %d %s position %d offset %llu bytes %lld %s\n", number, volume->PVList->List.List_val[i].Name,
               volume->RelPosition, (unsigned long long)volume->RelPositionOffset, bytes,
               memcmp(&volume->VVID, &none, sizeof none) != 0 ? "named" : "nameless");
}

static void free_volume(bf_vv_attrib_t *volume) {
    free(volume->PVList->List.List_val);
    free(volume->PVList);
}

static void where(char *path) {
    hpss_xfileattr_t file;
    memset(&file, 0, sizeof file);
    must(hpss_FileGetXAttributes(path, API_GET_STATS_FOR_ALL_LEVELS, 0, &file), "hpss_FileGetXAttributes");
    cos_t class = file.Attrs.COSId;
    printf("class %u\n", class);
    for (int i = 0; i < HPSS_MAX_STORAGE_LEVELS; i++) {
        bf_sc_attrib_t *level = &file.SCAttrib[i];
        if (medium_of(level) == NULL)
            continue;
        printf("%s %llu\n", medium_of(level), (unsigned long long)level->BytesAtLevel);
        for (unsigned32 j = 0; j < level->NumberOfVVs; j++) {
            tell_volume((int)j, &level->VVAttrib[j]);
            free_volume(&level->VVAttrib[j]);
        }
    }
}

static void stage(char *path) {
    u_signed64 length;
    hpss_fileattr_t file;
    must(hpss_FileGetAttributes(path, &file), "hpss_FileGetAttributes");
    CONVERT_LONGLONG_TO_U64((long long)file.Attrs.DataLength, length);
    int descriptor = (int)must(hpss_Open(path, O_RDONLY | O_NONBLOCK, 0, NULL, NULL, NULL), "hpss_Open");
    must(hpss_Stage(descriptor, cast64m(0), length, 0, BFS_STAGE_ALL), "hpss_Stage");
    must(hpss_Close(descriptor), "hpss_Close");
    printf("staged\n");
}

int main(int count, char **words) {
    if (count != 5)
        return 2;
    log_in(words[1], words[2]);
    if (strcmp(words[3], "where") == 0)
        where(words[4]);
    else
        stage(words[4]);
    hpss_PurgeLoginCred();
    return 0;
}
