/* What the parts of the simulator share: the archive's state, one call's bookkeeping, the levels of a file. */
#ifndef SIM_H
#define SIM_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hpss_String.h"
#include "hpss_api.h"
#include "hpss_xml.h"

#define RECORD_COUNT 16384
#define ATTRIBUTE_BYTES 3400
#define COS_COUNT 16
#define DRIVE_COUNT 16
#define VOLUME_COUNT 10000 /* as many as their names can tell apart; 0 is none */
#define RULE_COUNT 256
#define LEVELS HPSS_MAX_STORAGE_LEVELS
#define NANO 1000000000ull
#define NEVER UINT64_MAX
#define PATH_BYTES 4096
#define ROOT_FILESET 1

enum level_kind { NO_LEVEL, DISK, TAPE };

/* One file ("bitfile") of the archive. Same layout in every flavour: processes of all may share one archive. */
struct record {
    uint32_t used, generation, cos, family, mode, links, opens, writers, reads, writes, purge_locked;
    uint32_t uid, gid;
    uint32_t access_time, modify_time, change_time, create_time;
    uint64_t size, damaged_from;
    struct {
        uint64_t bytes, offset; /* the offset is that within an aggregate */
        uint32_t volume;
        int32_t position;
    } level[LEVELS];
    struct {
        uint64_t begins, ends, bytes; /* nanoseconds of the virtual clock; ends == 0: no stage */
        int32_t code;
        uint8_t callback[16]; /* the id that the stage is known by */
        uint32_t in_batch;
    } stage;
    struct {
        uint32_t type, flags; /* type 0: none */
        uint8_t bytes[HPSS_MAX_DIGEST];
        char creator[HPSS_MAX_USER_NAME];
    } digest;
    uint32_t attribute_length; /* "key\0value\0key\0value\0" */
    char attributes[ATTRIBUTE_BYTES];
};

struct cos {
    uint32_t used, stage_code;
    uint64_t smallest, largest; /* bytes */
    uint32_t kind[LEVELS];
    uint32_t tape_stripe; /* physical volumes of a virtual one */
};

/* A drive of the tape library, once it has read all that it was given. */
struct drive {
    uint32_t volume; /* 0: none */
    int32_t position;
    uint64_t free;
};

/* The volume of a level that is being written. */
struct filling {
    uint32_t volume;
    uint64_t files;
};

/* The archive, in memory that all processes share. */
struct state {
    uint64_t magic;
    pthread_mutex_t mutex;
    int64_t clock_offset; /* nanoseconds that the virtual clock is ahead */
    uint64_t credential_epoch;
    struct {
        double mount_seconds, seek_seconds, idle_seconds, tape_rate, credential_seconds, busy_unit;
        int64_t credential_calls, drives, files_per_volume, files_per_aggregate, stage_queue, open_max, space, log, abort_on_unlink, before_login;
        int32_t expired_code;
        char principal[64], site[64];
    } settings;
    struct {
        int64_t open_descriptors, blocks, bad_frees, bad_descriptors, calls_before_login, calls_after_fork,
            alarms, stages, duplicate_stages, unlinked_open, logins, hanging, mounts, seek_distance,
            recalls_finished, recalls_failed;
    } counters;
    struct drive drive[DRIVE_COUNT];
    uint64_t volume_free[VOLUME_COUNT], recalls_end;
    struct filling filling[LEVELS];
    uint32_t next_volume, next_record, highest_record, next_request;
    struct {
        uint64_t line;
        int64_t hits;
        uint64_t first_hit;
    } rule[RULE_COUNT];
    struct cos cos[COS_COUNT];
    struct record record[RECORD_COUNT];
};

/* What the failure file asks of one call. */
struct failure {
    bool has_code, has_limit, has_short, after, hang, abort, busy, xml, lag, lost, unplaced;
    int code, stage_code;
    uint64_t limit, shortened, hangs_by;
    int64_t corrupt, longer;
    double delay, skew, fraction;
    char text[128];
};

struct call {
    const char *function;
    char path[PATH_BYTES];
    char detail[160];
    bool asks_core;
    struct failure failure;
};

