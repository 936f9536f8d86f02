#include "calls.h"

#include <stdlib.h>
#include <string.h>

#include "stack.h"

/* What this CPU is in the middle of; NULL: no memory. */
static struct cpu_calls *cpu_of(struct calls *calls, unsigned cpu)
{
    if (!calls->cpus[cpu])
        calls->cpus[cpu] = calloc(1, sizeof(struct cpu_calls));
    return calls->cpus[cpu];
}

/* ---------------------------------------------------------------- slots */

/* Doubles an array that is full. False: no memory; the array is as before. */
static bool make_room(void **array, size_t *capacity, size_t count, size_t width)
{
    if (count < *capacity)
        return true;
    const size_t bigger = *capacity ? *capacity * 2 : 256;
    void *moved = realloc(*array, bigger * width);
    if (!moved)
        return false;
    *array = moved;
    *capacity = bigger;
    return true;
}

/* A slot, or NO_SLOT_TAKEN without memory. The pile of spare slots always has room for all of them. */
static int64_t slot_take(struct calls *calls)
{
    if (calls->spare_count)
        return calls->spare_slots[--calls->spare_count];
    void *pile = calls->spare_slots;
    const bool fits = make_room(&pile, &calls->spare_capacity, calls->next_slot, sizeof(uint32_t));
    calls->spare_slots = pile;
    return fits && calls->next_slot < TABLE_EMPTY ? (int64_t)calls->next_slot++ : NO_SLOT_TAKEN;
}

static void slot_give_back(struct calls *calls, uint32_t slot)
{
    calls->spare_slots[calls->spare_count++] = slot;
}

/* ---------------------------------------------------------------- rows */

static struct row add_row(struct calls *calls, const struct record *r, enum op op, uint32_t domain)
{
    const struct row row = rows_add(&calls->rows, r->t, r->cpu, op);

    row_set_domain(row, domain);
    return row;
}

/* ---------------------------------------------------------------- domains */

enum domain_use { USE_KNOWN, USE_CALL, USE_CREATION };

/* The number of the domain at this address now. A call after the teardown means another domain than what the
 * teardown itself still does. */
static enum calls_outcome domain_of(struct calls *calls, uint64_t iovad, enum domain_use use, uint32_t *number,
                                    const char **problem)
{
    const uint32_t known = table_get(&calls->numbers, iovad, 0);
    uint32_t before;

    *number = known;
    if (known != TABLE_EMPTY && use != USE_CREATION && !(use == USE_CALL && calls->domains[known].destroyed))
        return CALLS_OK;
    if (calls->domain_count == CALLS_MAX_DOMAINS) {
        *problem = "there are more domains than any system has";
        return CALLS_MALFORMED;
    }
    void *domains = calls->domains;
    const bool fits = make_room(&domains, &calls->domain_capacity, calls->domain_count, sizeof(*calls->domains));
    calls->domains = domains;
    *number = (uint32_t)calls->domain_count;
    if (!fits || !table_put(&calls->numbers, iovad, 0, *number, &before))
        return CALLS_NO_MEMORY;
    calls->domains[calls->domain_count++] = (struct domain_seen){.iovad = iovad, .start = 1, .granule = 4096};
    return CALLS_OK;
}

static void take_init(struct calls *calls, const struct record *r, uint32_t number)
{
    struct domain_seen *domain = &calls->domains[number];

    domain->born = true;
    domain->granule = (uint32_t)r->v[1];
    domain->start = r->v[2];
    if (calls->unmap_granule == 0)
        calls->unmap_granule = domain->granule;
    calls->mixed_granules |= calls->unmap_granule != domain->granule;
    row_set_pfn(add_row(calls, r, OP_CREATE, number), r->v[2]);
    add_row(calls, r, OP_MAKE_CACHES, number);
}

/* ---------------------------------------------------------------- open calls */

static void abandon(struct calls *calls, const struct open_call *call)
{
    calls->counts.open_entries++;
    if (call->kind == KIND_ALLOC)
        slot_give_back(calls, (uint32_t)call->slot);
}

