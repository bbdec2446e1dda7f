/* The client interface of HPSS as far as public clients show it, in the flavour that hpss_version.h names.
 *
 * A stand-in for tests, written from published facts alone; the binary layout is not that of real HPSS, and every
 * number that is not public is deliberately odd, so that a caller with a hard-coded one fails.
 */
#ifndef HPSS_API_H
#define HPSS_API_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <utime.h>

#include "hpss_errno.h"
#include "hpss_version.h"
#include "u_signed64.h"

#define SIM_VERSION (HPSS_MAJOR_VERSION * 100 + HPSS_MINOR_VERSION)

#if SIM_VERSION >= 705
#define SIM_CONST const
#else
#define SIM_CONST
#endif

/* Not in a real header: the simulator counts the blocks that a caller has to free. */
void sim_free(void *Block);
#define free(block) sim_free(block)

typedef uint32_t timestamp_sec_t;
typedef int64_t hpss_off_t;

typedef struct {
    uint32_t time_low;
    uint16_t time_mid, time_hi_and_version;
    uint8_t clock_seq_hi_and_reserved, clock_seq_low, node[6];
} hpss_uuid_t;

#if SIM_VERSION >= 705
typedef uint32_t hpss_srvr_id_t;
typedef hpss_srvr_id_t sim_server_id_t;
typedef struct {
    uint8_t Bytes[19];
} hpssoid_t;
typedef uint32_t hpss_distributionkey_t;
typedef struct {
    hpssoid_t BfId;
    hpss_distributionkey_t BfHash;
    uint32_t ValidHash;
} bfs_bitfile_obj_handle_t;
typedef bfs_bitfile_obj_handle_t sim_bitfile_t;
#else
typedef hpss_uuid_t sim_server_id_t;
typedef struct {
    hpss_uuid_t ObjectID;
    uint32_t ServerDep1, ServerDep2, ServerDep3, ServerDep4, ServerDep5;
    uint8_t SecurityLevel[2], Reserved[2], SubType, Type;
} hpssoid_t;
typedef hpssoid_t sim_bitfile_t;
#endif

#if SIM_VERSION >= 800
typedef hpss_uuid_t hpss_reqid_t;
#else
typedef uint32_t hpss_reqid_t;
#endif

/* Login, configuration. */
typedef enum {
    hpss_authn_mech_invalid = 0,
    hpss_authn_mech_krb5 = 1,
    hpss_authn_mech_unix = 2,
    hpss_authn_mech_gsi = 3,
    hpss_authn_mech_spkm = 4
} hpss_authn_mech_t;
typedef enum { hpss_rpc_cred_server = 1, hpss_rpc_cred_client = 2, hpss_rpc_cred_both = 3 } hpss_rpc_cred_type_t;
typedef enum {
    hpss_rpc_auth_type_invalid = 0,
    hpss_rpc_auth_type_none = 1,
    hpss_rpc_auth_type_keytab = 2,
    hpss_rpc_auth_type_keyfile = 3,
    hpss_rpc_auth_type_key = 4,
    hpss_rpc_auth_type_passwd = 5
} hpss_rpc_auth_type_t;

#define API_USE_CONFIG 0x2300
#define API_ENABLE_LOGGING 0x4
typedef struct {
    int Flags, DebugValue, TransferType, NumRetries, BusyDelay, BusyRetries, TotalDelay, LimitedRetries;
    int MaxConnections, ReuseDataConnections, UsePortRange, RetryStageInp, DMAPWriteUpdates;
    int AuthnMech, RPCProtLevel, XMLSize;
    char DescName[256], DebugPath[256], HostName[256];
} api_config_t;

typedef struct {
    int hpss_errno;
    char *func;
    hpss_reqid_t requestId;
} hpss_errno_state_t;

int hpss_GetConfiguration(api_config_t *ConfigOut);
int hpss_SetConfiguration(const api_config_t *ConfigIn);
int hpss_SetLoginCred(char *PrincipalName, hpss_authn_mech_t Mechanism, hpss_rpc_cred_type_t CredType,
                      hpss_rpc_auth_type_t AuthType, void *Authenticator);
