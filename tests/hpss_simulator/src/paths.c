/* Names. Each is a symbolic link to the file's data on the top level, so that people and tests may look at an archive
 * with the tools they know; and a plain file that somebody puts among the names is taken in as a file of HPSS. */
#include "sim.h"

int sim_name_path(const char *path, char *real) {
    if (path == NULL)
        return HPSS_EFAULT;
    if (*path == '\0')
        return HPSS_ENOENT;
    if (*path != '/' || strstr(path, "/../") != NULL)
        return HPSS_EINVAL;
    int length = snprintf(real, PATH_BYTES, "%s%s", sim_names(), path);
    return length >= PATH_BYTES ? HPSS_ENAMETOOLONG : 0;
}

/* Lock held. Let the top level's data show the permissions, for who looks at them. */
void sim_show_mode(const struct record *record) {
    char path[PATH_BYTES];
    sim_level_path(record, 0, path);
    if (chmod(path, record->mode) != 0 && errno != ENOENT)
        fprintf(stderr, "hpss simulator: cannot change %s\n", path);
}

/* Lock held. Make a record of the plain file at *real*, as if another client had written it. */
static int take_in(const char *real, const struct stat *found, const char *path, struct record **record) {
    char data[PATH_BYTES];
    *record = sim_record_new(1, found->st_mode & 07777);
    if (*record == NULL)
        return HPSS_ENOSPACE;
    sim_level_path(*record, 0, data);
    int code = sim_copy(real, data);
    if (code != 0 || unlink(real) != 0)
        return code != 0 ? code : -errno;
    (*record)->size = (*record)->level[0].bytes = (uint64_t)found->st_size;
    (*record)->modify_time = (uint32_t)found->st_mtime;
    sim_show_mode(*record);
    return sim_bind(path, *record);
}

/* Lock held. 0, -EISDIR for what is no file, or another code; a symbolic link of anybody's is not followed. */
int sim_find(const char *path, struct record **record) {
    char real[PATH_BYTES], target[PATH_BYTES], data[PATH_BYTES];
    struct stat found;
    int code = sim_name_path(path, real);
    if (code != 0)
        return code;
    ssize_t length = readlink(real, target, sizeof target - 1);
    if (length < 0 && errno != EINVAL)
        return -errno;
    if (length < 0)
        return lstat(real, &found) == 0 && S_ISREG(found.st_mode) ? take_in(real, &found, path, record) : HPSS_EISDIR;
    target[length] = '\0';
    int start = snprintf(data, sizeof data, "%s/data/", sim_root());
    if (strncmp(target, data, (size_t)start) != 0)
        return -ELOOP;
    *record = &sim_state()->record[atoi(target + start)];
    if (lstat(real, &found) == 0)
        (*record)->links = (uint32_t)found.st_nlink; /* a second name is a hard link of the first */
    sim_settle(*record);
    return 0;
}

/* Lock held. Give *record* the name *path*. */
int sim_bind(const char *path, struct record *record) {
    char real[PATH_BYTES], data[PATH_BYTES];
    int code = sim_name_path(path, real);
    if (code != 0)
        return code;
    sim_level_path(record, 0, data);
    if (symlink(data, real) != 0)
        return -errno;
    record->links = 1;
    return 0;
}