static void open_call(struct calls *calls, struct cpu_calls *cpu, const struct open_call *call)
{
    struct open_call dropped;

    if (stack_push(cpu, call, &dropped))
        abandon(calls, &dropped);
}

static bool agrees(const struct record *r, const struct open_call *call)
{
    if (r->has & HAS_V0 && r->v[0] != call->iovad)
        return false;
    if (r->kind == KIND_ALLOC_RET)
        return !(r->has & HAS_V1) || r->v[1] == call->size;
    if (r->kind == KIND_FREE_RET)
        return !(r->has & HAS_V2) || r->v[2] == call->pfn;
    return true;
}

/* Abandons the calls above this one; if its pid is that of the return, only those of the same pid. */
static void abandon_above(struct calls *calls, struct cpu_calls *cpu, int at, uint32_t pid)
{
    const bool all = cpu->open[at].pid != pid;

    for (int above = cpu->depth - 1; above > at; above--) {
        if (all || cpu->open[above].pid == pid) {
            const struct open_call call = stack_remove(cpu, above);
            abandon(calls, &call);
        }
    }
}

/* Closes the call this return belongs to; its row has no block if it is not in the trace. */
static enum calls_outcome close_call(struct calls *calls, struct cpu_calls *cpu, const struct record *r,
                                     unsigned kind, struct open_call *closed, const char **problem)
{
    const int at = stack_find(cpu, kind, r->pid);

    closed->row.block = NULL;
    if (at < 0) {
        calls->counts.returns_without_entry++;
        return CALLS_OK;
    }
    if (!agrees(r, &cpu->open[at])) {
        *problem = "this return does not agree with the call that is open on its CPU";
        return CALLS_MALFORMED;
    }
    abandon_above(calls, cpu, at, r->pid);
    *closed = stack_remove(cpu, at);
    row_set_end(closed->row, r->t);
    return CALLS_OK;
}

/* ---------------------------------------------------------------- allocations and frees */

static enum calls_outcome take_alloc(struct calls *calls, struct cpu_calls *cpu, const struct record *r, uint32_t domain)
{
    const int64_t slot = slot_take(calls);

    if (slot == NO_SLOT_TAKEN)
        return CALLS_NO_MEMORY;
    const struct row row = add_row(calls, r, OP_ALLOC, domain);
    row_set_size(row, r->v[1]);
    row_set_limit(row, r->v[2]);
    row_set_depot(row, r);
    if (r->has & FLAG_SET)
        row_set_flag(row, FLAG_FLUSH_RETRY);
    cpu->dead_cpu = 0;
    open_call(calls, cpu,
              &(struct open_call){.row = row, .iovad = r->v[0], .size = r->v[1], .slot = slot, .pid = r->pid,
                                  .domain = domain, .kind = KIND_ALLOC});
    return CALLS_OK;
}

static enum calls_outcome take_alloc_ret(struct calls *calls, struct cpu_calls *cpu, const struct record *r,
                                         const char **problem)
{
    struct open_call call;
    const enum calls_outcome outcome = close_call(calls, cpu, r, KIND_ALLOC, &call, problem);
    uint32_t before;

    if (outcome != CALLS_OK || !call.row.block)
        return outcome;
    const uint32_t slot = (uint32_t)call.slot;
    if (r->v[2] == 0) {
        slot_give_back(calls, slot);
        return CALLS_OK;
    }
    row_set_pfn(call.row, r->v[2]);
    row_set_slot(call.row, slot);
    if (!table_put(&calls->live, r->v[2], call.domain, slot, &before))
        return CALLS_NO_MEMORY;
    calls->counts.allocs_of_live += before != TABLE_EMPTY;
    return CALLS_OK;
}

