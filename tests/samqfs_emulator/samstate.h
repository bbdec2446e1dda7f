/*
 * What the C stubs share: the state files that the emulator keeps, found through
 * the environment variable SAMQFS_EMULATOR (the emulator's root).
 */
#ifndef SAMSTATE_H
#define SAMSTATE_H

#include <stdint.h>

#define SS_DAMAGED 0x10u
#define SS_SAMFS 0x800u
#define SS_PARTIAL 0x4000u
#define SS_OFFLINE 0x8000u
#define SS_ARCHIVED 0x10000u
#define SS_STAGING 0x01u
#define SS_STAGEFAIL 0x02u

#define CF_DAMAGED 0x10u
#define MOST_COPIES 4

struct samcopy {
	uint32_t flags; /* 0: no such copy */
	int64_t created;
	uint32_t volumes;
	char media[4];
	char volume[32];
	uint64_t position;
	uint32_t offset;
};

struct samstate {
	char key[64]; /* "<ino>.<birth seconds>.<birth nanoseconds>" */
	uint64_t inode;
	uint64_t size;
	uint64_t blocks;
	int64_t mtime;
	uint32_t mode;
	uint32_t attr;
	uint32_t flags;
	uint32_t partial; /* KiB */
	uint32_t generation;
	int64_t residence_time;
	struct samcopy copies[MOST_COPIES];
};

/* Fill *state* for *path*; with an empty path, for *descriptor*. 0, or -1 with errno. */
int samstate_read(int descriptor, const char *path, struct samstate *state);

/* Queue a stage of *path*, once however many ask. 0, or -1 with errno. */
int samstate_request(const char *path, const struct samstate *state);

/* Drop the blocks of *path*, if a good copy allows it. 0, or -1 with errno. */
int samstate_release(const char *path);

/* Forget that *path* waits for a stage. 0, or -1 with errno. */
int samstate_cancel(const char *path);

/* Return whether this host lets its users call anything but sam_stat: if not, -1 with errno. */
int samstate_callable(void);

/* Wait until the stage of *state* ended; -1 with EIO if it failed. */
int samstate_wait(const char *path, struct samstate *state);

/* Return whether the emulator's root is named at all. */
int samstate_configured(void);

#endif
