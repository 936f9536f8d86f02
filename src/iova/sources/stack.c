#include "stack.h"

#include <string.h>

struct open_call stack_remove(struct cpu_calls *cpu, int at)
{
    const struct open_call call = cpu->open[at];

    cpu->depth--;
    if (at < cpu->depth)
        memmove(&cpu->open[at], &cpu->open[at + 1], (size_t)(cpu->depth - at) * sizeof(cpu->open[0]));
    return call;
}

bool stack_push(struct cpu_calls *cpu, const struct open_call *call, struct open_call *dropped)
{
    const bool full = cpu->depth == STACK_DEPTH;

    if (full)
        *dropped = stack_remove(cpu, 0);
    cpu->open[cpu->depth++] = *call;
    return full;
}

int stack_find(const struct cpu_calls *cpu, unsigned kind, uint32_t pid)
{
    int of_any_pid = -1;

    for (int i = cpu->depth - 1; i >= 0; i--) {
        if (cpu->open[i].kind != kind)
            continue;
        if (cpu->open[i].pid == pid)
            return i;
        if (of_any_pid < 0)
            of_any_pid = i;
    }
    return of_any_pid;
}
