/* The 64-bit integer of HPSS and its helpers, as they are on a 64-bit machine: a plain integer. */
#ifndef U_SIGNED64_H
#define U_SIGNED64_H

#include <stdint.h>

typedef uint64_t u_signed64;
typedef uint32_t unsigned32;
typedef int32_t signed32;
typedef uint16_t unsigned16;

#define cast64m(low) ((u_signed64)(low))
#define bld64m(high, low) (((u_signed64)(high) << 32) | (u_signed64)(low))
#define high32m(number) ((unsigned32)((number) >> 32))
#define low32m(number) ((unsigned32)((number) & 0xffffffffu))

#endif
