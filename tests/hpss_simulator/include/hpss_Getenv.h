/* The environment of HPSS: its own file of variables first, then that of the process. */
#ifndef HPSS_GETENV_H
#define HPSS_GETENV_H

char *hpss_Getenv(const char *Name);

#endif
