/* What happens round every call: login, failures, busy retries, log; and the calls about login and configuration. */
#include "sim.h"

#include <stdarg.h>
#include <sys/syscall.h>

static api_config_t configuration = {.NumRetries = 4, .BusyDelay = 15, .BusyRetries = 3, .XMLSize = HPSS_XML_SIZE};
static struct {
    bool in;
    pid_t pid;
    uint64_t epoch, since;
    int64_t calls;
} login;
static pthread_mutex_t login_mutex = PTHREAD_MUTEX_INITIALIZER;
static __thread hpss_errno_state_t last_error;
static mode_t file_mask = 022;

static void write_log(const struct call *call, long code) {
    if (!sim_state()->settings.log)
        return;
    char path[PATH_BYTES], line[PATH_BYTES * 2];
    snprintf(path, sizeof path, "%s/log", sim_root());
    uint64_t now = sim_now();
    int length = snprintf(line, sizeof line, "%llu.%06llu\t%d\t%ld\t%s\t%s\t%s\t%ld\n", (unsigned long long)(now / NANO),
                          (unsigned long long)(now % NANO / 1000), getpid(), (long)syscall(SYS_gettid), call->function,
                          call->path, call->detail, code);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    if (write(fd, line, (size_t)length) != length)
        fprintf(stderr, "hpss simulator: the call log is cut short\n");
    close(fd);
}

/* 0, or why a call may not pass: nobody logged in, a fork since, or credentials that are no longer good. */
static int credentials(void) {
    struct state *state = sim_state();
    int code = 0;
    pthread_mutex_lock(&login_mutex);
    login.calls++;
    if (!login.in) {
        sim_count(&state->counters.calls_before_login, 1);
        code = state->settings.before_login;
    } else if (login.pid != getpid()) {
        sim_count(&state->counters.calls_after_fork, 1);
        code = HPSS_EPERM;
    } else if (login.epoch != state->credential_epoch ||
               (state->settings.credential_calls > 0 && login.calls > state->settings.credential_calls) ||
               (state->settings.credential_seconds > 0 &&
                (double)(sim_now() - login.since) > state->settings.credential_seconds * 1e9)) {
        code = state->settings.expired_code;
    }
    pthread_mutex_unlock(&login_mutex);
    while (code == 1 && !login.in) /* before_login=1: "it just hangs" */
        sim_sleep(0.01);
    return code == 1 ? 0 : code;
}

static void suffer(struct call *call) {
    if (call->failure.hang) {
        sim_count(&sim_state()->counters.hanging, 1);
        while (sim_still_hangs(call))
            sim_sleep(0.01);
        sim_count(&sim_state()->counters.hanging, -1);
    }
    sim_sleep(call->failure.delay);
    if (call->failure.abort)
        abort();
}

static int ask_failures(struct call *call) {
    for (int attempt = 0;; attempt++) {
        sim_failures(call);
        if (!call->failure.after)
            suffer(call);
        if (!call->failure.busy || !call->failure.has_code)
            break;
        /* The library tries again by itself before the caller hears of it. */
        if (configuration.BusyRetries >= 0 && attempt >= configuration.BusyRetries)
            break;
        sim_sleep(configuration.BusyDelay * sim_state()->settings.busy_unit);
    }
    const struct failure *failure = &call->failure;
    return failure->has_code && !failure->after && !failure->has_limit ? failure->code : 0;
}

static void begin(struct call *call, const char *function, const char *path, bool asks_core) {
    call->function = function;
    call->asks_core = asks_core;
    snprintf(call->path, sizeof call->path, "%s", path != NULL ? path : "-");
    call->failure = (struct failure){.corrupt = -1, .fraction = 1.0};
}

#define DETAIL(call, format)                                                                                           \
    do {                                                                                                               \
        va_list arguments;                                                                                             \
        va_start(arguments, format);                                                                                   \
        vsnprintf((call)->detail, sizeof (call)->detail, format, arguments);                                           \
        va_end(arguments);                                                                                             \
    } while (0)

int sim_enter_unlogged(struct call *call, const char *function, const char *path, const char *format, ...) {
    begin(call, function, path, false);
    DETAIL(call, format);
    return ask_failures(call);
}

int sim_enter(struct call *call, const char *function, const char *path, const char *format, ...) {
    begin(call, function, path, true);
    DETAIL(call, format);
    int code = credentials();
    if (code == 0 && strlen(call->path) >= HPSS_MAX_PATH_NAME)
        code = HPSS_ENAMETOOLONG;
    return code != 0 ? code : ask_failures(call);
}

long sim_leave(struct call *call, long code) {
    if (call->failure.after)
        suffer(call); /* the work is done, and the reply is late or lost */
    if (call->failure.after && call->failure.has_code)
        code = call->failure.code;
    if (code < 0) {
        last_error.hpss_errno = (int)code;
        last_error.func = (char *)call->function;
    }
    write_log(call, code);
    return code;
}

int hpss_GetConfiguration(api_config_t *out) {
    *out = configuration;
    return 0;
}

int hpss_SetConfiguration(const api_config_t *in) {
    struct call call;
    int code = sim_enter_unlogged(&call, "hpss_SetConfiguration", NULL, "retries=%d busy_delay=%d busy_retries=%d",
                                  in->NumRetries, in->BusyDelay, in->BusyRetries);
    if (code == 0 && !(in->Flags & API_USE_CONFIG))
        code = HPSS_EINVAL;
    if (code == 0)
        configuration = *in;
    return (int)sim_leave(&call, code);
}

