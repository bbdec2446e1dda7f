/* In the manner of a data grid's storage driver: one function for each call of a file system. Each line says what a call
 * gave, an error by its name.
 *
 * driver PRINCIPAL AUTH DIRECTORY
 */
#include "program.h"

#define BUFFER_BYTES (4u << 20)

static char *in(char *directory, const char *name) {
    static char paths[4][HPSS_MAX_PATH_NAME];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, HPSS_MAX_PATH_NAME, "%s/%s", directory, name);
    return path;
}

static void tell(const char *call, long code) {
    if (code < 0)
        printf("%s %s\n", call, hpss_ErrnoName((int)code));
    else
        printf("%s %ld\n", call, code);
}

/* Write all of it: a call may write less. */
static long write_all(int descriptor, const char *bytes, size_t length) {
    size_t done = 0;
    while (done < length) {
        ssize_t written = hpss_Write(descriptor, bytes + done, length - done);
        if (written <= 0)
            return written;
        done += (size_t)written;
    }
    return (long)done;
}

static void create(char *path) {
    hpss_cos_hints_t hints;
    hpss_cos_priorities_t priorities;
    memset(&hints, 0, sizeof hints);
    memset(&priorities, 0, sizeof priorities);
    CONVERT_LONGLONG_TO_U64(11LL, hints.MinFileSize);
    hints.MaxFileSize = hints.MinFileSize;
    priorities.MinFileSizePriority = priorities.MaxFileSizePriority = REQUIRED_PRIORITY;
    int descriptor = (int)must(hpss_Open(path, O_RDWR | O_CREAT | O_EXCL, 0640, &hints, &priorities, NULL), "hpss_Open");
    tell("write", write_all(descriptor, "hello, tape", 11));
    tell("fsync", hpss_Fsync(descriptor));
    tell("close", hpss_Close(descriptor));
    tell("create again", hpss_Open(path, O_RDWR | O_CREAT | O_EXCL, 0640, NULL, NULL, NULL));
}

static void read_it(char *path) {
    char *buffer = malloc(BUFFER_BYTES);
    hpss_stat_t found;
    u_signed64 place;
    int descriptor = (int)must(hpss_Open(path, O_RDONLY, 0, NULL, NULL, NULL), "hpss_Open");
    must(hpss_Fstat(descriptor, &found), "hpss_Fstat");
    printf("size %llu mode %o\n", (unsigned long long)found.st_size, found.st_mode & 07777);
    tell("seek", hpss_SetFileOffset(descriptor, cast64m(7), SEEK_SET, HPSS_SET_OFFSET_FORWARD, &place));
    long got = hpss_Read(descriptor, buffer, BUFFER_BYTES);
    printf("read %.*s\n", (int)got, buffer);
    tell("end", hpss_Read(descriptor, buffer, BUFFER_BYTES));
    tell("write to a reader", hpss_Write(descriptor, buffer, 1));
    tell("close", hpss_Close(descriptor));
    tell("close again", hpss_Close(descriptor));
    free(buffer);
}

static void list(char *directory) {
    hpss_dirent_t entry;
    int descriptor = (int)must(hpss_Opendir(directory), "hpss_Opendir");
    for (;;) {
        must(hpss_Readdir(descriptor, &entry), "hpss_Readdir");
        if (entry.d_namelen == 0)
            break;
        if (entry.d_name[0] != '.')
            printf("entry %s %s %s\n", entry.d_name, entry.d_reclen > 0 ? "long" : "empty",
                   neqz64m(entry.d_handle.FileId) ? "known" : "unknown");
    }
    tell("closedir", hpss_Closedir(descriptor));
}

/* The same, several entries at a time and with attributes. */
static void list_plus(char *directory) {
    ns_DirEntry_t entries[3];
    u_signed64 offset = 0;
    unsigned32 end = FALSE;
    int descriptor = (int)must(hpss_Opendir(directory), "hpss_Opendir");
    while (!end) {
        long count = must(hpss_ReadAttrsPlus(descriptor, offset, sizeof entries, HPSS_READDIR_GETATTRS, &end, &offset, entries),
                          "hpss_ReadAttrsPlus");
        for (long i = 0; i < count; i++)
            if (entries[i].Name[0] != '.' && entries[i].Attrs.Type == NS_OBJECT_TYPE_FILE)
                printf("plus %s %llu\n", entries[i].Name, (unsigned long long)entries[i].Attrs.DataLength);
    }
    must(hpss_Closedir(descriptor), "hpss_Closedir");
}

static void own(char *path) {
    hpss_stat_t found;
    tell("chown", hpss_Chown(path, 4711, (gid_t)-1));
    must(hpss_Stat(path, &found), "hpss_Stat");
    printf("owner %u\n", found.st_uid);
}

/* Classes of service: how full one is, and changing that of a file. */
static void classes(char *directory) {
    hpss_statfs_t room;
    tell("statfs", hpss_Statfs(1, &room));
    printf("room %s\n", room.f_bfree * room.f_bsize > 0 ? "some" : "none");
    tell("statfs of no class", hpss_Statfs(15, &room));
    int descriptor = (int)must(hpss_Open(in(directory, "empty"), O_WRONLY | O_CREAT, 0600, NULL, NULL, NULL), "hpss_Open");
    must(hpss_Close(descriptor), "hpss_Close");
    tell("class of an empty file", hpss_FileSetCOS(in(directory, "empty"), 2, 0));
    tell("class of a full file", hpss_FileSetCOS(in(directory, "one"), 2, 0));
    must(hpss_Unlink(in(directory, "empty")), "hpss_Unlink");
}

static void arrange(char *directory) {
    char target[HPSS_MAX_PATH_NAME];
    tell("mkdir", hpss_Mkdir(in(directory, "sub"), 0750));
    tell("mkdir again", hpss_Mkdir(in(directory, "sub"), 0750));
    tell("chmod", hpss_Chmod(in(directory, "one"), 0600));
    tell("rename", hpss_Rename(in(directory, "one"), in(directory, "sub/two")));
    tell("stat the old name", hpss_Stat(in(directory, "one"), &(hpss_stat_t){0}));
    tell("truncate", hpss_Truncate(in(directory, "sub/two"), cast64m(5)));
    tell("symlink", hpss_Symlink("sub/two", in(directory, "link")));
    tell("readlink", hpss_Readlink(in(directory, "link"), target, sizeof target));
    printf("link %s\n", target);
}

static void clear(char *directory) {
    tell("rmdir", hpss_Rmdir(in(directory, "sub")) < 0 ? -1 : 0);
    tell("unlink", hpss_Unlink(in(directory, "sub/two")));
    tell("unlink", hpss_Unlink(in(directory, "link")));
    tell("unlink again", hpss_Unlink(in(directory, "link")));
    tell("rmdir", hpss_Rmdir(in(directory, "sub")));
}

int main(int count, char **words) {
    if (count != 4)
        return 2;
    log_in(words[1], words[2]);
    create(in(words[3], "one"));
    read_it(in(words[3], "one"));
    list(words[3]);
    list_plus(words[3]);
    own(in(words[3], "one"));
    classes(words[3]);
    arrange(words[3]);
    list_plus(in(words[3], "sub"));
    clear(words[3]);
    return 0;
}
