/* The tape library: where files lie on its volumes, and when a drive reads them.
 *
 * Recalls are read in the order in which they arrive: each is given to a drive, and a time, at once. */
#include "sim.h"

static struct drive *drives_end(void) {
    int64_t count = sim_state()->settings.drives;
    return sim_state()->drive + (count < 1 ? 1 : count > DRIVE_COUNT ? DRIVE_COUNT : count);
}

/* A drive that had nothing to read for a while has no volume any more. */
static void dismount_idle(uint64_t now) {
    uint64_t patience = (uint64_t)(sim_state()->settings.idle_seconds * 1e9);
    for (struct drive *drive = sim_state()->drive; drive < drives_end(); drive++)
        if (drive->free + patience < now)
            drive->volume = 0;
}

/* The drive that has the volume once it has read all that it was given; else the one that is free first. */
static struct drive *drive_for(uint32_t volume) {
    struct drive *best = sim_state()->drive;
    for (struct drive *drive = best; drive < drives_end(); drive++) {
        if (drive->volume == volume)
            return drive;
        if (drive->free < best->free)
            best = drive;
    }
    return best;
}

static uint64_t later(uint64_t one, uint64_t other) { return one > other ? one : other; }

/* Mounting takes in that the drive's other volume goes first; another drive may still be reading this one. */
static void mount(struct drive *drive, uint32_t volume) {
    struct state *state = sim_state();
    drive->free = later(drive->free, state->volume_free[volume]);
    drive->volume = volume;
    drive->position = 0;
    state->counters.mounts++;
}

/* Lock held: give the reading of *bytes* of the record's copy on *level* to a drive; when it begins and ends. */
void sim_schedule(const struct record *record, int level, uint64_t *begins, uint64_t *ends) {
    struct state *state = sim_state();
    uint64_t now = sim_now();
    if (record->level[level].volume == 0) { /* on disk */
        *begins = now;
        *ends = now + 1;
        return;
    }
    dismount_idle(now);
    struct drive *drive = drive_for(record->level[level].volume);
    bool mounts = drive->volume != record->level[level].volume;
    if (mounts)
        mount(drive, record->level[level].volume);
    int64_t distance = llabs((long long)record->level[level].position - drive->position);
    double seconds = (mounts ? state->settings.mount_seconds : 0) + (double)distance * state->settings.seek_seconds +
                     (double)record->level[level].bytes / state->settings.tape_rate;
    *begins = later(now, drive->free);
    *ends = *begins + (uint64_t)(seconds * 1e9) + 1;
    drive->position = record->level[level].position;
    drive->free = state->volume_free[drive->volume] = *ends;
    state->counters.seek_distance += distance;
    state->recalls_end = later(state->recalls_end, *ends);
}

static uint64_t at_least_one(int64_t setting) { return setting > 0 ? (uint64_t)setting : 1; }

/* Lock held: give the record the next place on the volume of *level* that is being written, or on a new one. */
void sim_place_on_tape(struct record *record, int level) {
    struct state *state = sim_state();
    struct filling *filling = &state->filling[level];
    uint64_t in_aggregate = at_least_one(state->settings.files_per_aggregate);
    if (filling->volume == 0 || filling->files >= at_least_one(state->settings.files_per_volume))
        *filling = (struct filling){.volume = state->next_volume++ % (VOLUME_COUNT - 1) + 1};
    record->level[level].volume = filling->volume;
    record->level[level].position = (int32_t)(filling->files / in_aggregate + 1);
    record->level[level].offset = filling->files % in_aggregate * 4096;
    filling->files++;
}

/* Whether the copy of *one* on its tape lies before that of *other*. */
bool sim_lies_before(const struct record *one, const struct record *other) {
    int here = sim_source_level(one), there = sim_source_level(other);
    if (here < 0 || there < 0)
        return here < there;
    if (one->level[here].volume != other->level[there].volume)
        return one->level[here].volume < other->level[there].volume;
    if (one->level[here].position != other->level[there].position)
        return one->level[here].position < other->level[there].position;
    return one->level[here].offset < other->level[there].offset;
}