void hpss_PurgeLoginCred(void);
void hpss_ClientAPIReset(void);
int hpss_AuthnMechTypeFromString(const char *Text, hpss_authn_mech_t *Mechanism);
int hpss_LoadDefaultThreadState(uid_t UserID, mode_t Umask, char *ClientFullName);
hpss_errno_state_t hpss_GetLastHPSSErrno(void);
void hpss_ClearLastHPSSErrno(void);
char *hpss_BuildLevelString(void);
mode_t hpss_Umask(mode_t CMask);
int hpss_LookupRootCS(char *SiteName, sim_server_id_t *Server);
int hpss_PingCore(sim_server_id_t *Server, unsigned32 *RecvSecs, unsigned32 *RecvUSecs);

/* Classes of service. */
enum {
    NO_PRIORITY = 40,
    LOWEST_PRIORITY,
    LOW_PRIORITY,
    DESIRED_PRIORITY,
    HIGHLY_DESIRED_PRIORITY,
    REQUIRED_PRIORITY
};
enum { COS_STAGE_NO_STAGE = 61, COS_STAGE_ON_OPEN, COS_STAGE_ON_OPEN_ASYNCH, COS_STAGE_ON_OPEN_BACKGROUND };
typedef struct {
    uint32_t COSId;
    char COSName[32];
    uint32_t Flags, OptimumAccessSize;
    u_signed64 MinFileSize, MaxFileSize;
    uint32_t AccessFrequency, TransferRate, AvgLatency, WriteOps, ReadOps, StageCode, StripeWidth;
    u_signed64 StripeLength;
    uint32_t FamilyId;
} hpss_cos_hints_t;
typedef struct {
    uint32_t COSIdPriority, COSNamePriority, OptimumAccessSizePriority, MinFileSizePriority, MaxFileSizePriority;
    uint32_t AccessFrequencyPriority, TransferRatePriority, AvgLatencyPriority, WriteOpsPriority, ReadOpsPriority;
    uint32_t StageCodePriority, StripeWidthPriority, StripeLengthPriority, FamilyIdPriority;
} hpss_cos_priorities_t;

/* Files. */
#define HPSS_O_STAGE_ASYNC 0x10000000
#define HPSS_O_STAGE_BKGRD 0x20000000
#define HPSS_SET_OFFSET_FORWARD 71
#define HPSS_SET_OFFSET_BACKWARD 72
int hpss_Open(SIM_CONST char *Path, int Oflag, mode_t Mode, SIM_CONST hpss_cos_hints_t *HintsIn,
              SIM_CONST hpss_cos_priorities_t *HintsPri, hpss_cos_hints_t *HintsOut);
ssize_t hpss_Read(int Fildes, void *Buf, size_t Nbyte);
ssize_t hpss_Write(int Fildes, const void *Buf, size_t Nbyte);
hpss_off_t hpss_Lseek(int Fildes, hpss_off_t Offset, int Whence);
int hpss_SetFileOffset(int Fildes, u_signed64 OffsetIn, int Whence, int Direction, u_signed64 *OffsetOut);
int hpss_Close(int Fildes);
int hpss_Fsync(int Fildes);
int hpss_Ftruncate(int Fildes, u_signed64 Length);
int hpss_Truncate(SIM_CONST char *Path, u_signed64 Length);

/* Attributes. */
typedef struct {
    uint32_t st_dev;
    uint64_t st_ino;
    uint16_t st_nlink, st_flag;
    uint32_t st_uid, st_gid, st_rdev;
    uint64_t st_ssize;
    timestamp_sec_t hpss_st_atime, hpss_st_mtime, hpss_st_ctime;
    uint32_t st_atime_n, st_mtime_n, st_ctime_n, st_blksize, st_blocks, st_vfstype, st_vfs, st_type, st_gen;
    uint64_t st_size;
    uint32_t st_mode;
} hpss_stat_t;

