#define _GNU_SOURCE
#include "samstate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* System calls by number: the read stub replaces the library's read. */

static int state_path(char *buffer, size_t size, const char *format, ...)
{
	const char *root = getenv("SAMQFS_EMULATOR");
	va_list arguments;
	int used = snprintf(buffer, size, "%s/state/", root ? root : "");
	int more;

	if (!root || used < 0 || (size_t)used >= size) {
		errno = ENOSYS;
		return -1;
	}
	va_start(arguments, format);
	more = vsnprintf(buffer + used, size - (size_t)used, format, arguments);
	va_end(arguments);
	if (more < 0 || (size_t)more >= size - (size_t)used) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

static ssize_t read_text(const char *path, char *buffer, size_t size)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (descriptor < 0)
		return -1;
	length = syscall(SYS_read, descriptor, buffer, size - 1);
	close(descriptor);
	if (length >= 0)
		buffer[length] = '\0';
	return length;
}

int samstate_configured(void)
{
	return getenv("SAMQFS_EMULATOR") != NULL;
}

/* 0, or -1 with the errno that the file *name* asks for. */
static int allowed(const char *name)
{
	char file[4096], text[32];

	if (!state_path(file, sizeof(file), "%s", name) && read_text(file, text, sizeof(text)) > 0 && atoi(text)) {
		errno = atoi(text);
		return -1;
	}
	return 0;
}

int samstate_callable(void)
{
	return allowed("call-errno");
}

static void read_copies(const char *text, struct samcopy *copies)
{
	unsigned int number, flags, section, offset;
	unsigned long long position;
	long long created;
	char media[4], volume[32];

	for (; text; text = strchr(text + 1, '\n')) {
		if (sscanf(text, " %u %u %lld %u %3s %31s %llu %u", &number, &flags, &created, &section, media, volume,
			   &position, &offset) != 8 || number < 1 || number > MOST_COPIES)
			continue;
		copies[number - 1].volumes++;
		if (section)
			continue;
		copies[number - 1].flags = flags;
		copies[number - 1].created = created;
		copies[number - 1].position = position;
		copies[number - 1].offset = offset;
		strcpy(copies[number - 1].media, media);
		strcpy(copies[number - 1].volume, volume);
	}
}

int samstate_read(int descriptor, const char *path, struct samstate *state)
{
	struct statx status;
	char file[4096], text[4096];
	unsigned int attr, flags, partial, generation;
	long long residence;

	memset(state, 0, sizeof(*state));
	if (statx(descriptor, path, *path ? 0 : AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status))
		return -1;
	state->inode = status.stx_ino;
	state->size = status.stx_size;
	state->blocks = status.stx_blocks;
	state->mtime = status.stx_mtime.tv_sec;
	state->mode = status.stx_mode;
	state->attr = SS_SAMFS;
	snprintf(state->key, sizeof(state->key), "%llu.%lld.%u", (unsigned long long)status.stx_ino,
		 (long long)status.stx_btime.tv_sec, status.stx_btime.tv_nsec);
	if (state_path(file, sizeof(file), "inodes/%s", state->key))
		return -1;
	if (read_text(file, text, sizeof(text)) < 0)
		return 0; /* not seen yet: nothing special about it */
	if (sscanf(text, "%u %u %u %u %lld", &attr, &flags, &partial, &generation, &residence) == 5) {
		state->attr = attr;
		state->flags = flags;
		state->partial = partial;
		state->generation = generation;
		state->residence_time = residence;
		read_copies(strchr(text, '\n'), state->copies);
	}
	if (!state_path(file, sizeof(file), "staging/%s", state->key) && !access(file, F_OK))
		state->flags |= SS_STAGING;
	return 0;
}

static void note(const char *what, const char *path)
{
	char file[4096], line[4400];
	int descriptor, length;

	if (state_path(file, sizeof(file), "stage.log"))
		return;
	descriptor = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (descriptor < 0)
		return;
	length = snprintf(line, sizeof(line), "%s %s\n", what, path);
	if (length > 0 && (size_t)length < sizeof(line) && syscall(SYS_write, descriptor, line, (size_t)length) < 0)
		perror("samqfs emulator: stage.log");
	close(descriptor);
}

