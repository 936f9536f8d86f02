/* SPDX-License-Identifier: MIT */
/* rseq - whether restartable sequences can be used here, and the barrier that aborts them. */
#define _GNU_SOURCE
#include "rseq.h"

#if IOVA_HAS_RSEQ

#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's: where in a thread's block the kernel's area is; 0 bytes where it was not registered. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static bool membarrier(int command, unsigned flags, uint32_t cpu)
{
	int saved = errno;
	long result = syscall(SYS_membarrier, command, flags, cpu);
	errno = saved;
	return result == 0;
}

/*
 * Registering is for good, also for the children of fork(), and may be repeated. The barrier
 * is tried on CPU 0, which is a good number, online or not.
 */
bool rseq_is_there(ptrdiff_t *area)
{
	if (!&__rseq_size || !&__rseq_offset || __rseq_size == 0)
		return false;
	*area = __rseq_offset;
	return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) &&
	       membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, 0);
}

/*
 * Registered, the command does not fail. Where something forbids it after all (a seccomp
 * filter that was set up later), going on would hand ranges out twice.
 */
void rseq_abort_on(uint32_t cpu)
{
	bool all = cpu == RSEQ_ALL_CPUS;
	if (!membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
			all ? 0 : MEMBARRIER_CMD_FLAG_CPU, all ? 0 : cpu))
		abort();
}

#else
/* A translation unit holds something. */
extern const int rseq_is_not_built;
#endif
