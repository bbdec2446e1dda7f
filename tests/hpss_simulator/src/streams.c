/* Streams over descriptors, in the manner of stdio: one buffer, full of what was read ahead or of what is not yet written.
 *
 * A write that fails may show only when the buffer is flushed, and what cannot be written then is lost: the worse of what
 * a caller may meet.
 */
#include "sim.h"

#define STREAM_BYTES (1 << 16)

struct sim_stream {
    int descriptor;
    bool reads, writes, filling, failed; /* filling: the buffer holds what is to be written */
    size_t start, end;                   /* of what the buffer holds */
    uint64_t offset;                     /* in the file, of the buffer's end (reading) or start (filling) */
    char path[PATH_BYTES];
    char buffer[STREAM_BYTES];
};

static int flags_of(const char *mode) {
    bool both = strchr(mode, '+') != NULL;
    if (*mode == 'r')
        return both ? O_RDWR : O_RDONLY;
    if (*mode == 'w')
        return (both ? O_RDWR : O_WRONLY) | O_CREAT | O_TRUNC;
    return *mode == 'a' ? (both ? O_RDWR : O_WRONLY) | O_CREAT | O_APPEND : -1;
}

/* Tell *code* as streams do. */
static void tell(int code) { errno = -code; }

HPSS_FILE *hpss_Fopen(SIM_CONST char *path, SIM_CONST char *mode) {
    struct call call;
    int flags = flags_of(mode);
    int code = sim_enter(&call, "hpss_Fopen", path, "%s", mode);
    if (code == 0 && flags < 0)
        code = HPSS_EINVAL;
    if (code == 0)
        code = sim_open(&call, path, flags, 0666, NULL, NULL, NULL);
    HPSS_FILE *stream = code >= 0 ? calloc(1, sizeof *stream) : NULL;
    if (stream != NULL) {
        stream->descriptor = code;
        stream->reads = (flags & O_ACCMODE) != O_WRONLY;
        stream->writes = (flags & O_ACCMODE) != O_RDONLY;
        snprintf(stream->path, sizeof stream->path, "%s", path);
    }
    code = (int)sim_leave(&call, code);
    if (code < 0)
        tell(code);
    return code < 0 ? NULL : stream;
}

/* Write what the buffer holds; 0 or a code. */
static int flush(HPSS_FILE *stream) {
    while (stream->filling && stream->start < stream->end) {
        ssize_t written = hpss_Write(stream->descriptor, stream->buffer + stream->start, stream->end - stream->start);
        if (written <= 0) {
            stream->start = stream->end = 0;
            stream->failed = true;
            return written == 0 ? HPSS_EIO : (int)written;
        }
        stream->start += (size_t)written;
    }
    if (stream->filling)
        stream->start = stream->end = 0;
    stream->filling = false;
    return 0;
}

/* Read ahead; the number of bytes in the buffer then, 0 at the end, or a code. */
static ssize_t refill(HPSS_FILE *stream) {
    int code = stream->reads ? flush(stream) : HPSS_EBADF;
    if (code != 0)
        return code;
    if (stream->start < stream->end)
        return (ssize_t)(stream->end - stream->start);
    ssize_t got = hpss_Read(stream->descriptor, stream->buffer, STREAM_BYTES);
    stream->start = 0;
    stream->end = got > 0 ? (size_t)got : 0;
    return got;
}

static size_t smaller(size_t one, size_t other) { return one < other ? one : other; }

static size_t read_bytes(HPSS_FILE *stream, char *out, size_t length, int *code) {
    size_t done = 0;
    while (done < length) {
        ssize_t held = refill(stream);
        if (held <= 0) {
            *code = (int)held;
            break;
        }
        size_t step = smaller((size_t)held, length - done);
        memcpy(out + done, stream->buffer + stream->start, step);
        stream->start += step;
        done += step;
    }
    return done;
}

static size_t items(size_t bytes, size_t size) { return size == 0 ? 0 : bytes / size; }

/* A stream's call: what it did, as a count of items; what fails is in errno. */
static size_t leave(struct call *call, int code, size_t count) {
    code = (int)sim_leave(call, code);
    if (code < 0)
        tell(code);
    return call->failure.has_code && code < 0 ? 0 : count;
}