static void take_free(struct calls *calls, struct cpu_calls *cpu, const struct record *r, uint32_t domain)
{
    const struct row row = add_row(calls, r, OP_FREE, domain);
    const uint32_t slot = table_take(&calls->live, r->v[2], domain);

    row_set_size(row, r->v[1]);
    row_set_pfn(row, r->v[2]);
    row_set_depot(row, r);
    if (slot != TABLE_EMPTY) {
        row_set_slot(row, slot);
        slot_give_back(calls, slot);
    } else {
        calls->counts.frees_without_alloc++;
    }
    open_call(calls, cpu,
              &(struct open_call){.row = row, .iovad = r->v[0], .pfn = r->v[2], .slot = NO_SLOT_TAKEN, .pid = r->pid,
                                  .domain = domain, .kind = KIND_FREE});
}

static enum calls_outcome take_free_ret(struct calls *calls, struct cpu_calls *cpu, const struct record *r,
                                        const char **problem)
{
    struct open_call call;
    const enum calls_outcome outcome = close_call(calls, cpu, r, KIND_FREE, &call, problem);

    if (outcome != CALLS_OK || !call.row.block)
        return outcome;
    cpu->has_closed_free = true;
    cpu->closed_free_row = call.row;
    cpu->closed_free_domain = call.domain;
    cpu->closed_free_pfn = call.pfn;
    return CALLS_OK;
}

/* ---------------------------------------------------------------- inside the tree */

static void take_tree_alloc(struct calls *calls, struct cpu_calls *cpu, const struct record *r, uint32_t domain)
{
    const struct open_call *outer = stack_top(cpu);
    const struct row row = add_row(calls, r, OP_TREE_ALLOC, domain);

    row_set_size(row, r->v[1]);
    row_set_limit(row, r->v[2]);
    if (r->has & FLAG_SET)
        row_set_flag(row, FLAG_ALIGN);
    if (outer && outer->kind == KIND_ALLOC && outer->domain == domain)
        row_set_flag(outer->row, FLAG_REACHED_TREE);
    else
        calls->counts.tree_calls_outside++;
    open_call(calls, cpu,
              &(struct open_call){.row = row, .iovad = r->v[0], .slot = NO_SLOT_TAKEN, .pid = r->pid, .domain = domain,
                                  .kind = KIND_TREE_ALLOC});
}

static enum calls_outcome take_tree_alloc_ret(struct calls *calls, struct cpu_calls *cpu, const struct record *r,
                                              const char **problem)
{
    struct open_call call;
    const enum calls_outcome outcome = close_call(calls, cpu, r, KIND_TREE_ALLOC, &call, problem);
    const bool has_range = (r->has & (HAS_V1 | HAS_V2)) == (HAS_V1 | HAS_V2);
    const bool failed = r->has & HAS_V3 && r->v[3] == 0;

    if (outcome == CALLS_OK && call.row.block && has_range && !failed)
        row_set_range(call.row, r->v[1], r->v[2]);
    return outcome;
}

/* A free can end by jumping to its last callee: its return then stands before this. */
static void take_tree_free(struct calls *calls, struct cpu_calls *cpu, const struct record *r, uint32_t domain)
{
    const struct open_call *outer = stack_top(cpu);

    row_set_pfn(add_row(calls, r, OP_TREE_FREE, domain), r->v[2]);
    if (outer && outer->kind == KIND_FREE && outer->domain == domain && outer->pfn == r->v[2])
        row_set_flag(outer->row, FLAG_REACHED_TREE);
    else if (cpu->has_closed_free && cpu->closed_free_domain == domain && cpu->closed_free_pfn == r->v[2])
        row_set_flag(cpu->closed_free_row, FLAG_REACHED_TREE);
}

/* ---------------------------------------------------------------- reclaim */

/* Index of this work among its domain's, or -1: more than a domain has. */
static int work_of(struct domain_seen *domain, uint64_t address)
{
    for (int i = 0; i < domain->work_count; i++) {
        if (domain->works[i] == address)
            return i;
    }
    if (domain->work_count == CALLS_WORKS)
        return -1;
    domain->works[domain->work_count] = address;
    domain->orders[domain->work_count] = ORDER_UNKNOWN;
    return domain->work_count++;
}

static bool run_continues(const struct cpu_calls *cpu, const struct record *r, uint32_t domain, enum run_stage stage)
{
    return cpu->run.stage == stage && cpu->run.domain == domain && cpu->run.pid == r->pid &&
           cpu->run.depth == cpu->depth;
}