/* Make the file *key* in *directory*, with *text* in it. 1 if it was not there, 0 if it was, -1 with errno. */
static int make_file(const char *directory, const char *key, const char *text)
{
	char beside[4096], file[4096];
	size_t length = strlen(text);
	struct timespec times[2];
	int descriptor, result;

	if (state_path(beside, sizeof(beside), "%s/.%ld.%s", directory, syscall(SYS_gettid), key) ||
	    state_path(file, sizeof(file), "%s/%s", directory, key))
		return -1;
	descriptor = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (descriptor < 0)
		return -1;
	result = syscall(SYS_write, descriptor, text, length) == (long)length ? 1 : -1;
	/* The times of the file system are too coarse to tell which of two requests came first. */
	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[1] = times[0];
	if (futimens(descriptor, times))
		result = -1;
	close(descriptor);
	if (result > 0 && link(beside, file))
		result = errno == EEXIST ? 0 : -1;
	unlink(beside);
	return result;
}

int samstate_request(const char *path, const struct samstate *state)
{
	int made;

	note("call", path);
	if (allowed("stage-errno"))
		return -1;
	if (!(state->attr & SS_OFFLINE))
		return 0;
	if (!(state->attr & SS_ARCHIVED)) {
		errno = ENXIO;
		return -1;
	}
	made = make_file("staging", state->key, path);
	if (made > 0)
		note("queued", path);
	return made < 0 ? -1 : 0;
}

int samstate_cancel(const char *path)
{
	struct samstate state;
	char file[4096];

	if (samstate_read(AT_FDCWD, path, &state) || state_path(file, sizeof(file), "staging/%s", state.key))
		return -1;
	return unlink(file) && errno != ENOENT ? -1 : 0;
}

static int punch_hole(int descriptor, off_t size)
{
	return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (size + 4095) / 4096 * 4096);
}

/* Drop all blocks of the file at *path*, and leave its mode and times as they were. */
static int drop_blocks(const char *path)
{
	struct stat before, after;
	struct timespec times[2];
	int descriptor, result;

	if (stat(path, &before) || chmod(path, before.st_mode | S_IWUSR))
		return -1;
	descriptor = open(path, O_RDWR | O_CLOEXEC);
	if (descriptor < 0)
		return -1;
	times[0] = before.st_atim;
	times[1] = before.st_mtim;
	result = punch_hole(descriptor, before.st_size) || fstat(descriptor, &after);
	if (!result && after.st_blocks) /* some file systems drop only what is on disk already */
		result = fsync(descriptor) || punch_hole(descriptor, before.st_size);
	if (futimens(descriptor, times) || fchmod(descriptor, before.st_mode & 07777))
		result = -1;
	close(descriptor);
	return result ? -1 : 0;
}

/* Note in the state file of *state* that it is offline; the lines of the copies stay. */
static int keep_offline(const struct samstate *state)
{
	char file[4096], beside[4096], text[4096];
	long long born;
	const char *copies;
	FILE *stream;

	if (state_path(file, sizeof(file), "inodes/%s", state->key) ||
	    state_path(beside, sizeof(beside), "inodes/.%s.%ld", state->key, syscall(SYS_gettid)) ||
	    read_text(file, text, sizeof(text)) < 0)
		return -1;
	copies = strchr(text, '\n');
	stream = fopen(beside, "we");
	if (!copies || sscanf(text, "%*u %*u %*u %*u %*d %lld", &born) != 1 || !stream)
		return -1;
	fprintf(stream, "%u %u 0 %u %lld %lld%s", (state->attr | SS_OFFLINE) & ~SS_PARTIAL, state->flags & SS_STAGEFAIL,
		state->generation, (long long)time(NULL), born, copies);
	return fclose(stream) || rename(beside, file) ? -1 : 0;
}

static int release_locked(const char *path)
{
	struct samstate state;

	if (samstate_read(AT_FDCWD, path, &state))
		return -1;
	if (state.flags & SS_STAGING) {
		errno = EBUSY;
		return -1;
	}
	if ((state.attr & SS_OFFLINE) || !(state.attr & SS_ARCHIVED) || !state.size)
		return 0;
	if (drop_blocks(path) || keep_offline(&state))
		return -1;
	return make_file("released", state.key, path) < 0 ? -1 : 0;
}

int samstate_release(const char *path)
{
	char file[4096];
	int lock, result;

	if (state_path(file, sizeof(file), "lock"))
		return -1;
	lock = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (lock < 0)
		return -1;
	result = flock(lock, LOCK_EX) ? -1 : release_locked(path);
	close(lock);
	return result;
}

int samstate_wait(const char *path, struct samstate *state)
{
	const struct timespec moment = {0, 5 * 1000 * 1000};

	while (state->flags & SS_STAGING) {
		nanosleep(&moment, NULL);
		if (samstate_read(AT_FDCWD, path, state))
			return -1;
	}
	if (state->attr & SS_OFFLINE) {
		errno = EIO;
		return -1;
	}
	return 0;
}
