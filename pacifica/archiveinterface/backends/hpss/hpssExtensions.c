/* The only caller of IBM HPSS: one function for each client call that the backend needs, for 7.4, 7.5, 8 and later.
 *
 * Every call runs without Python's global lock. A negative return code becomes HPSSError, an OSError with Linux's
 * errno, and with the HPSS code, its name and the function's. Nothing here is kept between calls but what HPSS keeps.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <hpss_version.h>

#include <hpss_api.h>
#include <hpss_errno.h>

#include <hpss_String.h>
/* Where the real client declares hpss_ChompXMLHeader is not documented; this header is there in some versions. */
#ifdef __has_include
#if __has_include(<hpss_xml.h>)
#include <hpss_xml.h>
#endif
#endif

/* ---- What differs between versions, all of it ---- */

#define SINCE_7_5 (HPSS_MAJOR_VERSION > 7 || (HPSS_MAJOR_VERSION == 7 && HPSS_MINOR_VERSION >= 5))
#define SINCE_8 (HPSS_MAJOR_VERSION >= 8)
#define SINCE_9_3 (HPSS_MAJOR_VERSION > 9 || (HPSS_MAJOR_VERSION == 9 && HPSS_MINOR_VERSION >= 3))

/* Until 7.4 no argument is const; a cast is right everywhere. */
#define TEXT(text) ((char *)(text))

#if SINCE_7_5
typedef hpss_srvr_id_t server_id;
typedef bfs_bitfile_obj_handle_t bitfile_id;
#define BITFILE_OF(attributes) ((attributes).BitfileObj)
#define GET_USER_ATTRIBUTES(path, list) hpss_UserAttrGetAttrs(path, list, UDA_API_VALUE, HPSS_XML_SIZE)
#else
typedef hpss_uuid_t server_id;
typedef hpssoid_t bitfile_id;
#define BITFILE_OF(attributes) ((attributes).BitfileId)
#define GET_USER_ATTRIBUTES(path, list) hpss_UserAttrGetAttrs(path, list, UDA_API_VALUE)
#endif

#define REQUEST_BYTES 16

#if SINCE_8
static hpss_reqid_t request_id(const uint8_t *request) {
    hpss_reqid_t id;
    memset(&id, 0, sizeof id);
    memcpy(&id, request, sizeof id < REQUEST_BYTES ? sizeof id : REQUEST_BYTES);
    return id;
}
#else
/* The request id in the short form of 7.x: positive, because 7.4 asks by a signed one, and never zero. */
static hpss_reqid_t request_id(const uint8_t *request) {
    uint32_t word, sum = 0;
    for (int i = 0; i < REQUEST_BYTES; i += 4) {
        memcpy(&word, request + i, sizeof word);
        sum ^= word;
    }
    sum &= 0x7fffffff;
    return sum != 0 ? sum : 1;
}
#endif

static int stage_status_call(const uint8_t *request, bitfile_id *bitfile, int32_t *status) {
#if SINCE_7_5
    return hpss_GetAsyncStatus(request_id(request), bitfile, status);
#else
    return hpss_GetAsynchStatus((int32_t)request_id(request), bitfile, status);
#endif
}

/* Where HPSS tells that a recall has ended. What its socket address has inside is not public: here a sockaddr_in
 * where one fits, else address, port and, with room for it, family, in the machine's byte order. */
static void fill_address(void *target, size_t size, uint32_t address, uint16_t port) {
    struct sockaddr_in internet = {.sin_family = AF_INET, .sin_port = htons(port)};
    uint32_t words[] = {address, port, AF_INET};
    internet.sin_addr.s_addr = htonl(address);
    if (size >= sizeof internet)
        memcpy(target, &internet, sizeof internet);
    else
        memcpy(target, words, size < sizeof words ? size : sizeof words);
}

/* ---- Errors ---- */

typedef struct {
    PyObject *error;
    PyTypeObject *descriptor;
} module_state;

typedef struct {
    const char *function;
    long code, last_code;
} outcome;