#define HPSS_MAX_STORAGE_LEVELS 5
#define BFS_MAX_VV_TO_RETURN_AT_LEVEL 10
#define BFS_BFATTRS_LEVEL_IS_DISK 0x20
#define BFS_BFATTRS_LEVEL_IS_TAPE 0x400
#define BFS_BFATTRS_DATAEXISTS_AT_LEVEL 0x1000
#define BFS_BFATTRS_ADDITIONAL_VV_EXIST 0x8000
#define API_GET_STATS_FOR_LEVEL 0x10000
#define API_GET_STATS_FOR_1STLEVEL 0x40000
#define API_GET_STATS_OPTIMIZE 0x80000
#define API_GET_STATS_FOR_ALL_LEVELS 0x200000
#define API_GET_XATTRS_NO_BLOCK 0x1000000
#define CORE_OPTION_FLAG_DONT_PURGE 1
enum {
    NS_OBJECT_TYPE_DIRECTORY = 81,
    NS_OBJECT_TYPE_FILE,
    NS_OBJECT_TYPE_HARD_LINK,
    NS_OBJECT_TYPE_SYM_LINK,
    NS_OBJECT_TYPE_JUNCTION,
    NS_OBJECT_TYPE_FILESET_ROOT
};

typedef struct {
    char Name[16];
    uint32_t Flags;
} pv_list_element_t;
typedef struct {
    struct {
        uint32_t List_len;
        pv_list_element_t *List_val;
    } List;
} pv_list_t;
typedef struct {
    uint64_t VVID;
    int32_t RelPosition;
    uint64_t RelPositionOffset, BytesOnVV;
    pv_list_t *PVList;
} bf_vv_attrib_t;
typedef struct {
    bf_vv_attrib_t VVAttrib[BFS_MAX_VV_TO_RETURN_AT_LEVEL];
    uint32_t NumberOfVVs;
    uint64_t BytesAtLevel;
    uint32_t OptimumAccessSize, StripeWidth;
    uint64_t StripeLength;
    uint32_t Flags;
} bf_sc_attrib_t;
typedef struct {
    uint64_t ObjId;
    uint32_t Generation, Type;
} ns_ObjHandle_t;
typedef struct {
    uint64_t DataLength;
    uint32_t Type, COSId, FamilyId, FilesetId, UID, GID;
    uint32_t UserPerms, GroupPerms, OtherPerms, ModePerms, CompositePerms;
    uint32_t LinkCount, OpenCount, ReadCount, WriteCount;
    timestamp_sec_t TimeCreated, TimeLastRead, TimeLastWritten, TimeModified;
    uint32_t OptionFlags, Account, RealmId, SubSystemId;
    char Comment[256];
#if SIM_VERSION >= 705
    bfs_bitfile_obj_handle_t BitfileObj;
#else
    hpssoid_t BitfileId;
#endif
} hpss_Attrs_t;
typedef struct {
    ns_ObjHandle_t ObjectHandle;
    hpss_Attrs_t Attrs;
} hpss_fileattr_t;
typedef struct {
    ns_ObjHandle_t ObjectHandle;
    hpss_Attrs_t Attrs;
    bf_sc_attrib_t SCAttrib[HPSS_MAX_STORAGE_LEVELS];
} hpss_xfileattr_t;

int hpss_Stat(SIM_CONST char *Path, hpss_stat_t *Buf);
int hpss_Lstat(SIM_CONST char *Path, hpss_stat_t *Buf);
int hpss_Fstat(int Fildes, hpss_stat_t *Buf);
int hpss_FileGetAttributes(SIM_CONST char *Path, hpss_fileattr_t *AttrOut);
int hpss_FileGetXAttributes(SIM_CONST char *Path, uint32_t Flags, uint32_t StorageLevel, hpss_xfileattr_t *AttrOut);

/* Names. */
typedef struct {
    uint64_t d_offset;
    uint32_t d_namelen;
    char d_name[256];
} hpss_dirent_t;
int hpss_Utime(SIM_CONST char *Path, SIM_CONST struct utimbuf *Times);
int hpss_Chmod(SIM_CONST char *Path, mode_t Mode);
int hpss_Mkdir(SIM_CONST char *Path, mode_t Mode);
int hpss_Rmdir(SIM_CONST char *Path);
int hpss_Unlink(SIM_CONST char *Path);
int hpss_Rename(SIM_CONST char *Old, SIM_CONST char *New);
int hpss_Link(SIM_CONST char *Existing, SIM_CONST char *New);
int hpss_Access(SIM_CONST char *Path, int Amode);
int hpss_Opendir(SIM_CONST char *DirName);
int hpss_Readdir(int DirDes, hpss_dirent_t *DirentPtr);
int hpss_Closedir(int DirDes);

