/* SPDX-License-Identifier: MIT */
/*
 * rseq_steps - stop a restartable sequence before any one of its instructions.
 *
 * A debugger can not step through a sequence: every stop aborts it. So the instructions
 * that an operation executes are recorded while its domain works with a made-up rseq area,
 * at which the kernel does not look. Then a breakpoint is put on one of them. It raises a
 * signal, with the thread's own area in use; the kernel aborts the sequence before the
 * signal's handler runs, and there the test can do what another thread of that CPU might
 * have done meanwhile.
 */
#ifndef RSEQ_STEPS_H
#define RSEQ_STEPS_H

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"
#include "live_front.h"

#define MAX_STEPS 96u

/* Instructions of sequences in the order of execution, and some before and after. */
struct steps {
	uintptr_t at[MAX_STEPS];
	size_t count;
};

/* A made-up rseq area. */
struct made_up_area {
	_Alignas(32) uint32_t cpu_id_start;
	uint32_t cpu_id;
	uint64_t sequence;
	uint64_t rest[2];
};

enum stop { NOT_REACHED, ABORTED, NOT_ABORTED };

#define TRAP_FLAG UINT64_C(0x100)
#define BREAKPOINT 0xccu

/* The kernel's struct rseq_cs. */
struct descriptor {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

/* All descriptors of the program, from the linker. */
extern const struct descriptor __start___rseq_cs[], __stop___rseq_cs[];

static struct {
	struct steps *recording;
	uint8_t *breakpoint; /* NULL: none is planted */
	uint8_t saved;
	void (*intrude)(void *context);
	void *context;
	enum stop stop;
} state;

/* Bytes before and after a sequence whose instructions are recorded too. */
#define MARGIN 64u

static bool is_near(const struct descriptor *one, uintptr_t at)
{
	return at - one->start + MARGIN <= one->length + 2 * MARGIN;
}

static bool is_near_any(uintptr_t at)
{
	for (const struct descriptor *one = __start___rseq_cs; one < __stop___rseq_cs; one++)
		if (is_near(one, at))
			return true;
	return false;
}

static const struct descriptor *descriptor_of(uintptr_t at)
{
	for (const struct descriptor *one = __start___rseq_cs; one < __stop___rseq_cs; one++)
		if (at - one->start < one->length)
			return one;
	return NULL;
}

/* Whether the kernel must abort there: a sequence has begun and has not stored. */
static bool steps_is_inside(uintptr_t at)
{
	return descriptor_of(at) != NULL;
}

/* ------------------------------------------------------------------------- areas */

static char *thread_pointer(void)
{
	char *thread;
	__asm__("movq %%fs:0, %0" : "=r"(thread));
	return thread;
}

/* The domain works with a made-up area; until steps_use_own_area(). */
static void steps_use_area(iova_live *live, struct made_up_area *area)
{
	live->site.area = (ptrdiff_t)((uintptr_t)area - (uintptr_t)thread_pointer());
}

static void steps_use_own_area(iova_live *live)
{
	CHECK(rseq_is_there(&live->site.area));
}

/* --------------------------------------------------------------------- the signal */

static void record_step(uintptr_t at)
{
	if (!is_near_any(at))
		return;
	CHECK(state.recording->count < MAX_STEPS);
	state.recording->at[state.recording->count++] = at;
}

static void stop_here(greg_t *ip)
{
	uintptr_t at = (uintptr_t)state.breakpoint;
	*state.breakpoint = state.saved;
	state.breakpoint = NULL;
	/* Past the breakpoint, if nobody changed it. */
	state.stop = (uintptr_t)*ip == at + 1 ? NOT_ABORTED : ABORTED;
	if (state.stop == NOT_ABORTED)
		*ip = (greg_t)at;
	else
		CHECK_EQ(*ip, descriptor_of(at)->abort);
	state.intrude(state.context);
}

static void on_trap(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	if (state.recording)
		record_step((uintptr_t)registers[REG_RIP]);
	else if (state.breakpoint)
		stop_here(&registers[REG_RIP]);
}

static void catch_traps(void)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER };
	CHECK_EQ(sigaction(SIGTRAP, &action, NULL), 0);
}

/* ------------------------------------------------------------------------- running */

/* What operation(context) executes of sequences. Its domain must work with a made-up area. */
static struct steps steps_of(void (*operation)(void *context), void *context)
{
	struct steps steps = { .count = 0 };
	catch_traps();
	state.recording = &steps;
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
	operation(context);
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~TRAP_FLAG);
	state.recording = NULL;
	return steps;
}

static void make_writable(uintptr_t at)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = at & ~(page - 1);
	CHECK_EQ(mprotect((void *)first, page, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
}

/*
 * Run operation(context), stop it once where `at` says and run intrude(context) there;
 * whether the kernel had aborted a sequence.
 */
static enum stop steps_stop_at(uintptr_t at, void (*operation)(void *context),
			       void (*intrude)(void *context), void *context)
{
	catch_traps();
	make_writable(at);
	state.stop = NOT_REACHED;
	state.intrude = intrude;
	state.context = context;
	state.breakpoint = (uint8_t *)at;
	state.saved = *state.breakpoint;
	*state.breakpoint = BREAKPOINT;
	operation(context);
	if (state.breakpoint)
		*state.breakpoint = state.saved;
	state.breakpoint = NULL;
	return state.stop;
}

#endif