/* Call HPSS without the global lock. Before login use CALL_UNLOGGED: even asking for the last error hangs then. */
#define CALL_UNLOGGED(result, name, ...)                                                                               \
    do {                                                                                                               \
        (result) = (outcome){#name, 0, 0};                                                                             \
        Py_BEGIN_ALLOW_THREADS                                                                                         \
        (result).code = name(__VA_ARGS__);                                                                             \
        Py_END_ALLOW_THREADS                                                                                           \
    } while (0)
#define CALL(result, name, ...)                                                                                        \
    do {                                                                                                               \
        (result) = (outcome){#name, 0, 0};                                                                             \
        Py_BEGIN_ALLOW_THREADS                                                                                         \
        hpss_ClearLastHPSSErrno();                                                                                     \
        (result).code = name(__VA_ARGS__);                                                                             \
        if ((result).code < 0)                                                                                         \
            (result).last_code = hpss_GetLastHPSSErrno().hpss_errno;                                                   \
        Py_END_ALLOW_THREADS                                                                                           \
    } while (0)

/* Numbers that HPSS took from AIX; all others are Linux's own. No version need have all of them. */
static const struct {
    int code, number;
} NUMBERS[] = {
#ifdef HPSS_EDEADLK
    {HPSS_EDEADLK, EDEADLK},
#endif
#ifdef HPSS_ENOLCK
    {HPSS_ENOLCK, ENOLCK},
#endif
#ifdef HPSS_EWRPROTECT
    {HPSS_EWRPROTECT, EROFS},
#endif
#ifdef HPSS_ECONN
    {HPSS_ECONN, ECONNREFUSED},
#endif
#ifdef HPSS_ESTALE
    {HPSS_ESTALE, ESTALE},
#endif
#ifdef HPSS_EMSGSIZE
    {HPSS_EMSGSIZE, EMSGSIZE},
#endif
#ifdef HPSS_ENOSR
    {HPSS_ENOSR, ENOSR},
#endif
#ifdef HPSS_EOPNOTSUPP
    {HPSS_EOPNOTSUPP, EOPNOTSUPP},
#endif
#ifdef HPSS_ENOLINK
    {HPSS_ENOLINK, ENOLINK},
#endif
#ifdef HPSS_EBADMSG
    {HPSS_EBADMSG, EBADMSG},
#endif
#ifdef HPSS_ETIMEDOUT
    {HPSS_ETIMEDOUT, ETIMEDOUT},
#endif
#ifdef HPSS_ENAMETOOLONG
    {HPSS_ENAMETOOLONG, ENAMETOOLONG},
#endif
#ifdef HPSS_ENOTEMPTY
    {HPSS_ENOTEMPTY, ENOTEMPTY},
#endif
#ifdef HPSS_EDQUOT
    {HPSS_EDQUOT, EDQUOT},
#endif
#ifdef HPSS_ENOTALLMOVED
    {HPSS_ENOTALLMOVED, EAGAIN},
#endif
    {0, 0}};

#define SECURITY_LAST (-11999) /* "about -11000" is all that is public of the security codes */
#define SECURITY_FIRST (-11000)
#define LINUX_LAST (-133) /* EHWPOISON */

static int errno_of(long code) {
    for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
        if (NUMBERS[i].code == code && code < 0)
            return NUMBERS[i].number;
    if (code >= SECURITY_LAST && code <= SECURITY_FIRST)
        return EACCES;
    return code < 0 && code >= LINUX_LAST ? (int)-code : EIO;
}

static int set_number(PyObject *error, const char *name, long number) {
    PyObject *value = PyLong_FromLong(number);
    int failed = value == NULL || PyObject_SetAttrString(error, name, value) < 0;
    Py_XDECREF(value);
    return failed;
}

static int set_text(PyObject *error, const char *name, const char *text) {
    PyObject *value = PyUnicode_FromString(text);
    int failed = value == NULL || PyObject_SetAttrString(error, name, value) < 0;
    Py_XDECREF(value);
    return failed;
}

static const char *name_of(long code) {
    const char *name = hpss_ErrnoName((int)code);
    return name != NULL ? name : "unknown error code";
}

static PyObject *error_of(const module_state *state, const outcome *result) {
    PyObject *text = PyUnicode_FromFormat("%s: %s (%ld)", result->function, name_of(result->code), result->code);
    if (text == NULL)
        return NULL;
    PyObject *error = PyObject_CallFunction((PyObject *)state->error, "iO", errno_of(result->code), text);
    Py_DECREF(text);
    if (error == NULL)
        return NULL;
    if (set_number(error, "hpss_code", result->code) || set_text(error, "hpss_name", name_of(result->code)) ||
        set_text(error, "function", result->function) || set_number(error, "last_code", result->last_code))
        Py_CLEAR(error);
    return error;
}

static PyObject *raise_error(const module_state *state, const outcome *result) {
    PyObject *error = error_of(state, result);
    if (error != NULL)
        PyErr_SetObject(state->error, error);
    Py_XDECREF(error);
    return NULL;
}

static module_state *state_of(PyObject *module) { return (module_state *)PyModule_GetState(module); }

static PyObject *none_or_error(module_state *state, const outcome *result) {
    if (result->code < 0)
        return raise_error(state, result);
    Py_RETURN_NONE;
}

/* ---- Login, configuration, core server ---- */

typedef struct {
    const char *name;
    int value;
} named_value;

static const named_value MECHANISMS[] = {{"krb5", hpss_authn_mech_krb5}, {"unix", hpss_authn_mech_unix}};
static const named_value AUTH_TYPES[] = {{"none", hpss_rpc_auth_type_none},
                                         {"keytab", hpss_rpc_auth_type_keytab},
                                         {"keyfile", hpss_rpc_auth_type_keyfile},
                                         {"key", hpss_rpc_auth_type_key},
                                         {"passwd", hpss_rpc_auth_type_passwd}};

static int value_named(const named_value *table, size_t count, const char *name, int *value) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].name, name) == 0) {
            *value = table[i].value;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError, "HPSS knows no login by \"%s\"", name);
    return -1;
}

static PyObject *configure(PyObject *module, PyObject *args) {
    api_config_t config;
    outcome result;
    int retries, busy_delay, busy_retries;
    if (!PyArg_ParseTuple(args, "iii", &retries, &busy_delay, &busy_retries))
        return NULL;
    memset(&config, 0, sizeof config);
    CALL_UNLOGGED(result, hpss_GetConfiguration, &config);
    if (result.code < 0)
        return raise_error(state_of(module), &result);
    config.Flags |= API_USE_CONFIG;
    config.NumRetries = retries;
    config.BusyDelay = busy_delay;
    config.BusyRetries = busy_retries;
    CALL_UNLOGGED(result, hpss_SetConfiguration, &config);
    return none_or_error(state_of(module), &result);
}

static PyObject *configuration(PyObject *module, PyObject *unused) {
    api_config_t config;
    outcome result;
    (void)unused;
    memset(&config, 0, sizeof config);
    CALL_UNLOGGED(result, hpss_GetConfiguration, &config);
    if (result.code < 0)
        return raise_error(state_of(module), &result);
    return Py_BuildValue("(iii)", (int)config.NumRetries, (int)config.BusyDelay, (int)config.BusyRetries);
}

static PyObject *login(PyObject *module, PyObject *args) {
    const char *principal, *mechanism_name, *type_name, *authenticator;
    int mechanism, type;
    outcome result;
    if (!PyArg_ParseTuple(args, "ssss", &principal, &mechanism_name, &type_name, &authenticator))
        return NULL;
    if (value_named(MECHANISMS, sizeof MECHANISMS / sizeof *MECHANISMS, mechanism_name, &mechanism) < 0 ||
        value_named(AUTH_TYPES, sizeof AUTH_TYPES / sizeof *AUTH_TYPES, type_name, &type) < 0)
        return NULL;
    CALL_UNLOGGED(result, hpss_SetLoginCred, TEXT(principal), (hpss_authn_mech_t)mechanism, hpss_rpc_cred_client,
                  (hpss_rpc_auth_type_t)type, TEXT(authenticator));
    return none_or_error(state_of(module), &result);
}

