/* What the programs share: ending at a call that failed, and logging in with a keytab. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <hpss_api.h>
#include <hpss_String.h>
#include <hpss_errno.h>
#include <hpss_limits.h>
#include <hpss_version.h>
#include <u_signed64.h>

/* Return *code*, or say which call failed and end. */
static inline long must(long code, const char *what) {
    if (code >= 0)
        return code;
    printf("%s failed: %s\n", what, hpss_ErrnoName((int)code));
    exit(1);
}

/* Log in as *auth* says: "auth_keytab:/path". */
static inline void log_in(char *principal, char *auth) {
    hpss_authn_mech_t mechanism;
    hpss_rpc_auth_type_t type;
    void *authenticator;
    api_config_t configuration;
    must(hpss_GetConfiguration(&configuration), "hpss_GetConfiguration");
    configuration.Flags |= API_USE_CONFIG;
    configuration.TransferType = API_TRANSFER_TCP;
    must(hpss_SetConfiguration(&configuration), "hpss_SetConfiguration");
    must(hpss_AuthnMechTypeFromString("unix", &mechanism), "hpss_AuthnMechTypeFromString");
    must(hpss_ParseAuthString(auth, &mechanism, &type, &authenticator), "hpss_ParseAuthString");
    must(hpss_SetLoginCred(principal, mechanism, hpss_rpc_cred_client, type, authenticator), "hpss_SetLoginCred");
}

#endif