static enum calls_outcome take_depot_work(struct calls *calls, struct cpu_calls *cpu, const struct record *r,
                                          uint32_t domain)
{
    struct domain_seen *seen = &calls->domains[domain];
    const struct row row = add_row(calls, r, OP_RECLAIM, domain);
    const int work = work_of(seen, r->v[1]);

    row_set_n(row, (uint32_t)r->v[2]);
    cpu->run.stage = RUN_NONE;
    if (work < 0) {
        seen->too_many_works = true;
        calls->counts.unnumbered_runs++;
        return CALLS_OK;
    }
    void *runs = calls->runs;
    const bool fits = make_room(&runs, &calls->run_capacity, calls->run_count, sizeof(*calls->runs));
    calls->runs = runs;
    if (!fits)
        return CALLS_NO_MEMORY;
    calls->runs[calls->run_count++] = (struct reclaim_run){.row = calls->rows.count - 1, .domain = domain, .work = (uint8_t)work};
    cpu->run = (struct open_run){RUN_STARTED, domain, r->pid, cpu->depth, (uint8_t)work};
    return CALLS_OK;
}

static void take_magazine_free(struct calls *calls, struct cpu_calls *cpu, const struct record *r, uint32_t domain)
{
    row_set_n(add_row(calls, r, OP_MAGAZINE_FREE, domain), (uint32_t)r->v[1]);
    if (run_continues(cpu, r, domain, RUN_STARTED))
        cpu->run.stage = r->v[1] ? RUN_EMPTIES : RUN_NONE;
}

static int order_of(uint64_t size)
{
    for (int order = 0; order < CALLS_WORKS; order++) {
        if (size == 1ULL << order)
            return order;
    }
    return ORDER_UNKNOWN;
}

static void learn_order(struct calls *calls, struct cpu_calls *cpu, const struct record *r)
{
    int8_t *known = &calls->domains[cpu->run.domain].orders[cpu->run.work];
    const int order = order_of(r->v[2] - r->v[1] + 1);

    cpu->run.stage = RUN_NONE;
    if (*known == ORDER_UNKNOWN)
        *known = (int8_t)order;
    else if (*known != order)
        *known = ORDER_CONTRADICTED;
}

static void take_tree_remove(struct calls *calls, struct cpu_calls *cpu, const struct record *r, uint32_t domain)
{
    const struct open_call *outer = stack_top(cpu);

    row_set_range(add_row(calls, r, OP_TREE_REMOVE, domain), r->v[1], r->v[2]);
    if (outer && outer->kind == KIND_FREE && outer->domain == domain)
        row_set_flag(outer->row, FLAG_REACHED_TREE);
    if (run_continues(cpu, r, domain, RUN_EMPTIES))
        learn_order(calls, cpu, r);
}

/* ---------------------------------------------------------------- the rest */

/* An allocation that fails empties every CPU's caches before it tries again, by the same function as an offline CPU. */
static bool is_flush_step(struct cpu_calls *cpu, const struct record *r)
{
    const struct open_call *outer = stack_top(cpu);

    return outer && outer->kind == KIND_ALLOC && outer->row.block->flags[outer->row.at] & FLAG_FLUSH_RETRY &&
           cpu->dead_cpu != r->v[1] + 1;
}

static void take_free_cpu(struct calls *calls, struct cpu_calls *cpu, const struct record *r, uint32_t domain)
{
    cpu->run.stage = RUN_NONE;
    if (is_flush_step(cpu, r))
        calls->counts.flush_steps++;
    else
        row_set_n(add_row(calls, r, OP_CPU_OFFLINE, domain), (uint32_t)r->v[1]);
}

static void take_unmap(struct calls *calls, const struct record *r)
{
    const uint64_t granule = calls->unmap_granule ? calls->unmap_granule : 4096;
    const struct row row = rows_add(&calls->rows, r->t, r->cpu, OP_UNMAP);

    row_set_range(row, r->v[1] / granule, (r->v[2] - 1) / granule);
}

