/* The 64-bit integer of HPSS and its helpers, as they are on a 64-bit machine: a plain integer. */
#ifndef U_SIGNED64_H
#define U_SIGNED64_H

#include <stdint.h>

typedef uint64_t u_signed64;
typedef uint32_t unsigned32;
typedef int32_t signed32;
typedef uint16_t unsigned16;
typedef uint8_t byte;

#define cast64m(low) ((u_signed64)(low))
#define bld64m(high, low) (((u_signed64)(high) << 32) | (u_signed64)(low))
#define high32m(number) ((unsigned32)((number) >> 32))
#define low32m(number) ((unsigned32)((number) & 0xffffffffu))
#define add64m(one, other) ((u_signed64)(one) + (u_signed64)(other))
#define sub64m(one, other) ((u_signed64)(one) - (u_signed64)(other))
#define lt64m(one, other) ((u_signed64)(one) < (u_signed64)(other))
#define gt64(one, other) ((u_signed64)(one) > (u_signed64)(other))
#define eqz64m(number) ((u_signed64)(number) == 0)
#define neqz64m(number) ((u_signed64)(number) != 0)
/* Bits are numbered from the lowest, 0. */
#define orbit64m(number, bit) ((u_signed64)(number) | (u_signed64)1 << (bit))
#define chkbit64m(number, bit) (((u_signed64)(number) >> (bit) & 1) != 0)
#define CONVERT_U64_TO_LONGLONG(from, to) ((to) = (long long)(from))
#define CONVERT_LONGLONG_TO_U64(from, to) ((to) = (u_signed64)(from))

/* The decimal digits of *Number*, in memory of the thread. */
char *u64_to_decchar(u_signed64 Number);

#endif
