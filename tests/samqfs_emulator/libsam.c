/*
 * A stub of libsam.so: the calls the archive interface may use, on the emulator's state.
 * The record is the one of the 2009 header on x86-64, packed to four bytes: 420 bytes long.
 */
#define _GNU_SOURCE
#include "samstate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_SIZE 420u
#define AT_INODE 4u
#define AT_SIZE 28u
#define AT_COPIES 84u
#define COPY_SIZE 60u
#define AT_FLAGS 329u
#define AT_GENERATION 332u
#define AT_PARTIAL 336u
#define AT_BLOCKS 348u
#define AT_ATTR 412u

int sam_stat(const char *path, void *record, size_t size);
int sam_lstat(const char *path, void *record, size_t size);
int sam_stage(const char *path, const char *operations);
int sam_cancelstage(const char *path);
int sam_release(const char *path, const char *operations);

static void put(unsigned char *record, size_t offset, const void *value, size_t size)
{
	memcpy(record + offset, value, size);
}

static void put_copy(unsigned char *record, const struct samcopy *copy)
{
	int64_t created = copy->created;
	uint16_t flags = (uint16_t)copy->flags, volumes = (uint16_t)copy->volumes;

	put(record, 0, &copy->position, sizeof(copy->position));
	put(record, 8, &created, sizeof(created));
	put(record, 16, &copy->offset, sizeof(copy->offset));
	put(record, 20, &flags, sizeof(flags));
	put(record, 22, &volumes, sizeof(volumes));
	put(record, 24, copy->media, sizeof(copy->media));
	put(record, 28, copy->volume, sizeof(copy->volume));
}

int sam_stat(const char *path, void *record, size_t size)
{
	unsigned int number;
	struct samstate state;
	unsigned char whole[RECORD_SIZE];
	uint32_t inode, generation;
	int32_t partial;
	uint64_t blocks, attr;
	unsigned char flags;

	if (size < RECORD_SIZE) {
		errno = EINVAL;
		return -1;
	}
	if (samstate_read(AT_FDCWD, path, &state))
		return -1;
	memset(whole, 0, sizeof(whole));
	inode = (uint32_t)state.inode;
	generation = state.generation;
	partial = (int32_t)state.partial;
	blocks = state.blocks;
	attr = state.attr;
	flags = (unsigned char)state.flags;
	put(whole, 0, &state.mode, sizeof(state.mode));
	put(whole, AT_INODE, &inode, sizeof(inode));
	put(whole, AT_SIZE, &state.size, sizeof(state.size));
	put(whole, AT_FLAGS, &flags, sizeof(flags));
	put(whole, AT_GENERATION, &generation, sizeof(generation));
	put(whole, AT_PARTIAL, &partial, sizeof(partial));
	put(whole, AT_BLOCKS, &blocks, sizeof(blocks));
	put(whole, AT_ATTR, &attr, sizeof(attr));
	for (number = 0; number < MOST_COPIES; number++)
		put_copy(whole + AT_COPIES + number * COPY_SIZE, &state.copies[number]);
	memcpy(record, whole, sizeof(whole));
	return 0;
}

int sam_lstat(const char *path, void *record, size_t size)
{
	return sam_stat(path, record, size);
}

int sam_stage(const char *path, const char *operations)
{
	struct samstate state;
	char whole[PATH_MAX];
	int immediate = strchr(operations, 'i') != NULL;
	int partial = strchr(operations, 'p') != NULL;

	if (samstate_callable())
		return -1;
	if (strspn(operations, "adinpsw1234") != strlen(operations) || (immediate && partial)) {
		errno = EINVAL;
		return -1;
	}
	if (!realpath(path, whole) || samstate_read(AT_FDCWD, whole, &state))
		return -1;
	if (!immediate && !partial)
		return 0; /* attributes only */
	if (samstate_request(whole, &state))
		return -1;
	if (!strchr(operations, 'w'))
		return 0;
	return samstate_read(AT_FDCWD, whole, &state) ? -1 : samstate_wait(whole, &state);
}

int sam_cancelstage(const char *path)
{
	return samstate_callable() ? -1 : samstate_cancel(path);
}

int sam_release(const char *path, const char *operations)
{
	char whole[PATH_MAX];

	if (samstate_callable())
		return -1;
	if (strspn(operations, "adinps0123456789") != strlen(operations)) {
		errno = EINVAL;
		return -1;
	}
	if (!realpath(path, whole))
		return -1;
	return strchr(operations, 'i') ? samstate_release(whole) : 0; /* else attributes only */
}