size_t hpss_Fread(void *out, size_t size, size_t number, HPSS_FILE *stream) {
    struct call call;
    int code = sim_enter(&call, "hpss_Fread", stream->path, "length=%zu", size * number);
    size_t done = code == 0 ? read_bytes(stream, out, size * number, &code) : 0;
    return leave(&call, code, items(done, size));
}

/* Drop what was read ahead, so that writing goes on where the reader is. */
static int forget_ahead(HPSS_FILE *stream) {
    size_t ahead = stream->filling ? 0 : stream->end - stream->start;
    hpss_off_t moved = ahead > 0 ? hpss_Lseek(stream->descriptor, -(hpss_off_t)ahead, SEEK_CUR) : 0;
    if (!stream->filling)
        stream->start = stream->end = 0;
    return moved < 0 ? (int)moved : 0;
}

static size_t write_bytes(HPSS_FILE *stream, const char *bytes, size_t length, int *code) {
    size_t done = 0;
    *code = stream->writes ? forget_ahead(stream) : HPSS_EBADF;
    while (*code == 0 && done < length) {
        stream->filling = true;
        size_t step = smaller(STREAM_BYTES - stream->end, length - done);
        memcpy(stream->buffer + stream->end, bytes + done, step);
        stream->end += step;
        done += step;
        if (stream->end == STREAM_BYTES)
            *code = flush(stream);
    }
    return *code == 0 ? done : 0;
}

size_t hpss_Fwrite(const void *bytes, size_t size, size_t number, HPSS_FILE *stream) {
    struct call call;
    int code = sim_enter(&call, "hpss_Fwrite", stream->path, "length=%zu", size * number);
    size_t done = code == 0 ? write_bytes(stream, bytes, size * number, &code) : 0;
    return leave(&call, code, items(done, size));
}

/* Both lose no byte: what is to be written is, what was read ahead is given back. */
static int settle_buffer(HPSS_FILE *stream) {
    int code = flush(stream);
    return code != 0 ? code : forget_ahead(stream);
}

int hpss_Fseek(HPSS_FILE *stream, hpss_off_t offset, int whence) {
    struct call call;
    int code = sim_enter(&call, "hpss_Fseek", stream->path, "offset=%lld whence=%d", (long long)offset, whence);
    if (code == 0)
        code = settle_buffer(stream);
    hpss_off_t place = code == 0 ? hpss_Lseek(stream->descriptor, offset, whence) : 0;
    if (place < 0)
        code = (int)place;
    return leave(&call, code, 0) == 0 && code == 0 && !call.failure.has_code ? 0 : -1;
}

long hpss_Ftell(HPSS_FILE *stream) {
    struct call call;
    int code = sim_enter(&call, "hpss_Ftell", stream->path, "-");
    if (code == 0)
        code = settle_buffer(stream);
    hpss_off_t place = code == 0 ? hpss_Lseek(stream->descriptor, 0, SEEK_CUR) : code;
    place = sim_leave(&call, place);
    if (place < 0)
        tell((int)place);
    return place < 0 ? -1 : place;
}

int hpss_Fflush(HPSS_FILE *stream) {
    struct call call;
    int code = sim_enter(&call, "hpss_Fflush", stream->path, "-");
    code = (int)sim_leave(&call, code != 0 ? code : flush(stream));
    if (code < 0)
        tell(code);
    return code;
}

/* The stream is gone whatever the code. */
int hpss_Fclose(HPSS_FILE *stream) {
    struct call call;
    int refused = sim_enter(&call, "hpss_Fclose", stream->path, "-");
    int flushed = flush(stream), closed = hpss_Close(stream->descriptor);
    int code = (int)sim_leave(&call, refused != 0 ? refused : flushed != 0 ? flushed : closed);
    free(stream);
    if (code < 0)
        tell(code);
    return code;
}

int hpss_Fgetc(HPSS_FILE *stream) {
    unsigned char one;
    return hpss_Fread(&one, 1, 1, stream) == 1 ? one : -1;
}

char *hpss_Fgets(char *text, int size, HPSS_FILE *stream) {
    int length = 0, one = 0;
    while (length < size - 1 && one != '\n' && (one = hpss_Fgetc(stream)) >= 0)
        text[length++] = (char)one;
    text[length] = '\0';
    return length > 0 ? text : NULL;
}