static PyObject *purge_login(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    Py_BEGIN_ALLOW_THREADS
    hpss_PurgeLoginCred();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *reset(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    Py_BEGIN_ALLOW_THREADS
    hpss_ClientAPIReset();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *build_level(PyObject *module, PyObject *unused) {
    char *text;
    (void)module, (void)unused;
    Py_BEGIN_ALLOW_THREADS
    text = hpss_BuildLevelString();
    Py_END_ALLOW_THREADS
    if (text == NULL)
        return PyErr_NoMemory();
    PyObject *level = PyUnicode_FromString(text);
    free(text);
    return level;
}

static PyObject *set_umask(PyObject *module, PyObject *args) {
    unsigned int mask;
    mode_t old;
    (void)module;
    if (!PyArg_ParseTuple(args, "I", &mask))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    old = hpss_Umask((mode_t)mask);
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLong(old);
}

static PyObject *lookup_root_cs(PyObject *module, PyObject *args) {
    const char *site;
    server_id server;
    outcome result;
    if (!PyArg_ParseTuple(args, "s", &site))
        return NULL;
    memset(&server, 0, sizeof server);
    CALL(result, hpss_LookupRootCS, TEXT(site), &server);
    if (result.code < 0)
        return raise_error(state_of(module), &result);
    return PyBytes_FromStringAndSize((const char *)&server, sizeof server);
}

static PyObject *ping_core(PyObject *module, PyObject *args) {
    const char *bytes;
    Py_ssize_t length;
    server_id server;
    uint32_t seconds = 0, microseconds = 0;
    outcome result;
    if (!PyArg_ParseTuple(args, "y#", &bytes, &length))
        return NULL;
    if (length != (Py_ssize_t)sizeof server) {
        PyErr_SetString(PyExc_ValueError, "not a server id of lookup_root_cs()");
        return NULL;
    }
    memcpy(&server, bytes, sizeof server);
    CALL(result, hpss_PingCore, &server, &seconds, &microseconds);
    if (result.code < 0)
        return raise_error(state_of(module), &result);
    return Py_BuildValue("(II)", (unsigned int)seconds, (unsigned int)microseconds);
}

/* ---- Open files: a descriptor that is closed exactly once ---- */

typedef struct {
    PyObject_HEAD
    int number; /* -1 when closed; 0 is a descriptor */
    int calls;  /* under way in other threads; guarded by the global lock, as is all here */
    bool close_asked;
    PyObject *weak_references;
} descriptor;

static void close_if_unused(descriptor *self, outcome *result) {
    int number = self->number;
    *result = (outcome){"hpss_Close", 0, 0};
    if (number < 0 || self->calls > 0)
        return;
    self->number = -1;
    CALL(*result, hpss_Close, number);
}

/* A call that outlives close() closes the descriptor when it ends. */
static int begin_use(descriptor *self) {
    if (self->number < 0 || self->close_asked) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on a closed HPSS file");
        return -1;
    }
    self->calls++;
    return self->number;
}

static void end_use(descriptor *self) {
    outcome ignored;
    self->calls--;
    if (self->close_asked)
        close_if_unused(self, &ignored);
}

static module_state *state_of_type(PyTypeObject *type) { return (module_state *)PyType_GetModuleState(type); }

static PyObject *descriptor_read(descriptor *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t count,
                                 PyObject *names) {
    Py_buffer buffer;
    outcome result;
    (void)names;
    if (count != 1 || PyObject_GetBuffer(args[0], &buffer, PyBUF_WRITABLE) < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "readinto() takes one buffer");
        return NULL;
    }
    int number = begin_use(self);
    if (number < 0) {
        PyBuffer_Release(&buffer);
        return NULL;
    }
    CALL(result, hpss_Read, number, buffer.buf, (size_t)buffer.len);
    end_use(self);
    PyBuffer_Release(&buffer);
    return result.code < 0 ? raise_error(state_of_type(type), &result) : PyLong_FromLong(result.code);
}

static PyObject *descriptor_write(descriptor *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t count,
                                  PyObject *names) {
    Py_buffer buffer;
    outcome result;
    (void)names;
    if (count != 1 || PyObject_GetBuffer(args[0], &buffer, PyBUF_SIMPLE) < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "write() takes one buffer");
        return NULL;
    }
    int number = begin_use(self);
    if (number < 0) {
        PyBuffer_Release(&buffer);
        return NULL;
    }
    CALL(result, hpss_Write, number, buffer.buf, (size_t)buffer.len);
    end_use(self);
    PyBuffer_Release(&buffer);
    return result.code < 0 ? raise_error(state_of_type(type), &result) : PyLong_FromLong(result.code);
}

