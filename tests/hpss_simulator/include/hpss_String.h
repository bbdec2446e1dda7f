/* Texts of HPSS: the names of its return codes. */
#ifndef HPSS_STRING_H
#define HPSS_STRING_H

const char *hpss_ErrnoName(int Code);
const char *hpss_ErrnoString(int Code);

#endif