/* state.c */
struct state *sim_state(void);
const char *sim_root(void);
const char *sim_names(void);
void sim_lock(void);
void sim_unlock(void);
uint64_t sim_now(void);
void sim_wait_until(uint64_t moment);
void sim_sleep(double seconds);
void sim_count(int64_t *counter, int64_t step);
void *sim_block(size_t size);
void sim_free(void *block);
char *sim_text(const char *text);

/* failures.c */
void sim_failures(struct call *call);
bool sim_still_hangs(const struct call *call);

/* session.c */
int sim_enter(struct call *call, const char *function, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int sim_enter_unlogged(struct call *call, const char *function, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
long sim_leave(struct call *call, long code);
void sim_session_reset(void);

/* What a stage is known by, and whether it is one of a batch. */
struct stage_id {
    const void *bytes;
    size_t size;
    bool in_batch;
};

/* levels.c: all but sim_stage_wait want the lock held. */
struct record *sim_record_new(uint32_t cos, uint32_t mode);
void sim_record_release(struct record *record);
uint32_t sim_id(const struct record *record);
void sim_settle(struct record *record);
bool sim_staging(const struct record *record);
int sim_top_kind(const struct record *record);
int sim_source_level(const struct record *record);
bool sim_online(const struct record *record);
int sim_stage_start(struct record *record, const struct failure *failure, const struct stage_id *id);
void sim_stage_wait(uint32_t id, uint32_t generation);
int sim_copy(const char *source, const char *target);
int sim_move_down(struct record *record, int level);
int sim_empty_level(struct record *record, int level, uint64_t *bytes);
uint64_t sim_used_bytes(void);
void sim_drop_data(struct record *record, int level);
void sim_level_path(const struct record *record, int level, char *path);

/* library.c */
void sim_schedule(const struct record *record, int level, uint64_t *begins, uint64_t *ends);
void sim_place_on_tape(struct record *record, int level);
bool sim_lies_before(const struct record *one, const struct record *other);

/* paths.c */
int sim_name_path(const char *path, char *real);
int sim_find(const char *path, struct record **record);
int sim_bind(const char *path, struct record *record);
void sim_show_mode(const struct record *record);

/* handles.c */
void sim_handle_of(const char *path, const struct record *record, ns_ObjHandle_t *out);
int sim_enter_handle(struct call *call, const char *function, const ns_ObjHandle_t *handle, const char *name, char *path);

/* classes.c */
int sim_choose_cos(SIM_CONST hpss_cos_hints_t *hints, SIM_CONST hpss_cos_priorities_t *priorities);

/* staging.c */
hpss_reqid_t sim_fresh_request_id(void);
struct record *sim_record_of_bitfile(const sim_bitfile_t *bitfile);

/* names.c */
int sim_attributes_of(const char *path, bool lag, ns_ObjHandle_t *handle, hpss_Attrs_t *out);
int sim_levels_of(const char *path, uint32_t flags, uint32_t level, bool lag, hpss_xfileattr_t *out);
void sim_bitfile_of(const struct record *record, sim_bitfile_t *out);

/* files.c */
struct open_file {
    bool used, waits_for_stage, mounted;
    int flags;
    uint32_t id, generation;
    uint64_t offset, opening; /* counts the times that a file was opened */
    char path[PATH_BYTES];
};
int sim_open(const struct call *call, const char *path, int flags, mode_t mode, SIM_CONST hpss_cos_hints_t *hints,
             SIM_CONST hpss_cos_priorities_t *priorities, hpss_cos_hints_t *hints_out);
ssize_t sim_read(const struct failure *failure, int descriptor, struct open_file *file, void *buffer, uint64_t length);
ssize_t sim_write(const struct failure *failure, struct open_file *file, const void *buffer, uint64_t length);
int sim_enter_file(struct call *call, const char *function, int descriptor, struct open_file *file, uint64_t length);
void sim_close_after_stage(int descriptor);
int sim_path_of(int descriptor, char *path);
bool sim_record_of(int descriptor, struct record **record);
void sim_files_reset(void);

#endif
