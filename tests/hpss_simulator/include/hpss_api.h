/* The client interface of HPSS as far as public clients show it, in the flavour that hpss_version.h names.
 *
 * A stand-in for tests, written from published facts alone; the binary layout is not that of real HPSS, and every
 * number that is not public is deliberately odd, so that a caller with a hard-coded one fails.
 */
#ifndef HPSS_API_H
#define HPSS_API_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <utime.h>

#include "hpss_Getenv.h"
#include "hpss_errno.h"
#include "hpss_limits.h"
#include "hpss_version.h"
#include "u_signed64.h"

#define SIM_VERSION (HPSS_MAJOR_VERSION * 100 + HPSS_MINOR_VERSION)

#if SIM_VERSION >= 705
#define SIM_CONST const
#else
#define SIM_CONST
#endif

/* Not in a real header: a caller that is built with this has the simulator count the blocks that it has to free. */
#ifdef HPSS_SIM_COUNT_BLOCKS
void sim_free(void *Block);
#define free(block) sim_free(block)
#endif

#ifndef TRUE
#define TRUE 1
#define FALSE 0
#endif

typedef uint32_t timestamp_sec_t;
typedef int64_t hpss_off_t;
typedef uint32_t cos_t; /* the number of a class of service */

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
#define API_DISABLE_CROSS_REALM 0x400
#define API_DISABLE_JUNCTIONS 0x8
#define API_USE_SAN3P 0x4000
enum { API_TRANSFER_TCP = 31, API_TRANSFER_MVRSELECT };
typedef struct {
    int Flags, DebugValue, TransferType, NumRetries, BusyDelay, BusyRetries, TotalDelay, LimitedRetries;
    int MaxConnections, ReuseDataConnections, UsePortRange, RetryStageInp, DMAPWriteUpdates;
    int AuthnMech, RPCProtLevel, XMLSize;
    char DescName[HPSS_MAX_DESC_NAME], DebugPath[HPSS_MAX_DESC_NAME], HostName[HPSS_MAX_DESC_NAME];
} api_config_t;

#if SIM_VERSION >= 1000
typedef struct {
    struct {
        uint32_t List_len;
        uint32_t *List_val;
    } List;
} hpss_group_ids_t;
#endif
typedef struct {
    uint32_t SecLabel, Uid, Gid, RealmId, DefAccount, CurAccount, NumGroups;
#if SIM_VERSION >= 1000
    hpss_group_ids_t AltGroups;
#else
    uint32_t AltGroups[HPSS_MAX_GROUPS];
#endif
    char Name[HPSS_MAX_PRINCIPAL_NAME], Directory[HPSS_MAX_PATH_NAME];
} sec_cred_t;

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
int hpss_GetAuthType(hpss_authn_mech_t Mechanism, hpss_rpc_auth_type_t *AuthType);
int hpss_ParseAuthString(char *Text, hpss_authn_mech_t *Mechanism, hpss_rpc_auth_type_t *AuthType,
                         void **Authenticator);
int hpss_LoadDefaultThreadState(uid_t UserID, mode_t Umask, char *ClientFullName);
int hpss_LoadThreadState(uid_t UserID, mode_t Umask, char *ClientFullName);
int hpss_GetThreadUcred(sec_cred_t *RetUcred);
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
    cos_t COSId;
    char COSName[HPSS_MAX_COS_NAME];
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
#define HINTS_FORCE_MAX_SSEG 0x200
#define HINTS_NOTRUNC_FINAL_SEG 0x800
typedef struct {
    cos_t COSId;
    uint32_t HierId;
    char COSName[HPSS_MAX_COS_NAME];
    uint32_t Flags, OptimumAccessSize;
    u_signed64 MinFileSize, MaxFileSize;
    uint32_t AccessFrequency, TransferRate, AvgLatency, WriteOps, ReadOps, StageCode, AllocMethod;
#if SIM_VERSION >= 705
    uint32_t FileHashType;
#endif
} hpss_cos_md_t;
typedef struct {
    uint64_t f_bsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree;
} hpss_statfs_t;
int hpss_SetCOSByHints(int Fildes, uint32_t Flags, SIM_CONST hpss_cos_hints_t *HintsPtr,
                       SIM_CONST hpss_cos_priorities_t *PrioPtr, hpss_cos_md_t *COSPtr);
