// SPDX-License-Identifier: Apache-2.0

// Includes the file KERNEL once for each kind of CPU, with
//   LANES    floats of a vector
//   NAME(x)  x with the kind's suffix
//   TARGET   what the compiler may use in a function
// and vectors (vectors.h). `TARGET INLINE` marks what is part of its callers, in debug builds as well.
#define INLINE static inline __attribute__((always_inline))
// What is inlined hands over its vectors in no way that a kind of CPU could change.
#pragma clang diagnostic ignored "-Wpsabi"
#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 16
#define NAME(x) x##_512
#define TARGET __attribute__((target("avx512f,fma")))
#include "vectors.h"
#include KERNEL
#undef LANES
#undef NAME
#undef TARGET

#define LANES 8
#define NAME(x) x##_256
#define TARGET __attribute__((target("avx2,fma")))
#include "vectors.h"
#include KERNEL
#undef LANES
#undef NAME
#undef TARGET
#endif

#define LANES 8
#define NAME(x) x##_any
#define TARGET
#include "vectors.h"
#include KERNEL
#undef LANES
#undef NAME
#undef TARGET

// Calls the kernel for vectors of 16, or the best for vectors of 8.
#if defined(__x86_64__)
#define CALL(lanes, x, ...)                                                            \
  do {                                                                                 \
    if ((lanes) == 16) x##_512(__VA_ARGS__);                                           \
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))          \
      x##_256(__VA_ARGS__);                                                            \
    else x##_any(__VA_ARGS__);                                                         \
  } while (0)
#else
#define CALL(lanes, x, ...) x##_any(__VA_ARGS__)
#endif
