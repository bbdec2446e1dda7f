/* What the control command calls: no login, no log, no failures. Codes are those of HPSS. */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>

/* Copy the file to every level below. */
int sim_migrate(const char *path) {
    struct record *record;
    sim_lock();
    int code = sim_find(path, &record);
    for (int level = 0; code == 0 && level + 1 < LEVELS && sim_state()->cos[record->cos].kind[level + 1] != NO_LEVEL;
         level++)
        code = sim_move_down(record, level);
    sim_unlock();
    return code;
}

/* Leave the file on tape only. */
int sim_purge(const char *path) {
    struct record *record;
    uint64_t bytes;
    sim_lock();
    int code = sim_find(path, &record);
    for (int level = 0; code == 0 && level < LEVELS && sim_state()->cos[record->cos].kind[level] == DISK; level++)
        code = sim_empty_level(record, level, &bytes);
    sim_unlock();
    return code;
}

/* Every byte of the file's tape copy from *offset* on can no longer be read. */
int sim_damage(const char *path, uint64_t offset) {
    struct record *record;
    sim_lock();
    int code = sim_find(path, &record);
    if (code == 0)
        record->damaged_from = offset;
    sim_unlock();
    return code;
}

void sim_advance(double seconds) {
    sim_lock();
    sim_state()->clock_offset += (int64_t)(seconds * 1e9);
    sim_unlock();
}

/* Every login so far is no longer good. */
void sim_expire(void) {
    sim_lock();
    sim_state()->credential_epoch++;
    sim_unlock();
}

static const struct {
    const char *name;
    enum { REAL, WHOLE, CODE, TEXT } type;
    size_t offset;
} SETTINGS[] = {
#define SETTING(name, type) {#name, type, offsetof(struct state, settings.name)}
    SETTING(mount_seconds, REAL),     SETTING(seek_seconds, REAL),    SETTING(idle_seconds, REAL),
    SETTING(files_per_volume, WHOLE), SETTING(files_per_aggregate, WHOLE),
    SETTING(tape_rate, REAL),         SETTING(credential_seconds, REAL),
    SETTING(busy_unit, REAL),         SETTING(credential_calls, WHOLE), SETTING(drives, WHOLE),
    SETTING(stage_queue, WHOLE),      SETTING(open_max, WHOLE),       SETTING(space, WHOLE),
    SETTING(log, WHOLE),              SETTING(abort_on_unlink, WHOLE), SETTING(before_login, WHOLE),
    SETTING(expired_code, CODE),      SETTING(principal, TEXT),       SETTING(site, TEXT),
};

int sim_set(const char *name, const char *value) {
    for (size_t i = 0; i < sizeof SETTINGS / sizeof *SETTINGS; i++) {
        if (strcmp(SETTINGS[i].name, name) != 0)
            continue;
        void *place = (char *)sim_state() + SETTINGS[i].offset;
        if (SETTINGS[i].type == REAL)
            *(double *)place = atof(value);
        else if (SETTINGS[i].type == WHOLE)
            *(int64_t *)place = atoll(value);
        else if (SETTINGS[i].type == CODE)
            *(int32_t *)place = atoi(value);
        else
            snprintf(place, 64, "%s", value);
        return 0;
    }
    return HPSS_EINVAL;
}

static const struct {
    const char *name;
    size_t offset;
} COUNTERS[] = {
#define COUNTER(name) {#name, offsetof(struct state, counters.name)}
    COUNTER(open_descriptors),   COUNTER(blocks),           COUNTER(bad_frees), COUNTER(bad_descriptors),
    COUNTER(calls_before_login), COUNTER(calls_after_fork), COUNTER(alarms),    COUNTER(stages),
    COUNTER(duplicate_stages),   COUNTER(unlinked_open),    COUNTER(logins),
    COUNTER(hanging),            COUNTER(mounts),           COUNTER(seek_distance),
    COUNTER(recalls_finished),   COUNTER(recalls_failed),
};

struct text {
    char *place;
    size_t room;
};

static void say(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->place, text->room, format, arguments);
    va_end(arguments);
    size_t step = length < 0 ? 0 : (size_t)length < text->room ? (size_t)length : text->room;
    text->place += step;
    text->room -= step;
}

/* "name=value" lines: the counters, the recalls that wait and those that are being read, and in seconds of the archive's
 * clock when the last of them ends, and what time it is. */
void sim_counters(char *out, size_t size) {
    struct text text = {out, size};
    int queued = 0, active = 0;
    sim_lock();
    uint64_t now = sim_now();
    for (uint32_t id = 1; id <= sim_state()->highest_record; id++) {
        struct record *record = &sim_state()->record[id];
        if (!record->used || record->stage.ends == 0)
            continue;
        sim_settle(record);
        queued += sim_staging(record) && now < record->stage.begins;
        active += sim_staging(record) && now >= record->stage.begins;
    }
    for (size_t i = 0; i < sizeof COUNTERS / sizeof *COUNTERS; i++)
        say(&text, "%s=%" PRId64 "\n", COUNTERS[i].name, *(int64_t *)((char *)sim_state() + COUNTERS[i].offset));
    say(&text, "recalls_queued=%d\nrecalls_active=%d\n", queued, active);
    say(&text, "recalls_end=%llu\nclock=%llu\n", sim_state()->recalls_end / NANO, now / NANO);
    sim_unlock();
}

static void say_levels(struct text *text, const struct record *record) {
    for (int level = 0; level < LEVELS; level++) {
        uint32_t kind = sim_state()->cos[record->cos].kind[level];
        if (kind != NO_LEVEL)
            say(text, "level%d=%s %" PRIu64 "\n", level, kind == DISK ? "disk" : "tape", record->level[level].bytes);
    }
}

/* "name=value" lines: one file. */
int sim_show(const char *path, char *out, size_t size) {
    struct record *record;
    struct text text = {out, size};
    sim_lock();
    int code = sim_find(path, &record);
    if (code == 0) {
        say(&text, "size=%" PRIu64 "\nmode=%o\ncos=%u\nfamily=%u\nmtime=%u\nlinks=%u\nopens=%u\npurge_locked=%u\nstage=%s\n",
            record->size, record->mode, record->cos, record->family, record->modify_time, record->links, record->opens,
            record->purge_locked,
            !sim_staging(record)                   ? "none"
            : sim_now() < record->stage.begins ? "queued"
                                                   : "active");
        say_levels(&text, record);
        const char *end = record->attributes + record->attribute_length;
        for (const char *key = record->attributes; key < end;) {
            const char *value = key + strlen(key) + 1;
            say(&text, "%s=%s\n", key, value);
            key = value + strlen(value) + 1;
        }
    }
    sim_unlock();
    return code;
}