/* Levels: stage, purge, migrate. */
#define BFS_STAGE_ALL 0x50
#define BFS_ASYNCH_CALL 0x2000
#define BFS_PURGE_ALL 0x90
#define HPSS_MIGRATE_FORCE 0x14
#define HPSS_MIGRATE_PURGE_DATA 0x28
#define HPSS_MIGRATE_NO_COPY 0x41
typedef enum { PURGE_LOCK = 91, PURGE_UNLOCK } purgelock_flag_t;
enum { HPSS_STAGE_STATUS_UNKNOWN = 101, HPSS_STAGE_STATUS_ACTIVE = 117, HPSS_STAGE_STATUS_QUEUED = 133 };
typedef struct {
    uint32_t address, port;
} hpss_sockaddr_t;
typedef struct {
    hpss_sockaddr_t sockaddr;
    hpss_reqid_t id; /* what hpss_GetAsyncStatus is asked by */
} bfs_callback_addr_t;

int hpss_Stage(int Fildes, u_signed64 Offset, u_signed64 Length, uint32_t StorageLevel, uint32_t Flags);
int hpss_StageCallBack(SIM_CONST char *Path, u_signed64 Offset, u_signed64 Length, uint32_t StorageLevel,
                       bfs_callback_addr_t *CallBackPtr, uint32_t Flags, hpss_reqid_t *ReqID /* OUT */,
                       sim_bitfile_t *BitfileObj /* OUT */);
#if SIM_VERSION >= 705
int hpss_GetAsyncStatus(hpss_reqid_t CallBackId, bfs_bitfile_obj_handle_t *BitfileObj, int32_t *Status);
#else
int hpss_GetAsynchStatus(signed32 CallBackId, hpssoid_t *BitfileID, signed32 *Status);
#endif
int hpss_Purge(int Fildes, u_signed64 Offset, u_signed64 Length, uint32_t StorageLevel, uint32_t Flags,
               u_signed64 *BytesPurged);
int hpss_PurgeLock(int Fildes, purgelock_flag_t Flag);
int hpss_Migrate(int Fildes, uint32_t SrcLevel, uint32_t Flags, u_signed64 *BytesMigrated);

/* User attributes. */
#define UDA_API_VALUE 0x11
#define UDA_API_XML 0x22
#define XML_ATTR 0x33
#define XML_NO_ATTR 0x44
#define HPSS_XML_SIZE 4096
typedef struct {
    char *Key;
    char *Value;
} hpss_userattr_t;
typedef struct {
    int len;
    hpss_userattr_t *Pair;
} hpss_userattr_list_t;
int hpss_UserAttrSetAttrs(SIM_CONST char *Path, SIM_CONST hpss_userattr_list_t *Attr, SIM_CONST char *Schema);
int hpss_UserAttrDeleteAttrs(SIM_CONST char *Path, SIM_CONST hpss_userattr_list_t *Attr, SIM_CONST char *Schema);
#if SIM_VERSION >= 705
int hpss_UserAttrGetAttrs(const char *Path, hpss_userattr_list_t *Attr, int Flag, int XMLSize);
int hpss_UserAttrListAttrs(const char *Path, hpss_userattr_list_t *Attr, int Flags, int XMLSize);
#else
int hpss_UserAttrGetAttrs(char *Path, hpss_userattr_list_t *Attr, int Flag);
int hpss_UserAttrListAttrs(char *Path, hpss_userattr_list_t *Attr, int Flags);
int hpss_UserAttrLenGetAttrs(char *Path, hpss_userattr_list_t *Attr, int Flag, int XMLSize);
int hpss_UserAttrLenListAttrs(char *Path, hpss_userattr_list_t *Attr, int Flags, int XMLSize);
#endif

#endif
