/* The sizes of HPSS. Only the number of levels and of volumes a level are public; the other numbers are guesses. */
#ifndef HPSS_LIMITS_H
#define HPSS_LIMITS_H

#define HPSS_MAX_STORAGE_LEVELS 5
#define BFS_MAX_VV_TO_RETURN_AT_LEVEL 10
#define HPSS_MAX_FILE_NAME 256
#define HPSS_MAX_PATH_NAME 1024
#define HPSS_MAX_COS_NAME 32
#define HPSS_MAX_DESC_NAME 256
#define HPSS_MAX_PRINCIPAL_NAME 64
#define HPSS_MAX_USER_NAME 64
#define HPSS_MAX_GROUPS 33
#define HPSS_MAX_DIGEST 64

#endif