static int integers(PyObject *const *args, Py_ssize_t count, Py_ssize_t wanted, long long *out) {
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments wanted, not %zd", wanted, count);
        return -1;
    }
    for (Py_ssize_t i = 0; i < wanted; i++) {
        out[i] = PyLong_AsLongLong(args[i]);
        if (out[i] == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

static PyObject *descriptor_seek(descriptor *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t count,
                                 PyObject *names) {
    long long wanted[2]; /* offset, whence: the order of HPSS too */
    u_signed64 position = 0;
    outcome result;
    (void)names;
    if (integers(args, count, 2, wanted) < 0)
        return NULL;
    int number = begin_use(self);
    if (number < 0)
        return NULL;
    u_signed64 distance = wanted[0] < 0 ? 0 - (u_signed64)wanted[0] : (u_signed64)wanted[0];
    int direction = wanted[0] < 0 ? HPSS_SET_OFFSET_BACKWARD : HPSS_SET_OFFSET_FORWARD;
    CALL(result, hpss_SetFileOffset, number, distance, (int)wanted[1], direction, &position);
    end_use(self);
    if (result.code < 0)
        return raise_error(state_of_type(type), &result);
    return PyLong_FromUnsignedLongLong(position);
}

static PyObject *descriptor_purge(descriptor *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t count,
                                  PyObject *names) {
    long long level;
    u_signed64 bytes = 0;
    outcome result;
    (void)names;
    if (integers(args, count, 1, &level) < 0)
        return NULL;
    int number = begin_use(self);
    if (number < 0)
        return NULL;
    CALL(result, hpss_Purge, number, (u_signed64)0, (u_signed64)0, (uint32_t)level, BFS_PURGE_ALL, &bytes);
    end_use(self);
    return result.code < 0 ? raise_error(state_of_type(type), &result) : PyLong_FromUnsignedLongLong(bytes);
}

static PyObject *descriptor_migrate(descriptor *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t count,
                                    PyObject *names) {
    long long level;
    u_signed64 bytes = 0;
    outcome result;
    (void)names;
    if (integers(args, count, 1, &level) < 0)
        return NULL;
    int number = begin_use(self);
    if (number < 0)
        return NULL;
    CALL(result, hpss_Migrate, number, (uint32_t)level, HPSS_MIGRATE_FORCE, &bytes);
    end_use(self);
    return result.code < 0 ? raise_error(state_of_type(type), &result) : PyLong_FromUnsignedLongLong(bytes);
}

static PyObject *descriptor_close(descriptor *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t count,
                                  PyObject *names) {
    outcome result;
    (void)args, (void)names;
    if (count != 0) {
        PyErr_SetString(PyExc_TypeError, "close() takes no argument");
        return NULL;
    }
    self->close_asked = true;
    close_if_unused(self, &result);
    return none_or_error(state_of_type(type), &result);
}

/* After a reset the number may be another file's: it is never closed, not even by a call that is still under way. */
static PyObject *descriptor_forget(descriptor *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t count,
                                   PyObject *names) {
    (void)type, (void)args, (void)names;
    if (count != 0) {
        PyErr_SetString(PyExc_TypeError, "forget() takes no argument");
        return NULL;
    }
    self->close_asked = true;
    self->number = -1;
    Py_RETURN_NONE;
}

static PyObject *descriptor_closed(descriptor *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(self->number < 0 || self->close_asked);
}

static void descriptor_dealloc(descriptor *self) {
    PyTypeObject *type = Py_TYPE(self);
    outcome ignored;
    if (self->weak_references != NULL)
        PyObject_ClearWeakRefs((PyObject *)self);
    close_if_unused(self, &ignored);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FAST (METH_METHOD | METH_FASTCALL | METH_KEYWORDS)
#define METHOD(name, text) {#name, (PyCFunction)(void (*)(void))descriptor_##name, FAST, PyDoc_STR(text)}

static PyMethodDef descriptor_methods[] = {
    {"readinto", (PyCFunction)(void (*)(void))descriptor_read, FAST,
     PyDoc_STR("Read into a buffer; return the number of bytes, 0 at the end.")},
    METHOD(write, "Write a buffer; return the number of bytes taken, which may be fewer."),
    METHOD(seek, "Move to (offset, whence); return the position."),
    METHOD(purge, "Drop the copy at a level; return its bytes."),
    METHOD(migrate, "Copy a level one level down; return its bytes."),
    METHOD(close, "Close; the second time does nothing."),
    METHOD(forget, "Be closed without telling HPSS, which has lost the file in a reset."),
    {NULL, NULL, 0, NULL}};

static PyGetSetDef descriptor_properties[] = {
    {"closed", (getter)descriptor_closed, NULL, PyDoc_STR("True once close() was asked for."), NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyMemberDef descriptor_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(descriptor, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};

static PyType_Slot descriptor_slots[] = {{Py_tp_members, descriptor_members},
                                         {Py_tp_methods, descriptor_methods},
                                         {Py_tp_getset, descriptor_properties},
                                         {Py_tp_dealloc, descriptor_dealloc},
                                         {Py_tp_doc, "An open HPSS file."},
                                         {0, NULL}};

static PyType_Spec descriptor_spec = {
    .name = "_hpssExtensions.Descriptor",
    .basicsize = sizeof(descriptor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = descriptor_slots,
};

/* The class of service by number, or by size: the least must hold; too great a size is only hinted at, because a
 * REQUIRED maximum refuses files that the class would take. */
static void fill_hints(unsigned int cos, unsigned int family, long long size, hpss_cos_hints_t *hints,
                       hpss_cos_priorities_t *priorities) {
    memset(hints, 0, sizeof *hints);
    memset(priorities, 0, sizeof *priorities);
    hints->COSId = cos;
    hints->FamilyId = family;
    priorities->COSIdPriority = cos != 0 ? REQUIRED_PRIORITY : NO_PRIORITY;
    priorities->FamilyIdPriority = family != 0 ? REQUIRED_PRIORITY : NO_PRIORITY;
    priorities->MinFileSizePriority = priorities->MaxFileSizePriority = NO_PRIORITY;
    if (size < 0 || cos != 0)
        return;
    hints->MinFileSize = hints->MaxFileSize = (u_signed64)size;
    priorities->MinFileSizePriority = REQUIRED_PRIORITY;
    priorities->MaxFileSizePriority = HIGHLY_DESIRED_PRIORITY;
}

static PyObject *open_file(PyObject *module, PyObject *args) {
    const char *path;
    int flags;
    unsigned int mode = 0, cos = 0, family = 0;
    long long size = -1;
    hpss_cos_hints_t hints;
    hpss_cos_priorities_t priorities;
    outcome result;
    module_state *state = state_of(module);
    if (!PyArg_ParseTuple(args, "si|IIIL", &path, &flags, &mode, &cos, &family, &size))
        return NULL;
    descriptor *self = PyObject_New(descriptor, state->descriptor);
    if (self == NULL)
        return NULL;
    self->number = -1;
    self->calls = 0;
    self->close_asked = false;
    self->weak_references = NULL;
    bool hinted = (flags & O_CREAT) != 0 && (cos != 0 || family != 0 || size >= 0);
    fill_hints(cos, family, size, &hints, &priorities);
    CALL(result, hpss_Open, TEXT(path), flags, (mode_t)mode, hinted ? &hints : NULL, hinted ? &priorities : NULL, NULL);
    if (result.code < 0) {
        Py_DECREF(self);
        return raise_error(state, &result);
    }
    self->number = (int)result.code;
    return (PyObject *)self;
}

/* ---- Attributes ---- */

static PyObject *stat_or_error(module_state *state, const outcome *result, const hpss_stat_t *found) {
    if (result->code < 0)
        return raise_error(state, result);
    return Py_BuildValue("{s:I,s:K,s:I,s:I}", "mode", (unsigned int)found->st_mode, "size",
                         (unsigned long long)found->st_size, "mtime", (unsigned int)found->hpss_st_mtime, "ctime",
                         (unsigned int)found->hpss_st_ctime);
}

static PyObject *stat_file(PyObject *module, PyObject *args) {
    const char *path;
    hpss_stat_t found;
    outcome result;
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    memset(&found, 0, sizeof found);
    CALL(result, hpss_Stat, TEXT(path), &found);
    return stat_or_error(state_of(module), &result, &found);
}

static PyObject *stat_link(PyObject *module, PyObject *args) {
    const char *path;
    hpss_stat_t found;
    outcome result;
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    memset(&found, 0, sizeof found);
    CALL(result, hpss_Lstat, TEXT(path), &found);
    return stat_or_error(state_of(module), &result, &found);
}

static bool is_file(const hpss_Attrs_t *attributes) {
    return attributes->Type == NS_OBJECT_TYPE_FILE || attributes->Type == NS_OBJECT_TYPE_HARD_LINK;
}

static int append_volume(PyObject *volumes, const char *name, const bf_vv_attrib_t *place) {
    PyObject *volume = Py_BuildValue("(NiK)", PyUnicode_DecodeLatin1(name, (Py_ssize_t)strlen(name), NULL),
                                     (int)place->RelPosition, (unsigned long long)place->RelPositionOffset);
    int failed = volume == NULL || PyList_Append(volumes, volume) < 0;
    Py_XDECREF(volume);
    return failed ? -1 : 0;
}

/* Every physical volume of every virtual one: a striped virtual volume has several. */
static PyObject *volumes_of(const bf_sc_attrib_t *level) {
    PyObject *volumes = PyList_New(0);
    for (uint32_t i = 0; i < level->NumberOfVVs && i < BFS_MAX_VV_TO_RETURN_AT_LEVEL; i++) {
        const pv_list_t *list = level->VVAttrib[i].PVList;
        for (uint32_t j = 0; volumes != NULL && list != NULL && j < list->List.List_len; j++)
            if (append_volume(volumes, list->List.List_val[j].Name, &level->VVAttrib[i]) < 0)
                Py_CLEAR(volumes);
    }
    return volumes;
}

static PyObject *level_of(const bf_sc_attrib_t *level) {
    const char *kind = level->Flags & BFS_BFATTRS_LEVEL_IS_DISK   ? "disk"
                       : level->Flags & BFS_BFATTRS_LEVEL_IS_TAPE ? "tape"
                                                                  : "";
    PyObject *volumes = volumes_of(level);
    if (volumes == NULL)
        return NULL;
    return Py_BuildValue("(sKN)", kind, (unsigned long long)level->BytesAtLevel, volumes);
}

static PyObject *levels_of(const hpss_xfileattr_t *found) {
    PyObject *levels = PyTuple_New(HPSS_MAX_STORAGE_LEVELS);
    for (int i = 0; levels != NULL && i < HPSS_MAX_STORAGE_LEVELS; i++) {
        PyObject *level = level_of(&found->SCAttrib[i]);
        if (level == NULL)
            Py_CLEAR(levels);
        else
            PyTuple_SET_ITEM(levels, i, level);
    }
    return levels;
}

static void free_volume_list(pv_list_t *list) {
    if (list != NULL)
        free(list->List.List_val);
    free(list);
}

static void free_volumes(hpss_xfileattr_t *found) {
    for (int i = 0; i < HPSS_MAX_STORAGE_LEVELS; i++) {
        bf_sc_attrib_t *level = &found->SCAttrib[i];
        for (uint32_t j = 0; j < level->NumberOfVVs && j < BFS_MAX_VV_TO_RETURN_AT_LEVEL; j++)
            free_volume_list(level->VVAttrib[j].PVList);
    }
}

/* The flag that must be there: without it the call hangs as long as the file is being staged. */
#define ALL_LEVELS_NOW (API_GET_STATS_FOR_ALL_LEVELS | API_GET_XATTRS_NO_BLOCK)

static PyObject *residency(PyObject *module, PyObject *args) {
    const char *path;
    hpss_xfileattr_t found;
    outcome result;
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    memset(&found, 0, sizeof found);
    CALL(result, hpss_FileGetXAttributes, TEXT(path), ALL_LEVELS_NOW, 0, &found);
    PyObject *levels = result.code < 0 ? raise_error(state_of(module), &result) : levels_of(&found);
    free_volumes(&found); /* a call that failed late has filled them, too */
    if (levels == NULL)
        return NULL;
    const hpss_Attrs_t *attributes = &found.Attrs;
    return Py_BuildValue("{s:O,s:K,s:I,s:I,s:I,s:y#,s:N}", "is_file", is_file(attributes) ? Py_True : Py_False,
                         "data_length", (unsigned long long)attributes->DataLength, "cos_id",
                         (unsigned int)attributes->COSId, "family_id", (unsigned int)attributes->FamilyId, "links",
                         (unsigned int)attributes->LinkCount, "bitfile", (const char *)&BITFILE_OF(*attributes),
                         (Py_ssize_t)sizeof(bitfile_id), "levels", levels);
}

static PyObject *set_times(PyObject *module, PyObject *args) {
    const char *path;
    long long access, modification;
    outcome result;
    if (!PyArg_ParseTuple(args, "sLL", &path, &access, &modification))
        return NULL;
    struct utimbuf times = {.actime = (time_t)access, .modtime = (time_t)modification};
    CALL(result, hpss_Utime, TEXT(path), &times);
    return none_or_error(state_of(module), &result);
}

/* ---- Staging ---- */

static const uint8_t *request_bytes(const char *bytes, Py_ssize_t length) {
    if (length == REQUEST_BYTES)
        return (const uint8_t *)bytes;
    PyErr_SetString(PyExc_ValueError, "a stage request's id has 16 bytes");
    return NULL;
}

static int read_bitfile(const char *bytes, Py_ssize_t length, bitfile_id *bitfile) {
    if (length != (Py_ssize_t)sizeof *bitfile) {
        PyErr_SetString(PyExc_ValueError, "not a bitfile id of residency()");
        return -1;
    }
    memcpy(bitfile, bytes, sizeof *bitfile);
    return 0;
}

/* The structure is always given: without one HPSS raises an alarm for each request, and its id is what the recall is
 * known by. Some sites get alarms from an address of zeros, too; these name one where somebody listens. */
static void fill_callback(bfs_callback_addr_t *callback, const uint8_t *request, uint32_t address, uint16_t port) {
    memset(callback, 0, sizeof *callback);
    if (port != 0)
        fill_address(&callback->sockaddr, sizeof callback->sockaddr, address, port);
    callback->id = request_id(request);
}

static const char *stage_status_name(int32_t status) {
    return status == HPSS_STAGE_STATUS_UNKNOWN  ? "unknown"
           : status == HPSS_STAGE_STATUS_QUEUED ? "queued"
                                                : "active";
}

static PyObject *stage(PyObject *module, PyObject *args) {
    const char *path, *bytes;
    Py_ssize_t length;
    unsigned int address = 0;
    unsigned short port = 0;
    bfs_callback_addr_t callback;
    bitfile_id bitfile;
    outcome result;
    if (!PyArg_ParseTuple(args, "sy#|IH", &path, &bytes, &length, &address, &port))
        return NULL;
    const uint8_t *request = request_bytes(bytes, length);
    if (request == NULL)
        return NULL;
    hpss_reqid_t given_by_hpss;
    memset(&given_by_hpss, 0, sizeof given_by_hpss); /* unused: stage_status() asks by the callback's id */
    memset(&bitfile, 0, sizeof bitfile);
    fill_callback(&callback, request, address, port);
    CALL(result, hpss_StageCallBack, TEXT(path), (u_signed64)0, (u_signed64)0, 0, &callback, BFS_STAGE_ALL,
         &given_by_hpss, &bitfile);
    return none_or_error(state_of(module), &result);
}

static PyObject *stage_status(PyObject *module, PyObject *args) {
    const char *bytes, *bitfile_bytes;
    Py_ssize_t length, bitfile_length;
    bitfile_id bitfile;
    int32_t status = HPSS_STAGE_STATUS_UNKNOWN;
    outcome result;
    if (!PyArg_ParseTuple(args, "y#y#", &bytes, &length, &bitfile_bytes, &bitfile_length))
        return NULL;
    const uint8_t *request = request_bytes(bytes, length);
    if (request == NULL)
        return NULL;
    if (read_bitfile(bitfile_bytes, bitfile_length, &bitfile) < 0)
        return NULL;
    CALL(result, stage_status_call, request, &bitfile, &status);
    result.function = SINCE_7_5 ? "hpss_GetAsyncStatus" : "hpss_GetAsynchStatus";
    if (result.code < 0)
        return raise_error(state_of(module), &result);
    return PyUnicode_FromString(stage_status_name(status));
}

/* ---- Staging many files by one call ---- */

#if SINCE_9_3
/* The bitfiles as HPSS takes them. Whether it fills the caller's array or brings one of its own is not public. */
typedef struct {
    hpss_stage_bitfile_list_t list;
    bfs_bitfile_obj_handle_t *own;
} bitfile_list;

static int new_bitfiles(bitfile_list *bitfiles, Py_ssize_t count) {
    memset(bitfiles, 0, sizeof *bitfiles);
    bitfiles->own = PyMem_RawCalloc((size_t)count + 1, sizeof *bitfiles->own);
    if (bitfiles->own == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    bitfiles->list.List.List_len = (uint32_t)count;
    bitfiles->list.List.List_val = bitfiles->own;
    return 0;
}

static void free_bitfiles(bitfile_list *bitfiles) {
    if (bitfiles->list.List.List_val != bitfiles->own)
        free(bitfiles->list.List.List_val);
    PyMem_RawFree(bitfiles->own);
}

static void free_status(hpss_stage_batch_status_t *status) {
    if (status->StatusList.StatusList_val != NULL)
        API_StageStatusFree(status);
}

/* Put (bitfile, level, size) in the batch and into the list. *result tells a call that failed. */
static int insert_file(hpss_stage_batch_t *batch, Py_ssize_t index, PyObject *file, bitfile_id *bitfile,
                       outcome *result) {
    const char *bytes;
    Py_ssize_t length;
    int level;
    unsigned long long size;
    if (!PyArg_Parse(file, "(y#iK)", &bytes, &length, &level, &size) || read_bitfile(bytes, length, bitfile) < 0)
        return -1;
    CALL(*result, API_StageBatchInsertBFObj, batch, (int)index, bitfile, level, 0, (u_signed64)0, (u_signed64)size,
         BFS_STAGE_ALL);
    return result->code < 0 ? -1 : 0;
}

static int fill_batch(hpss_stage_batch_t *batch, bitfile_list *bitfiles, PyObject *files, outcome *result) {
    Py_ssize_t count = PySequence_Fast_GET_SIZE(files);
    for (Py_ssize_t i = 0; i < count; i++)
        if (insert_file(batch, i, PySequence_Fast_GET_ITEM(files, i), &bitfiles->own[i], result) < 0)
            return -1;
    return 0;
}

#ifdef HPSS_ENOTALLMOVED
#define NOT_ALL_MOVED HPSS_ENOTALLMOVED
#else
#define NOT_ALL_MOVED (-1406)
#endif

/* None for a file that is on its way or on disk, else the error. */
static PyObject *outcomes_of(const module_state *state, const hpss_stage_batch_status_t *status, Py_ssize_t count) {
    PyObject *outcomes = PyList_New(count);
    for (Py_ssize_t i = 0; outcomes != NULL && i < count; i++) {
        bool told = i < (Py_ssize_t)status->StatusList.StatusList_len;
        outcome result = {"hpss_StageBatchCallBack", told ? status->StatusList.StatusList_val[i].Status : 0, 0};
        bool refused = result.code < 0 && result.code != NOT_ALL_MOVED;
        PyObject *told_of_file = refused ? error_of(state, &result) : Py_NewRef(Py_None);
        if (told_of_file == NULL)
            Py_CLEAR(outcomes);
        else
            PyList_SET_ITEM(outcomes, i, told_of_file);
    }
    return outcomes;
}

static PyObject *submit_batch(const module_state *state, PyObject *files, bfs_callback_addr_t *callback) {
    Py_ssize_t count = PySequence_Fast_GET_SIZE(files);
    bitfile_list bitfiles;
    hpss_stage_batch_t batch;
    hpss_stage_batch_status_t status;
    hpss_reqid_t given_by_hpss;
    outcome result;
    PyObject *outcomes = NULL;
    memset(&batch, 0, sizeof batch);
    memset(&status, 0, sizeof status);
    memset(&given_by_hpss, 0, sizeof given_by_hpss); /* unused: batch_status() asks by the callback's id */
    if (new_bitfiles(&bitfiles, count) < 0)
        return NULL;
    CALL(result, API_StageBatchInit, &batch, (int)count);
    if (result.code >= 0) {
        if (fill_batch(&batch, &bitfiles, files, &result) == 0)
            CALL(result, hpss_StageBatchCallBack, &batch, callback, &given_by_hpss, &bitfiles.list, &status);
        API_StageBatchFree(&batch);
    }
    if (result.code < 0)
        raise_error(state, &result);
    else if (!PyErr_Occurred())
        outcomes = outcomes_of(state, &status, count);
    free_status(&status);
    free_bitfiles(&bitfiles);
    return outcomes;
}

static PyObject *stage_batch(PyObject *module, PyObject *args) {
    PyObject *items;
    const char *bytes;
    Py_ssize_t length;
    unsigned int address = 0;
    unsigned short port = 0;
    bfs_callback_addr_t callback;
    if (!PyArg_ParseTuple(args, "y#O|IH", &bytes, &length, &items, &address, &port))
        return NULL;
    const uint8_t *request = request_bytes(bytes, length);
    PyObject *files = request != NULL ? PySequence_Fast(items, "a sequence of files is wanted") : NULL;
    if (files == NULL)
        return NULL;
    fill_callback(&callback, request, address, port);
    PyObject *outcomes = submit_batch(state_of(module), files, &callback);
    Py_DECREF(files);
    return outcomes;
}

static int fill_bitfiles(bitfile_list *bitfiles, PyObject *items) {
    Py_ssize_t count = PySequence_Fast_GET_SIZE(items);
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *bytes;
        Py_ssize_t length;
        if (!PyArg_Parse(PySequence_Fast_GET_ITEM(items, i), "y#", &bytes, &length) ||
            read_bitfile(bytes, length, &bitfiles->own[i]) < 0)
            return -1;
    }
    return 0;
}

/* Of a stage that is not known, 0 is told; of one under way most often 2. */
static PyObject *states_of(const hpss_stage_batch_status_t *status, Py_ssize_t count) {
    PyObject *states = PyList_New(count);
    for (Py_ssize_t i = 0; states != NULL && i < count; i++) {
        bool told = i < (Py_ssize_t)status->StatusList.StatusList_len;
        int32_t state = told ? (int32_t)status->StatusList.StatusList_val[i].StageStatus : 0;
        PyObject *name = PyUnicode_FromString(state == 0 ? "unknown" : stage_status_name(state));
        if (name == NULL)
            Py_CLEAR(states);
        else
            PyList_SET_ITEM(states, i, name);
    }
    return states;
}

static PyObject *ask_batch(const module_state *state, const uint8_t *request, PyObject *items) {
    bitfile_list bitfiles;
    hpss_stage_batch_status_t status;
    outcome result;
    PyObject *states = NULL;
    memset(&status, 0, sizeof status);
    if (new_bitfiles(&bitfiles, PySequence_Fast_GET_SIZE(items)) < 0)
        return NULL;
    if (fill_bitfiles(&bitfiles, items) == 0) {
        CALL(result, hpss_GetBatchAsynchStatus, request_id(request), &bitfiles.list, HPSS_STAGE_STATUS_BFS_SS, &status);
        states = result.code < 0 ? raise_error(state, &result) : states_of(&status, PySequence_Fast_GET_SIZE(items));
    }
    free_status(&status);
    free_bitfiles(&bitfiles);
    return states;
}

static PyObject *batch_status(PyObject *module, PyObject *args) {
    PyObject *given;
    const char *bytes;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "y#O", &bytes, &length, &given))
        return NULL;
    const uint8_t *request = request_bytes(bytes, length);
    PyObject *items = request != NULL ? PySequence_Fast(given, "a sequence of bitfile ids is wanted") : NULL;
    if (items == NULL)
        return NULL;
    PyObject *states = ask_batch(state_of(module), request, items);
    Py_DECREF(items);
    return states;
}
#endif

/* ---- Names ---- */

static PyObject *change_mode(PyObject *module, PyObject *args) {
    const char *path;
    unsigned int mode;
    outcome result;
    if (!PyArg_ParseTuple(args, "sI", &path, &mode))
        return NULL;
    CALL(result, hpss_Chmod, TEXT(path), (mode_t)mode);
    return none_or_error(state_of(module), &result);
}

static PyObject *make_directory(PyObject *module, PyObject *args) {
    const char *path;
    unsigned int mode;
    outcome result;
    if (!PyArg_ParseTuple(args, "sI", &path, &mode))
        return NULL;
    CALL(result, hpss_Mkdir, TEXT(path), (mode_t)mode);
    return none_or_error(state_of(module), &result);
}

static PyObject *remove_name(PyObject *module, PyObject *args) {
    const char *path;
    outcome result;
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    CALL(result, hpss_Unlink, TEXT(path));
    return none_or_error(state_of(module), &result);
}

static PyObject *rename_name(PyObject *module, PyObject *args) {
    const char *old, *new;
    outcome result;
    if (!PyArg_ParseTuple(args, "ss", &old, &new))
        return NULL;
    CALL(result, hpss_Rename, TEXT(old), TEXT(new));
    return none_or_error(state_of(module), &result);
}

static PyObject *link_name(PyObject *module, PyObject *args) {
    const char *existing, *new;
    outcome result;
    if (!PyArg_ParseTuple(args, "ss", &existing, &new))
        return NULL;
    CALL(result, hpss_Link, TEXT(existing), TEXT(new));
    return none_or_error(state_of(module), &result);
}

/* All entries but "." and ".."; the end is an entry without a name. */
static PyObject *entries_of(module_state *state, int number) {
    PyObject *names = PyList_New(0);
    hpss_dirent_t entry;
    outcome result;
    while (names != NULL) {
        memset(&entry, 0, sizeof entry);
        CALL(result, hpss_Readdir, number, &entry);
        if (result.code < 0) {
            raise_error(state, &result);
            Py_CLEAR(names);
            break;
        }
        if (entry.d_namelen == 0)
            break;
        PyObject *name = PyUnicode_DecodeFSDefaultAndSize(entry.d_name, (Py_ssize_t)entry.d_namelen);
        bool own = strcmp(entry.d_name, ".") == 0 || strcmp(entry.d_name, "..") == 0;
        if (name == NULL || (!own && PyList_Append(names, name) < 0))
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyObject *list_directory(PyObject *module, PyObject *args) {
    const char *path;
    outcome result, closed;
    module_state *state = state_of(module);
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    CALL(result, hpss_Opendir, TEXT(path));
    if (result.code < 0)
        return raise_error(state, &result);
    PyObject *names = entries_of(state, (int)result.code);
    CALL(closed, hpss_Closedir, (int)result.code);
    if (names != NULL && closed.code < 0) {
        Py_DECREF(names);
        return raise_error(state, &closed);
    }
    return names;
}

/* ---- User attributes ---- */

typedef struct {
    hpss_userattr_list_t list;
    PyObject *owner; /* keeps the texts of keys and values alive */
    bool own_values;
} attribute_list;

static void free_list(attribute_list *attributes) {
    for (int i = 0; attributes->own_values && attributes->list.Pair != NULL && i < attributes->list.len; i++)
        PyMem_RawFree(attributes->list.Pair[i].Value);
    PyMem_RawFree(attributes->list.Pair);
    Py_XDECREF(attributes->owner);
}

/* Fill *attributes* from a sequence of keys, or of (key, value); room for values to come when *values_wanted*. */
static int fill_list(PyObject *items, bool pairs, bool values_wanted, attribute_list *attributes) {
    memset(attributes, 0, sizeof *attributes);
    attributes->owner = PySequence_Fast(items, "a sequence of attributes is wanted");
    if (attributes->owner == NULL)
        return -1;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(attributes->owner);
    attributes->list.Pair = PyMem_RawCalloc((size_t)count + 1, sizeof *attributes->list.Pair);
    attributes->own_values = values_wanted;
    attributes->list.len = (int)count;
    if (attributes->list.Pair == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(attributes->owner, i);
        hpss_userattr_t *pair = &attributes->list.Pair[i];
        const char *key, *value = NULL;
        if (pairs ? !PyArg_Parse(item, "(ss)", &key, &value) : !PyArg_Parse(item, "s", &key))
            return -1;
        pair->Key = TEXT(key);
        pair->Value = values_wanted ? PyMem_RawCalloc(1, HPSS_XML_SIZE + 1) : TEXT(value);
        if (values_wanted && pair->Value == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

static PyObject *set_user_attributes(PyObject *module, PyObject *args) {
    const char *path;
    PyObject *items;
    attribute_list attributes;
    outcome result;
    if (!PyArg_ParseTuple(args, "sO", &path, &items))
        return NULL;
    PyObject *answer = NULL;
    if (fill_list(items, true, false, &attributes) == 0) {
        CALL(result, hpss_UserAttrSetAttrs, TEXT(path), &attributes.list, NULL);
        answer = none_or_error(state_of(module), &result);
    }
    free_list(&attributes);
    return answer;
}

static PyObject *delete_user_attributes(PyObject *module, PyObject *args) {
    const char *path;
    PyObject *items;
    attribute_list attributes;
    outcome result;
    if (!PyArg_ParseTuple(args, "sO", &path, &items))
        return NULL;
    PyObject *answer = NULL;
    if (fill_list(items, false, false, &attributes) == 0) {
        CALL(result, hpss_UserAttrDeleteAttrs, TEXT(path), &attributes.list, NULL);
        answer = none_or_error(state_of(module), &result);
    }
    free_list(&attributes);
    return answer;
}

static PyObject *plain_value(char *value) {
    char *chomped = hpss_ChompXMLHeader(value, NULL);
    const char *plain = chomped != NULL ? chomped : value;
    /* Other programs write here, in any encoding. */
    PyObject *text = PyUnicode_DecodeUTF8(plain, (Py_ssize_t)strlen(plain), "replace");
    free(chomped);
    return text;
}

static PyObject *list_as_dict(const hpss_userattr_list_t *list) {
    PyObject *found = PyDict_New();
    for (int i = 0; found != NULL && i < list->len; i++) {
        PyObject *value = plain_value(list->Pair[i].Value);
        if (value == NULL || PyDict_SetItemString(found, list->Pair[i].Key, value) < 0)
            Py_CLEAR(found);
        Py_XDECREF(value);
    }
    return found;
}

static PyObject *user_attributes(PyObject *module, PyObject *args) {
    const char *path;
    PyObject *keys;
    attribute_list attributes;
    outcome result;
    if (!PyArg_ParseTuple(args, "sO", &path, &keys))
        return NULL;
    PyObject *found = NULL;
    if (fill_list(keys, false, true, &attributes) == 0) {
        CALL(result, GET_USER_ATTRIBUTES, TEXT(path), &attributes.list);
        result.function = "hpss_UserAttrGetAttrs";
        found = result.code < 0 ? raise_error(state_of(module), &result) : list_as_dict(&attributes.list);
    }
    free_list(&attributes);
    return found;
}

/* ---- The module ---- */

#define FUNCTION(name, function, text) {name, function, METH_VARARGS, PyDoc_STR(text)}

static PyMethodDef functions[] = {
    FUNCTION("configure", configure, "Set (retries, busy delay in seconds, busy retries) of the client library."),
    {"configuration", configuration, METH_NOARGS, PyDoc_STR("Return what configure() sets.")},
    FUNCTION("login", login, "Log in: principal, \"unix\" or \"krb5\", \"keytab\" or another type, authenticator."),
    {"purge_login", purge_login, METH_NOARGS, PyDoc_STR("Forget the credentials.")},
    {"reset", reset, METH_NOARGS, PyDoc_STR("Drop the connections to the core server.")},
    {"build_level", build_level, METH_NOARGS, PyDoc_STR("Return the library's version, \"major.minor...\".")},
    FUNCTION("umask", set_umask, "Set HPSS's own umask; return the old one."),
    FUNCTION("lookup_root_cs", lookup_root_cs, "Return the id of a site's root core server."),
    FUNCTION("ping_core", ping_core, "Ask a core server for its clock: (seconds, microseconds)."),
    FUNCTION("open", open_file, "Open (path, flags, mode, class of service, family, size); return a Descriptor."),
    FUNCTION("stat", stat_file, "Return mode, size, mtime and ctime of a name."),
    FUNCTION("lstat", stat_link, "Return the same of a name itself, be it a symbolic link."),
    FUNCTION("residency", residency, "Return where a file's bytes are; never waits, opens or recalls."),
    FUNCTION("utime", set_times, "Set (path, access time, modification time), in whole seconds."),
    FUNCTION("chmod", change_mode, "Set the permissions of a file."),
    FUNCTION("mkdir", make_directory, "Make a directory."),
    FUNCTION("unlink", remove_name, "Remove a file."),
    FUNCTION("rename", rename_name, "Rename a file over what has the new name."),
    FUNCTION("link", link_name, "Give a file a second name."),
    FUNCTION("listdir", list_directory, "Return the names in a directory."),
    FUNCTION("stage", stage, "Ask for the recall of (path, id of 16 bytes, IPv4 address, port to tell); return at once."),
    FUNCTION("stage_status", stage_status, "Return \"unknown\", \"queued\" or \"active\" of (request id, bitfile)."),
#if SINCE_9_3
    FUNCTION("stage_batch", stage_batch,
             "Ask for the recall of (id of 16 bytes, [(bitfile, level, size), ...], IPv4 address, port to tell) at once;"
             " return None or an error for each."),
    FUNCTION("batch_status", batch_status, "Return \"unknown\", \"queued\" or \"active\" of each of (id, [bitfile, ...])."),
#endif
    FUNCTION("set_user_attributes", set_user_attributes, "Set (path, [(key, value), ...])."),
    FUNCTION("user_attributes", user_attributes, "Return {key: value} of (path, keys); ENOENT when one is missing."),
    FUNCTION("delete_user_attributes", delete_user_attributes, "Remove the attributes (path, keys)."),
    {NULL, NULL, 0, NULL}};

static int fill_module(PyObject *module) {
    module_state *state = state_of(module);
    state->error = PyErr_NewExceptionWithDoc("_hpssExtensions.HPSSError",
                                             "A call that HPSS refused: errno, hpss_code, hpss_name, function, last_code.",
                                             PyExc_OSError, NULL);
    if (state->error == NULL || PyModule_AddObjectRef(module, "HPSSError", state->error) < 0)
        return -1;
    state->descriptor = (PyTypeObject *)PyType_FromModuleAndSpec(module, &descriptor_spec, NULL);
    if (state->descriptor == NULL || PyModule_AddType(module, state->descriptor) < 0)
        return -1;
    PyObject *version = Py_BuildValue("(ii)", (int)HPSS_MAJOR_VERSION, (int)HPSS_MINOR_VERSION);
    int failed = version == NULL || PyModule_AddObjectRef(module, "VERSION", version) < 0 ||
                 PyModule_AddObjectRef(module, "BATCHES", SINCE_9_3 ? Py_True : Py_False) < 0;
    Py_XDECREF(version);
    return failed ? -1 : 0;
}

static int traverse_module(PyObject *module, visitproc visit, void *arg) {
    Py_VISIT(state_of(module)->error);
    Py_VISIT(state_of(module)->descriptor);
    return 0;
}

static int clear_module(PyObject *module) {
    Py_CLEAR(state_of(module)->error);
    Py_CLEAR(state_of(module)->descriptor);
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill_module}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_hpssExtensions",
    .m_doc = PyDoc_STR("The calls to IBM HPSS that the archive interface needs."),
    .m_size = sizeof(module_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse_module,
    .m_clear = clear_module,
};

PyMODINIT_FUNC PyInit__hpssExtensions(void) { return PyModuleDef_Init(&definition); }
