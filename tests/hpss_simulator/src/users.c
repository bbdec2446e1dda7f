/* Who calls: authentication strings, the user that a thread acts as, HPSS's environment. */
#include "sim.h"

static __thread bool thread_has_user;
static __thread uint32_t thread_user;
static uint32_t default_user;
static bool default_has_user;

int hpss_GetAuthType(hpss_authn_mech_t mechanism, hpss_rpc_auth_type_t *type) {
    *type = mechanism == hpss_authn_mech_invalid ? hpss_rpc_auth_type_invalid : hpss_rpc_auth_type_keytab;
    return mechanism == hpss_authn_mech_invalid ? HPSS_EINVAL : 0;
}

static const struct {
    const char *name;
    hpss_rpc_auth_type_t type;
} AUTH_TYPES[] = {
    {"auth_none", hpss_rpc_auth_type_none},       {"auth_keytab", hpss_rpc_auth_type_keytab},
    {"auth_keyfile", hpss_rpc_auth_type_keyfile}, {"auth_key", hpss_rpc_auth_type_key},
    {"auth_passwd", hpss_rpc_auth_type_passwd},
};

/* "auth_keytab:/path". The authenticator is a part of *text*: a caller that frees either too early finds out. */
int hpss_ParseAuthString(char *text, hpss_authn_mech_t *mechanism, hpss_rpc_auth_type_t *type, void **authenticator) {
    size_t length = strcspn(text, ":");
    (void)mechanism; /* what the caller has put there stays */
    for (size_t i = 0; i < sizeof AUTH_TYPES / sizeof *AUTH_TYPES; i++) {
        if (strlen(AUTH_TYPES[i].name) != length || strncmp(AUTH_TYPES[i].name, text, length) != 0)
            continue;
        *type = AUTH_TYPES[i].type;
        *authenticator = text[length] == ':' ? text + length + 1 : NULL;
        return *authenticator != NULL || *type == hpss_rpc_auth_type_none ? 0 : HPSS_EINVAL;
    }
    return HPSS_EINVAL;
}

int hpss_LoadDefaultThreadState(uid_t user, mode_t mask, char *name) {
    struct call call;
    (void)name;
    int code = sim_enter(&call, "hpss_LoadDefaultThreadState", NULL, "uid=%u", user);
    if (code == 0) {
        hpss_Umask(mask);
        default_user = user;
        default_has_user = true;
    }
    return (int)sim_leave(&call, code);
}

/* HPSS keeps a mask for each thread; here the process has one. */
int hpss_LoadThreadState(uid_t user, mode_t mask, char *name) {
    struct call call;
    (void)name;
    int code = sim_enter(&call, "hpss_LoadThreadState", NULL, "uid=%u", user);
    if (code == 0) {
        hpss_Umask(mask);
        thread_user = user;
        thread_has_user = true;
    }
    return (int)sim_leave(&call, code);
}

int hpss_GetThreadUcred(sec_cred_t *out) {
    struct call call;
    int code = sim_enter(&call, "hpss_GetThreadUcred", NULL, "-");
    if (code == 0) {
        memset(out, 0, sizeof *out);
        out->Uid = thread_has_user ? thread_user : default_has_user ? default_user : getuid();
        out->Gid = getgid();
        snprintf(out->Name, sizeof out->Name, "%s", sim_state()->settings.principal);
        snprintf(out->Directory, sizeof out->Directory, "/home/%s", sim_state()->settings.principal);
    }
    return (int)sim_leave(&call, code);
}

/* There is no file of HPSS's own variables here. */
char *hpss_Getenv(const char *name) { return getenv(name); }

char *u64_to_decchar(u_signed64 number) {
    static __thread char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return text;
}