static enum domain_use use_of(unsigned kind)
{
    switch (kind) {
    case KIND_INIT:
        return USE_CREATION;
    case KIND_ALLOC:
    case KIND_FREE:
    case KIND_TREE_ALLOC:
    case KIND_RESERVE:
        return USE_CALL;
    default:
        return USE_KNOWN;
    }
}

static enum calls_outcome take_with_domain(struct calls *calls, struct cpu_calls *cpu, const struct record *r,
                                           uint32_t domain)
{
    switch (r->kind) {
    case KIND_INIT:
        take_init(calls, r, domain);
        break;
    case KIND_RESERVE:
        row_set_range(add_row(calls, r, OP_RESERVE, domain), r->v[1], r->v[2]);
        break;
    case KIND_ALLOC:
        return take_alloc(calls, cpu, r, domain);
    case KIND_FREE:
        take_free(calls, cpu, r, domain);
        break;
    case KIND_TREE_ALLOC:
        take_tree_alloc(calls, cpu, r, domain);
        break;
    case KIND_TREE_FREE:
        take_tree_free(calls, cpu, r, domain);
        break;
    case KIND_TREE_REMOVE:
        take_tree_remove(calls, cpu, r, domain);
        break;
    case KIND_MAGAZINE_FREE:
        take_magazine_free(calls, cpu, r, domain);
        break;
    case KIND_DEPOT_WORK:
        return take_depot_work(calls, cpu, r, domain);
    case KIND_FREE_CPU:
        take_free_cpu(calls, cpu, r, domain);
        break;
    case KIND_PUT_DOMAIN:
        calls->domains[domain].destroyed = true;
        cpu->run.stage = RUN_NONE;
        add_row(calls, r, OP_DESTROY, domain);
        break;
    default:
        break;
    }
    return CALLS_OK;
}

enum calls_outcome calls_take(struct calls *calls, const struct record *r, const char **problem)
{
    struct cpu_calls *cpu = cpu_of(calls, r->cpu);
    uint32_t domain;

    if (!cpu || !rows_reserve(&calls->rows))
        return CALLS_NO_MEMORY;
    switch (r->kind) {
    case KIND_ALLOC_RET:
        return take_alloc_ret(calls, cpu, r, problem);
    case KIND_FREE_RET:
        return take_free_ret(calls, cpu, r, problem);
    case KIND_TREE_ALLOC_RET:
        return take_tree_alloc_ret(calls, cpu, r, problem);
    case KIND_UNMAP:
        take_unmap(calls, r);
        return CALLS_OK;
    case KIND_FLUSH_TIMER:
        rows_add(&calls->rows, r->t, r->cpu, OP_FLUSH_TIMER);
        return CALLS_OK;
    case KIND_CPU_DEAD:
        cpu->dead_cpu = (uint32_t)r->v[1] + 1;
        cpu->run.stage = RUN_NONE;
        return CALLS_OK;
    default:
        break;
    }
    const enum calls_outcome outcome = domain_of(calls, r->v[0], use_of(r->kind), &domain, problem);
    return outcome == CALLS_OK ? take_with_domain(calls, cpu, r, domain) : outcome;
}

void calls_finish(struct calls *calls)
{
    for (int i = 0; i < LINE_MAX_CPUS; i++) {
        while (calls->cpus[i] && calls->cpus[i]->depth)
            abandon(calls, &calls->cpus[i]->open[--calls->cpus[i]->depth]);
    }
}

bool calls_init(struct calls *calls, uint64_t seed)
{
    memset(calls, 0, sizeof(*calls));
    return table_init(&calls->numbers, seed) && table_init(&calls->live, seed);
}

void calls_free(struct calls *calls)
{
    for (int i = 0; i < LINE_MAX_CPUS; i++)
        free(calls->cpus[i]);
    rows_free(&calls->rows);
    free(calls->domains);
    free(calls->runs);
    free(calls->spare_slots);
    table_free(&calls->numbers);
    table_free(&calls->live);
}
