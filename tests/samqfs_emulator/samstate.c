#define _GNU_SOURCE
#include "samstate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int samstate_read(int descriptor, const char *path, struct samstate *state)
{
	struct statx status;
	char file[4096], text[256];
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

int samstate_request(const char *path, const struct samstate *state)
{
	char beside[4096], file[4096], text[32];
	size_t length = strlen(path);
	int descriptor, failed;

	note("call", path);
	if (!state_path(file, sizeof(file), "stage-errno") && read_text(file, text, sizeof(text)) > 0 && atoi(text)) {
		errno = atoi(text);
		return -1;
	}
	if (!(state->attr & SS_OFFLINE))
		return 0;
	if (!(state->attr & SS_ARCHIVED)) {
		errno = ENXIO;
		return -1;
	}
	if (state_path(beside, sizeof(beside), "staging/.%ld.%s", syscall(SYS_gettid), state->key) ||
	    state_path(file, sizeof(file), "staging/%s", state->key))
		return -1;
	descriptor = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (descriptor < 0)
		return -1;
	failed = syscall(SYS_write, descriptor, path, length) != (long)length;
	close(descriptor);
	if (!failed && !link(beside, file))
		note("queued", path);
	else if (!failed && errno != EEXIST)
		failed = 1;
	unlink(beside);
	return failed ? -1 : 0;
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
