// SPDX-License-Identifier: Apache-2.0

#pragma once
#include <cblas.h>

// Declared in OpenBLAS's own header only; Debian's cblas.h carries them, other builds may not.
extern char *openblas_get_config(void);
extern char *openblas_get_corename(void);
extern int openblas_get_parallel(void);
extern int openblas_get_num_threads(void);
extern void openblas_set_num_threads(int num_threads);

// Whether the target has an instruction for a fused multiply-add; without, Swift's addingProduct calls the C library.
#if defined(__FMA__) || defined(__aarch64__)
#define SUITE_HAS_FMA 1
#else
#define SUITE_HAS_FMA 0
#endif
