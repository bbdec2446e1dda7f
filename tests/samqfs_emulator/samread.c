/*
 * Loaded before the C library (LD_PRELOAD), makes a process see what a SAM-QFS mount shows its readers:
 * a read beyond the part of an offline file that stayed on disk queues a stage and blocks until the file is back.
 */
#define _GNU_SOURCE
#include "samstate.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t pread64(int descriptor, void *buffer, size_t size, off64_t offset);
ssize_t preadv64(int descriptor, const struct iovec *parts, int count, off64_t offset);
ssize_t sendfile64(int out, int in, off64_t *offset, size_t size);

/* 0, or -1 with errno when the stage failed. */
static int bring_back(int descriptor, off64_t end)
{
	struct stat status;
	struct samstate state;
	char link_name[64], path[PATH_MAX];
	ssize_t length;
	int kept = errno;

	if (!samstate_configured() || fstat(descriptor, &status) || !S_ISREG(status.st_mode) ||
	    samstate_read(descriptor, "", &state) || !(state.attr & SS_OFFLINE) ||
	    (uint64_t)end <= (uint64_t)state.partial * 1024) {
		errno = kept;
		return 0;
	}
	snprintf(link_name, sizeof(link_name), "/proc/self/fd/%d", descriptor);
	length = readlink(link_name, path, sizeof(path) - 1);
	if (length < 0)
		return -1;
	path[length] = '\0';
	if (samstate_request(path, &state) || samstate_read(descriptor, "", &state) || samstate_wait(path, &state))
		return -1;
	errno = kept;
	return 0;
}

static off64_t here(int descriptor, size_t size)
{
	return lseek(descriptor, 0, SEEK_CUR) + (off64_t)size;
}

ssize_t read(int descriptor, void *buffer, size_t size)
{
	return size && bring_back(descriptor, here(descriptor, size)) ? -1 : syscall(SYS_read, descriptor, buffer, size);
}

ssize_t pread64(int descriptor, void *buffer, size_t size, off64_t offset)
{
	return size && bring_back(descriptor, offset + (off64_t)size)
		? -1 : syscall(SYS_pread64, descriptor, buffer, size, offset);
}

ssize_t pread(int descriptor, void *buffer, size_t size, off_t offset)
{
	return pread64(descriptor, buffer, size, offset);
}

ssize_t readv(int descriptor, const struct iovec *parts, int count)
{
	return bring_back(descriptor, LLONG_MAX) ? -1 : syscall(SYS_readv, descriptor, parts, count);
}

ssize_t preadv64(int descriptor, const struct iovec *parts, int count, off64_t offset)
{
	return bring_back(descriptor, LLONG_MAX) ? -1 : syscall(SYS_preadv, descriptor, parts, count, offset, 0);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t size)
{
	return bring_back(in, LLONG_MAX) ? -1 : syscall(SYS_sendfile, out, in, offset, size);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t size)
{
	return sendfile64(out, in, offset, size);
}