int hpss_FileSetCOS(SIM_CONST char *Path, cos_t COSId, uint32_t StreamId);
int hpss_Statfs(cos_t CosId, hpss_statfs_t *StatfsBuffer);

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
    hpssoid_t VVID;
    int32_t RelPosition; /* the section of the tape; the offset is the place within an aggregate there */
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
    uint64_t ObjId, FileId;
    uint32_t Generation, Type;
} ns_ObjHandle_t;
typedef struct {
    uint64_t DataLength, FilesetId;
    uint32_t Type, FamilyId, UID, GID;
    cos_t COSId;
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

/* Handles: an object, and a path from there (absolute for API_RootNSHandle; NULL or empty for the object itself). */
extern ns_ObjHandle_t API_RootNSHandle;
int hpss_FileGetAttributesHandle(SIM_CONST ns_ObjHandle_t *ObjHandle, SIM_CONST char *Path,
                                 SIM_CONST sec_cred_t *Ucred, hpss_fileattr_t *AttrOut);
int hpss_FileGetXAttributesHandle(SIM_CONST ns_ObjHandle_t *ObjHandle, SIM_CONST char *Path,
                                  SIM_CONST sec_cred_t *Ucred, uint32_t Flags, uint32_t StorageLevel,
                                  hpss_xfileattr_t *AttrOut);
int hpss_OpenHandle(SIM_CONST ns_ObjHandle_t *ObjHandle, SIM_CONST char *Path, int Oflag, mode_t Mode,
                    SIM_CONST sec_cred_t *Ucred, SIM_CONST hpss_cos_hints_t *HintsIn,
                    SIM_CONST hpss_cos_priorities_t *HintsPri, hpss_cos_hints_t *HintsOut);

/* File sets. */
typedef u_signed64 ns_FilesetAttrBits_t;
enum { NS_FS_ATTRINDEX_COS = 7 };
typedef struct {
    u_signed64 FilesetId;
    cos_t ClassOfService; /* 0: the file set leaves it to who writes */
} ns_FilesetAttrs_t;
int hpss_FilesetGetAttributes(SIM_CONST char *Name, SIM_CONST u_signed64 *FilesetId,
                              SIM_CONST ns_ObjHandle_t *FilesetHandle, SIM_CONST sim_server_id_t *CoreServer,
                              ns_FilesetAttrBits_t Bits, ns_FilesetAttrs_t *AttrsOut);

/* Names. */
typedef struct {
    uint64_t d_offset;
    uint16_t d_reclen, d_namelen;
    ns_ObjHandle_t d_handle;
    char d_name[HPSS_MAX_FILE_NAME];
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
int hpss_Chown(SIM_CONST char *Path, uid_t Owner, gid_t Group);
int hpss_Symlink(SIM_CONST char *Contents, SIM_CONST char *Path);
int hpss_Readlink(SIM_CONST char *Path, char *Contents, size_t BufferSize);

/* Entries of a directory with their attributes: as many as fit into BufferSize bytes; the result is their number. */
#define HPSS_READDIR_GETATTRS 0x18
typedef struct {
    ns_ObjHandle_t ObjHandle;
    u_signed64 ObjOffset; /* where to go on after this entry */
    char Name[HPSS_MAX_FILE_NAME];
    hpss_Attrs_t Attrs;
} ns_DirEntry_t;
int hpss_ReadAttrsPlus(int DirDes, u_signed64 OffsetIn, uint32_t BufferSize, uint32_t Options, uint32_t *End,
                       u_signed64 *OffsetOut, ns_DirEntry_t *DirentPtr);
int hpss_ReadAttrsHandle(SIM_CONST ns_ObjHandle_t *ObjHandle, u_signed64 OffsetIn, SIM_CONST sec_cred_t *Ucred,
                         uint32_t BufferSize, uint32_t GetAttributes, uint32_t *End, u_signed64 *OffsetOut,
                         ns_DirEntry_t *DirentPtr);

/* Streams, in the manner of stdio: what fails is told in errno, positive; Fclose and Fflush return a code. */
typedef struct sim_stream HPSS_FILE;
HPSS_FILE *hpss_Fopen(SIM_CONST char *Path, SIM_CONST char *Mode);
size_t hpss_Fread(void *Ptr, size_t Size, size_t Num, HPSS_FILE *Stream);
size_t hpss_Fwrite(const void *Ptr, size_t Size, size_t Num, HPSS_FILE *Stream);
int hpss_Fseek(HPSS_FILE *Stream, hpss_off_t Offset, int Whence);
long hpss_Ftell(HPSS_FILE *Stream);
int hpss_Fflush(HPSS_FILE *Stream);
int hpss_Fclose(HPSS_FILE *Stream);
int hpss_Fgetc(HPSS_FILE *Stream);
char *hpss_Fgets(char *Text, int Size, HPSS_FILE *Stream);

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
#if SIM_VERSION >= 903
/* Stages of many files. List_len of the list that takes the bitfiles is the number of files, and List_val has room. */
typedef struct {
    int length;
    struct sim_batch_entry *entries;
} hpss_stage_batch_t;
typedef struct {
    struct {
        uint32_t List_len;
        bfs_bitfile_obj_handle_t *List_val;
    } List;
} hpss_stage_bitfile_list_t;
typedef struct {
    int32_t Status;      /* of asking: HPSS_ENOTALLMOVED while there is something to move */
    int32_t StageStatus; /* of the stage: 0 there is none, 2 it is in progress */
} hpss_stage_status_t;
typedef struct {
    struct {
        uint32_t StatusList_len;
        hpss_stage_status_t *StatusList_val;
    } StatusList;
} hpss_stage_batch_status_t;
typedef enum { HPSS_STAGE_STATUS_BFS_SS = 163 } hpss_stage_status_type_t;
int API_StageBatchInit(hpss_stage_batch_t *Batch, int Length);
int API_StageBatchInsertBFObj(hpss_stage_batch_t *Batch, int Index, const bfs_bitfile_obj_handle_t *BitfileObj,
                              int FromLevel, int ToLevel, u_signed64 Offset, u_signed64 Length, uint32_t Flags);
void API_StageBatchFree(hpss_stage_batch_t *Batch);
void API_StageStatusFree(hpss_stage_batch_status_t *Status);
int hpss_StageBatchCallBack(hpss_stage_batch_t *Batch, bfs_callback_addr_t *CallBackPtr, hpss_reqid_t *ReqID /* OUT */,
                            hpss_stage_bitfile_list_t *BFIDs, hpss_stage_batch_status_t *Status);
int hpss_GetBatchAsynchStatus(hpss_reqid_t CallBackId, hpss_stage_bitfile_list_t *BFIDs, hpss_stage_status_type_t Type,
                              hpss_stage_batch_status_t *Status);
#endif

int hpss_Purge(int Fildes, u_signed64 Offset, u_signed64 Length, uint32_t StorageLevel, uint32_t Flags,
               u_signed64 *BytesPurged);
int hpss_PurgeLock(int Fildes, purgelock_flag_t Flag);
int hpss_Migrate(int Fildes, uint32_t SrcLevel, uint32_t Flags, u_signed64 *BytesMigrated);

/* Parallel I/O: a coordinator moves a range, participants lend buffers. */
typedef enum { HPSS_PIO_READ = 141, HPSS_PIO_WRITE } hpss_pio_operation_t;
typedef enum { HPSS_PIO_TCPIP = 151, HPSS_PIO_MVR_SELECT } hpss_pio_transport_t;
typedef uint32_t hpss_pio_options_t;
#define HPSS_PIO_HANDLE_GAP 0x100
typedef struct {
    hpss_pio_operation_t Operation;
    uint32_t ClntStripeWidth, BlockSize, FileStripeWidth, IOTimeOutSecs;
    hpss_pio_transport_t Transport;
    hpss_pio_options_t Options;
} hpss_pio_params_t;
typedef struct sim_pio_group *hpss_pio_grp_t;
typedef struct {
    u_signed64 offset, Length;
} hpss_pio_gapinfo_t;
/* Called for each block: writing, fill *Buffer; reading, take it. 0, or a code that ends the transfer. */
typedef int (*hpss_pio_cb_t)(void *Arg, u_signed64 Offset, uint32_t *Length, void **Buffer);
int hpss_PIOStart(hpss_pio_params_t *Params, hpss_pio_grp_t *Group);
int hpss_PIOExportGrp(SIM_CONST hpss_pio_grp_t Group, void **Buffer, unsigned int *Length);
int hpss_PIOImportGrp(SIM_CONST void *Buffer, unsigned int Length, hpss_pio_grp_t *Group);
int hpss_PIORegister(uint32_t StripeElement, SIM_CONST hpss_sockaddr_t *DataNetAddr, void *DataBuffer,
                     uint32_t DataBufLen, hpss_pio_grp_t Group, SIM_CONST hpss_pio_cb_t Callback,
                     SIM_CONST void *CallbackArg);
int hpss_PIOExecute(int Fildes, u_signed64 FileOffset, u_signed64 Size, SIM_CONST hpss_pio_grp_t Group,
                    hpss_pio_gapinfo_t *GapInfo, u_signed64 *BytesMoved);
int hpss_PIOEnd(hpss_pio_grp_t Group);

/* The digest that HPSS keeps of a file. */
typedef enum {
    hpss_hash_type_none = 171,
    hpss_hash_type_sha1,
    hpss_hash_type_sha224,
    hpss_hash_type_sha256,
    hpss_hash_type_sha384,
    hpss_hash_type_sha512,
    hpss_hash_type_md5,
    hpss_hash_type_crc32,
    hpss_hash_type_adler32
} hpss_hash_type_t;
#define HPSS_FILE_HASH_DIGEST_VALID 0x24
#define HPSS_FILE_HASH_GENERATED 0x480
typedef struct {
    hpss_hash_type_t Type;
    unsigned char Buffer[HPSS_MAX_DIGEST]; /* the digest's bytes, not its text */
    uint32_t Flags;
    char Creator[HPSS_MAX_USER_NAME];
} hpss_file_hash_digest_t;
int hpss_FsetFileDigest(int Fildes, hpss_file_hash_digest_t *Digest);
int hpss_FileGetDigestHandle(SIM_CONST ns_ObjHandle_t *ObjHandle, SIM_CONST char *Path, SIM_CONST sec_cred_t *Ucred,
                             hpss_file_hash_digest_t *Digest);

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
int hpss_UserAttrSetAttrsHandle(SIM_CONST ns_ObjHandle_t *ObjHandle, SIM_CONST char *Path,
                                SIM_CONST sec_cred_t *Ucred, SIM_CONST hpss_userattr_list_t *Attr,
                                SIM_CONST char *Schema);
int hpss_UserAttrDeleteAttrsHandle(SIM_CONST ns_ObjHandle_t *ObjHandle, SIM_CONST char *Path,
                                   SIM_CONST sec_cred_t *Ucred, SIM_CONST hpss_userattr_list_t *Attr,
                                   SIM_CONST char *Schema);
#if SIM_VERSION >= 705
int hpss_UserAttrGetAttrs(const char *Path, hpss_userattr_list_t *Attr, int Flag, int XMLSize);
int hpss_UserAttrListAttrs(const char *Path, hpss_userattr_list_t *Attr, int Flags, int XMLSize);
int hpss_UserAttrGetAttrsHandle(const ns_ObjHandle_t *ObjHandle, const char *Path, const sec_cred_t *Ucred,
                                hpss_userattr_list_t *Attr, int Flag, int XMLSize);
#else
int hpss_UserAttrGetAttrsHandle(ns_ObjHandle_t *ObjHandle, char *Path, sec_cred_t *Ucred, hpss_userattr_list_t *Attr,
                                int Flag);
int hpss_UserAttrGetAttrs(char *Path, hpss_userattr_list_t *Attr, int Flag);
int hpss_UserAttrListAttrs(char *Path, hpss_userattr_list_t *Attr, int Flags);
int hpss_UserAttrLenGetAttrs(char *Path, hpss_userattr_list_t *Attr, int Flag, int XMLSize);
int hpss_UserAttrLenListAttrs(char *Path, hpss_userattr_list_t *Attr, int Flags, int XMLSize);
#endif

#endif
