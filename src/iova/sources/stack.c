#include "stack.h"

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