/* Nobody is logged in to an archive that was just chosen. */
void sim_session_reset(void) {
    pthread_mutex_lock(&login_mutex);
    login.in = false;
    pthread_mutex_unlock(&login_mutex);
}

static int check_keytab(const char *principal, const char *path) {
    char line[128] = "";
    FILE *keytab = fopen(path, "r");
    if (keytab == NULL)
        return HPSS_EACCES;
    bool found = false;
    while (!found && fgets(line, sizeof line, keytab) != NULL) {
        line[strcspn(line, " \n")] = '\0';
        found = strcmp(line, principal) == 0;
    }
    fclose(keytab);
    return found ? 0 : HPSS_EACCES;
}

int hpss_SetLoginCred(char *principal, hpss_authn_mech_t mechanism, hpss_rpc_cred_type_t kind,
                      hpss_rpc_auth_type_t type, void *authenticator) {
    struct call call;
    struct state *state = sim_state();
    int code = sim_enter_unlogged(&call, "hpss_SetLoginCred", NULL, "%s mechanism=%d type=%d", principal, (int)mechanism,
                                  (int)type);
    if (code == 0 && (mechanism == hpss_authn_mech_invalid || kind != hpss_rpc_cred_client))
        code = HPSS_EINVAL;
    if (code == 0 && strcmp(principal, state->settings.principal) != 0)
        code = HPSS_ENOENT;
    if (code == 0 && (type == hpss_rpc_auth_type_keytab || type == hpss_rpc_auth_type_keyfile))
        code = check_keytab(principal, authenticator);
    if (code == 0) {
        pthread_mutex_lock(&login_mutex);
        login.in = true;
        login.pid = getpid();
        login.epoch = state->credential_epoch;
        login.since = sim_now();
        login.calls = 0;
        pthread_mutex_unlock(&login_mutex);
        sim_count(&state->counters.logins, 1);
    }
    return (int)sim_leave(&call, code);
}

void hpss_PurgeLoginCred(void) {
    struct call call;
    sim_enter_unlogged(&call, "hpss_PurgeLoginCred", NULL, "-");
    pthread_mutex_lock(&login_mutex);
    login.in = false;
    pthread_mutex_unlock(&login_mutex);
    sim_leave(&call, 0);
}

void hpss_ClientAPIReset(void) {
    struct call call;
    sim_enter_unlogged(&call, "hpss_ClientAPIReset", NULL, "-");
    sim_files_reset();
    sim_leave(&call, 0);
}

int hpss_AuthnMechTypeFromString(const char *text, hpss_authn_mech_t *mechanism) {
    *mechanism = strcmp(text, "unix") == 0   ? hpss_authn_mech_unix
                 : strcmp(text, "krb5") == 0 ? hpss_authn_mech_krb5
                                             : hpss_authn_mech_invalid;
    return *mechanism == hpss_authn_mech_invalid ? HPSS_EINVAL : 0;
}

static void insist_on_login(void) {
    if (!login.in)
        sim_count(&sim_state()->counters.calls_before_login, 1);
    while (!login.in && sim_state()->settings.before_login == 1)
        sim_sleep(0.01);
}

hpss_errno_state_t hpss_GetLastHPSSErrno(void) {
    insist_on_login();
    return last_error;
}

void hpss_ClearLastHPSSErrno(void) {
    insist_on_login();
    memset(&last_error, 0, sizeof last_error);
}

char *hpss_BuildLevelString(void) {
    struct call call;
    sim_enter_unlogged(&call, "hpss_BuildLevelString", NULL, "-");
    char text[128];
    snprintf(text, sizeof text, "%d.%d.0.0.simulator", HPSS_MAJOR_VERSION, HPSS_MINOR_VERSION);
    sim_leave(&call, 0);
    return sim_text(call.failure.text[0] != '\0' ? call.failure.text : text);
}

mode_t hpss_Umask(mode_t mask) {
    mode_t old = file_mask;
    file_mask = mask & 0777;
    return old;
}

int hpss_LookupRootCS(char *site, sim_server_id_t *server) {
    struct call call;
    int code = sim_enter(&call, "hpss_LookupRootCS", NULL, "%s", site != NULL ? site : "(default)");
    if (code == 0 && site != NULL && strcmp(site, sim_state()->settings.site) != 0)
        code = HPSS_ENOENT;
    if (code == 0)
        memset(server, 0x5a, sizeof *server);
    return (int)sim_leave(&call, code);
}

int hpss_PingCore(sim_server_id_t *server, unsigned32 *seconds, unsigned32 *microseconds) {
    struct call call;
    sim_server_id_t known;
    memset(&known, 0x5a, sizeof known);
    int code = sim_enter(&call, "hpss_PingCore", NULL, "-");
    if (code == 0 && memcmp(server, &known, sizeof known) != 0)
        code = HPSS_EINVAL;
    uint64_t moment = sim_now() + (uint64_t)(int64_t)(call.failure.skew * 1e9);
    *seconds = (unsigned32)(moment / NANO);
    *microseconds = (unsigned32)(moment % NANO / 1000);
    return (int)sim_leave(&call, code);
}
