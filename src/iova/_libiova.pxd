# cython: language_level=3
"""What the binding uses of libiova."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t


cdef extern from "iova.h" nogil:
    ctypedef bint cbool "bool"

    const uint64_t IOVA_NEVER
    const uint64_t IOVA_AUTO
    const uint32_t IOVA_MAX_CLASSES
    const uint32_t IOVA_MAGAZINE_LEAST
    const uint32_t IOVA_MAGAZINE_MOST
    const uint32_t IOVA_BEYOND_CLASSES
    const uint32_t IOVA_MAX_PARAMS

    ctypedef enum iova_status "enum iova_status":
        IOVA_OK
        IOVA_NO_SPACE
        IOVA_NO_MEMORY
        IOVA_INVALID
        IOVA_NOT_FOUND
        IOVA_DOUBLE_FREE
        IOVA_NOT_ALLOCATED
        IOVA_SIZE_MISMATCH
        IOVA_RESERVED
        IOVA_OVER_BUDGET
        IOVA_FLUSH_NEEDED
        IOVA_CLOSED

    const char *iova_status_text(iova_status status)
    const char *iova_version()

    ctypedef struct iova_range "struct iova_range":
        uint64_t lo
        uint64_t hi

    ctypedef enum iova_memory_kind "enum iova_memory_kind":
        IOVA_MEMORY_MAGAZINE
        IOVA_MEMORY_TREE

    ctypedef struct iova_memory "struct iova_memory":
        void *(*allocate)(void *context, iova_memory_kind kind, size_t size, size_t alignment) noexcept
        void (*release)(void *context, iova_memory_kind kind, void *block, size_t size) noexcept
        cbool (*admit_range)(void *context) noexcept
        void *context

    const iova_memory *iova_memory_heap()

    ctypedef struct iova_view "struct iova_view":
        uint64_t now
        uint32_t size_class
        uint32_t classes
        uint32_t cpus_online
        uint32_t cpus_possible
        uint64_t depot
        uint64_t depot_low
        uint64_t pushed
        uint64_t popped
        uint64_t tree_allocated
        uint64_t tree_freed
        uint64_t depot_cached
        uint32_t magazine
        const iova_domain *domain

    ctypedef struct iova_decision "struct iova_decision":
        uint64_t release
        uint64_t keep
        uint64_t again_ns
        uint32_t trim_count
        uint32_t *trim
        uint32_t magazine

    ctypedef struct iova_cpu_view "struct iova_cpu_view":
        uint32_t loaded
        uint32_t previous
        cbool has_loaded
        cbool has_previous
        uint64_t hits_loaded
        uint64_t hits_previous
        uint64_t hits_depot
        uint64_t puts

    ctypedef struct iova_param "struct iova_param":
        const char *name
        const char *unit
        const char *help
        uint64_t minimum
        uint64_t maximum
        uint64_t initial
        const char *automatic

    ctypedef struct iova_mechanism "struct iova_mechanism":
        uint64_t depot_max
        uint64_t arm_delay_ns
        cbool magazines_at_first_use
        cbool arm_by_growth
        cbool bail
        cbool unbound
        cbool indexed
        uint32_t magazine
        uint32_t classes
        uint32_t tree_batch
        uint64_t empties_max

    ctypedef struct iova_design "struct iova_design":
        const char *name
        const char *summary
        const iova_param *params
        uint32_t param_count
        void (*setup)(const iova_design *design, const uint64_t *values,
                      const iova_config *config, iova_mechanism *mechanism) noexcept
        void (*look)(const iova_design *design, void *state, const uint64_t *values,
                     const iova_view *view, iova_decision *decision) noexcept nogil
        size_t state_size
        size_t cpu_state_size
        void *user

    const iova_design *iova_design_at(uint32_t index)
    const iova_design *iova_design_named(const char *name)

    ctypedef struct iova_domain:
        pass

    ctypedef struct iova_config "struct iova_config":
        uint64_t granule
        uint64_t start_pfn
        uint32_t cpus_possible
        uint32_t cpus_online
        uint32_t classes
        const iova_design *design
        const uint64_t *params
        const iova_memory *memory
        cbool count_steps

    iova_status iova_create(const iova_config *config, iova_domain **domain)
    void iova_destroy(iova_domain *domain)
    iova_status iova_make_caches(iova_domain *domain)
    iova_status iova_reserve(iova_domain *domain, uint64_t lo, uint64_t hi, iova_range *result)
    uint64_t iova_alloc(iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t limit,
                        cbool flush)
    void iova_free(iova_domain *domain, uint32_t cpu, uint64_t pfn, uint64_t size, uint64_t now)
    iova_status iova_alloc_raw(iova_domain *domain, uint64_t size, uint64_t limit, cbool align,
                               iova_range *result)
    iova_status iova_free_raw(iova_domain *domain, uint64_t pfn)
    iova_status iova_find(const iova_domain *domain, uint64_t pfn, iova_range *result)
    void iova_flush_caches(iova_domain *domain)
    uint32_t iova_cpu_offline(iova_domain *domain, uint32_t cpu)
    uint32_t iova_cpu_online(iova_domain *domain, uint32_t cpu)
    uint64_t iova_next_deadline(const iova_domain *domain)
    uint64_t iova_class_deadline(const iova_domain *domain, uint32_t size_class)
    uint64_t iova_run_due(iova_domain *domain, uint64_t now)
    void iova_run_class(iova_domain *domain, uint32_t size_class, uint64_t now)

    ctypedef struct iova_counters "struct iova_counters":
        uint64_t hits_loaded
        uint64_t hits_previous
        uint64_t hits_depot
        uint64_t tree_allocations
        uint64_t tree_frees
        uint64_t tree_steps
        uint64_t failures
        uint64_t puts
        uint64_t magazines_allocated
        uint64_t magazines_freed
        uint64_t pushed
        uint64_t popped
        uint64_t reclaimed
        uint64_t trimmed
        uint64_t armed
        uint64_t found_armed
        uint64_t runs
        uint64_t depot
        uint64_t depot_peak
        uint64_t cached

    iova_counters iova_read_counters(const iova_domain *domain, uint32_t size_class)
    iova_cpu_view iova_read_cpu(const iova_domain *domain, uint32_t cpu, uint32_t size_class)

    ctypedef struct iova_totals "struct iova_totals":
        uint64_t ranges
        uint64_t pages
        uint64_t tree_bytes
        uint64_t magazines
        uint64_t magazines_peak
        uint64_t warnings
        uint64_t runs

    iova_totals iova_read_totals(const iova_domain *domain)
    const char *iova_check(const iova_domain *domain)

    ctypedef struct iova_span "struct iova_span":
        uint64_t first
        uint64_t last

    ctypedef struct iova_live_config "struct iova_live_config":
        const iova_span *windows
        size_t window_count
        const iova_span *reserved
        size_t reserved_count
        uint64_t granule
        const iova_design *design
        const uint64_t *params
        uint32_t classes
        uint32_t cpus
        uint64_t budget
        cbool unchecked
        cbool allow_zero
        cbool (*on_flush)(void *context) noexcept nogil
        void *context
        const iova_memory *memory

    ctypedef enum iova_place "enum iova_place":
        IOVA_PLACE_FREE
        IOVA_PLACE_LIVE
        IOVA_PLACE_DEFERRED
        IOVA_PLACE_RESERVED

    ctypedef struct iova_live_stats "struct iova_live_stats":
        uint64_t live
        uint64_t live_bytes
        uint64_t deferred
        uint64_t cached
        uint64_t cached_bytes
        uint64_t free_bytes
        uint64_t largest_gap_bytes
        uint64_t flushes
        uint64_t budget
        uint64_t memory_bytes
        iova_totals totals


cdef extern from "magazine.h" nogil:
    ctypedef struct magazine "struct magazine":
        uint32_t count
        uint32_t capacity
        uintptr_t link
        uint64_t *pfn

    const uint32_t IOVA_MAGAZINE_CAPACITY


cdef extern from "range_index.h" nogil:
    ctypedef struct index_path "struct index_path":
        pass

    ctypedef struct range_index "struct range_index":
        pass

    void index_seek(const range_index *index, uint64_t pfn, index_path *path)
    cbool index_next(const range_index *index, index_path *path)
    iova_range index_range(const index_path *path)


cdef extern from "sync.h" nogil:
    ctypedef struct mutex "struct mutex":
        pass

    void mutex_acquire(mutex *lock)
    void mutex_release(mutex *lock)


cdef extern from "live_front.h" nogil:
    cbool live_can_have_fronts()


cdef extern from "live_fast.h" nogil:
    ctypedef struct reservations "struct reservations":
        iova_range *ranges
        size_t count

    ctypedef struct iova_live "struct iova_live":
        iova_domain *domain
        uint8_t shift
        uint32_t classes
        uint32_t cpus
        cbool checked
        uint64_t top
        reservations reserved
        cbool clock_stopped
        uint64_t stopped_at

    ctypedef enum live_op "enum live_op":
        LIVE_OP_ALLOC
        LIVE_OP_FREE
        LIVE_OP_PLACE
        LIVE_OP_REMOVE
        LIVE_OP_RESERVE
        LIVE_OP_DEFER
        LIVE_OP_FLUSH_CACHES

    ctypedef struct live_event "struct live_event":
        live_op op
        iova_status status
        uint32_t cpu
        uint64_t began
        uint64_t ended
        uint64_t size
        uint64_t limit
        uint64_t pfn
        uint64_t last

    ctypedef struct live_recorder "struct live_recorder":
        void (*record)(void *context, const live_event *event) noexcept nogil
        void *context

    iova_status live_open(const iova_live_config *config, cbool linux_exact, iova_live **live)
    cbool live_destroy(iova_live *live)
    void lock_tree(iova_live *live)
    void unlock_tree(iova_live *live)
    void live_set_recorder(iova_live *live, const live_recorder *recorder)
    uint32_t platform_cpu_quick()
    cbool quick_alloc_here(iova_live *live, uint64_t size, uint64_t limit, uint64_t align,
                           uint64_t *address)
    cbool quick_free_here(iova_live *live, uint64_t address, uint64_t size)
    cbool quick_alloc(iova_live *live, uint32_t cpu, uint64_t size, uint64_t limit,
                      uint64_t align, uint64_t *address)
    cbool quick_free(iova_live *live, uint32_t cpu, uint64_t address, uint64_t size)
    iova_status live_alloc_in_full(iova_live *live, uint32_t cpu, uint64_t size, uint64_t limit,
                                   uint64_t align, uint64_t *address)
    iova_status live_free_in_full(iova_live *live, uint32_t cpu, uint64_t address, uint64_t size)
    iova_status iova_live_alloc_many(iova_live *live, size_t n, uint64_t size, uint64_t limit,
                                     uint64_t *addresses)
    iova_status iova_live_free_many(iova_live *live, size_t n, const uint64_t *addresses,
                                    uint64_t size, size_t *bad)
    iova_status iova_live_alloc_at(iova_live *live, uint64_t address, uint64_t size)
    iova_status iova_live_reserve(iova_live *live, uint64_t first, uint64_t last)
    iova_place iova_live_find(iova_live *live, uint64_t address, iova_span *span)
    iova_status iova_live_defer(iova_live *live, uint64_t address, uint64_t size,
                                uint64_t *ticket)
    iova_status iova_live_flushed(iova_live *live, uint64_t ticket)
    iova_status iova_live_flush_caches(iova_live *live)
    iova_status iova_live_read(iova_live *live, iova_live_stats *stats)
    iova_counters iova_live_counters(iova_live *live, uint32_t size_class)
    size_t iova_live_ranges(iova_live *live, iova_span *spans, size_t room)
    void iova_live_close(iova_live *live)
    cbool reclaimer_stop(uint64_t timeout_ns)


cdef extern from "depot.h" nogil:
    magazine *link_magazine(uintptr_t link)
    uint32_t link_capacity(uintptr_t link)


cdef extern from "domain.h" nogil:
    ctypedef struct depot "struct depot":
        uintptr_t head
        uint64_t length

    ctypedef struct rcache "struct rcache":
        depot depot

    ctypedef struct cpu_cache "struct cpu_cache":
        magazine *loaded
        magazine *previous

    ctypedef struct range_tree "struct range_tree":
        range_index index
        uint64_t start
        uint64_t d32
        uint64_t give_up
        iova_range near
        iova_range near32

    # The same struct as iova_domain, with its inside shown.
    ctypedef struct inner_domain "struct iova_domain":
        cpu_cache *caches
        uint32_t classes
        uint32_t cpus_possible
        uint32_t cpus_online
        range_tree tree
        rcache *rcache

    cpu_cache *cpu_cache_of(const inner_domain *domain, uint32_t cpu, uint32_t size_class)
    void magazine_drain(inner_domain *domain, uint32_t size_class, magazine *mag)
    magazine *job_take(inner_domain *domain, uint32_t size_class, uint64_t keep)
    void job_finish(inner_domain *domain, uint32_t size_class, magazine *mag)


cdef extern from "replay.h" nogil:
    ctypedef enum replay_status "enum replay_status":
        REPLAY_OK
        REPLAY_NO_MEMORY

    const char *replay_status_text(replay_status status)

    ctypedef struct replay_events "struct replay_events":
        size_t count
        const int64_t *t
        const uint16_t *cpu
        const uint8_t *op
        const uint8_t *flags
        const uint32_t *domain
        const uint64_t *size
        const uint64_t *limit
        const uint64_t *pfn
        const uint64_t *last
        const uint32_t *slot
        const uint32_t *n
        uint64_t *result

    ctypedef struct replay_domain_config "struct replay_domain_config":
        uint64_t granule
        uint64_t start_pfn

    ctypedef struct replay_config "struct replay_config":
        uint32_t cpus_possible
        uint32_t cpus_online
        uint32_t classes
        const uint64_t *params
        uint32_t domain_count
        const replay_domain_config *domains
        const iova_design *const *designs
        cbool recorded_reclaim
        cbool count_steps
        int64_t sample_ns
        size_t max_samples
        uint32_t table_every
        cbool sample_cpus
        uint32_t cpu_rows
        uint32_t map_bins
        uint64_t map_first
        uint64_t map_last
        const iova_memory *memory
        const cbool *stop

    ctypedef struct replay_sample "struct replay_sample":
        int64_t t

    ctypedef struct replay_totals "struct replay_totals":
        uint64_t events
        uint64_t calls
        uint64_t allocations
        uint64_t frees
        uint64_t failed
        uint64_t skipped_frees
        int64_t t_first
        int64_t t_last
        uint64_t live_pages
        uint64_t live_pages_peak
        uint64_t cached_pages
        uint64_t cached_pages_peak
        uint64_t live_ranges
        uint64_t live_ranges_peak
        uint64_t ranges_peak
        uint64_t magazines_peak
        uint64_t linux_bytes_peak
        uint64_t depot_peak
        double cached_page_ns
        double depot_ns
        uint64_t warnings
        uint64_t runs
        uint64_t domains

    ctypedef struct replay "struct replay":
        pass

    replay_status replay_create(const replay_config *config, replay **result)
    void replay_destroy(replay *r)
    replay_status replay_feed(replay *r, const replay_events *events, size_t *row)
    replay_status replay_advance(replay *r, int64_t t)
    replay_totals replay_read_totals(const replay *r)
    iova_counters replay_read_counters(const replay *r, uint32_t size_class)
    size_t replay_sample_count(const replay *r)
    const replay_sample *replay_samples(const replay *r)
    uint32_t replay_cpu_rows(const replay_config *config)
    size_t replay_table_count(const replay *r)
    const uint32_t *replay_cpu_pages(const replay *r)
    const uint32_t *replay_maps(const replay *r)


cdef extern from "machine.h" nogil:
    ctypedef struct machine_prices "struct machine_prices":
        uint64_t alloc_hit
        uint64_t free_hit
        uint64_t swap
        uint64_t lock
        uint64_t line
        uint64_t line_far
        uint64_t line_ahead
        uint64_t line_ahead_far
        uint64_t depot
        uint64_t magazine_new
        uint64_t magazine_free
        uint64_t scan
        uint64_t tree_alloc
        uint64_t tree_free
        uint64_t tree_step
        uint64_t tree_step_far
        uint64_t tree_level
        uint64_t tree_level_far
        uint64_t tree_near
        uint64_t index_alloc
        uint64_t index_free
        uint64_t queue
        uint64_t job

    const uint32_t MACHINE_QUANTILES
    const uint32_t MACHINE_BUCKETS
    const uint32_t MACHINE_MIN_ROOM
    const uint64_t MACHINE_END

    ctypedef enum machine_limit "enum machine_limit":
        pass

    ctypedef enum machine_queue_rule "enum machine_queue_rule":
        pass

    ctypedef struct machine_size "struct machine_size":
        uint64_t pages
        uint32_t weight

    ctypedef struct machine_flow "struct machine_flow":
        uint32_t domain
        uint32_t domains
        uint32_t submitters
        uint32_t depth
        const uint16_t *submit_cpus
        uint32_t submit_cpu_count
        const uint16_t *complete_cpus
        uint32_t queues
        uint32_t in_flight
        cbool resubmit_there
        const uint64_t *think
        const uint64_t *latency
        uint64_t service
        uint64_t submit_work
        uint64_t complete_work
        const machine_size *sizes
        uint32_t size_count
        uint64_t limit
        machine_limit limit_rule
        uint64_t on
        uint64_t off
        uint64_t migrate
        uint64_t rebind
        uint64_t start
        uint32_t leak_every
        uint32_t wrong_every
        uint64_t wrong_pages

    ctypedef struct machine_domain "struct machine_domain":
        uint64_t granule
        uint64_t start_pfn
        const iova_range *reserved
        uint32_t reserved_count
        cbool lazy
        cbool single_ring
        machine_queue_rule queue_rule
        uint64_t flush
        uint32_t stall_every
        uint64_t stall

    ctypedef struct machine_config "struct machine_config":
        uint32_t cpus_possible
        uint32_t cpus_online
        uint32_t classes
        uint32_t cpus_per_node
        const uint64_t *params
        uint32_t domain_count
        uint32_t flow_count
        const machine_domain *domains
        const iova_design *const *designs
        const machine_flow *flows
        machine_prices prices
        cbool indexed
        uint64_t seed
        int64_t sample_ns
        size_t max_samples
        uint32_t table_every
        cbool sample_cpus
        uint32_t cpu_rows
        uint32_t map_bins
        uint64_t map_first
        uint64_t map_last
        const cbool *stop

    ctypedef enum machine_source "enum machine_source":
        MACHINE_ALLOC
        MACHINE_FREE
        MACHINE_RECLAIM
        MACHINE_TIMER

    ctypedef enum machine_lock "enum machine_lock":
        MACHINE_LOCK_CPU
        MACHINE_LOCK_DEPOT
        MACHINE_LOCK_TREE
        MACHINE_LOCK_RING

    ctypedef struct machine_lock_totals "struct machine_lock_totals":
        uint64_t taken
        uint64_t waited
        uint64_t wait
        uint64_t wait_longest
        uint64_t held
        uint64_t held_longest

    ctypedef struct machine_totals "struct machine_totals":
        uint64_t now
        uint64_t operations
        uint64_t requests
        uint64_t failed
        uint64_t leaked
        uint64_t wrong
        uint64_t lines
        uint64_t lines_far
        uint64_t cpu[4]
        uint64_t busy
        machine_lock_totals lock[4]
        uint64_t alloc_longest
        uint64_t free_longest
        uint64_t timer_runs
        uint64_t timer_longest
        uint64_t job_runs
        uint64_t job_longest
        uint64_t flushes
        uint64_t flushed_in_vain
        uint64_t lost
        uint64_t queued
        uint64_t queued_peak
        uint64_t rebinds

    ctypedef struct machine_sample "struct machine_sample":
        uint64_t operations
        uint64_t requests
        uint64_t cpu[4]
        uint64_t wait[4]
        uint64_t queued
        uint64_t lost

    ctypedef struct machine_events "struct machine_events":
        size_t room
        size_t count
        uint64_t *seq
        int64_t *t
        int64_t *t_end
        uint16_t *cpu
        uint8_t *op
        uint8_t *flags
        uint32_t *domain
        uint32_t *slot
        uint64_t *size
        uint64_t *limit
        uint64_t *pfn
        uint64_t *last

    ctypedef struct machine "struct machine":
        pass

    replay_status machine_create(const machine_config *config, machine **result)
    void machine_destroy(machine *m)
    replay_status machine_run(machine *m, uint64_t until, uint64_t operations,
                              machine_events *events, cbool *done)
    machine_totals machine_read_totals(const machine *m)
    const replay *machine_replay(const machine *m)
    const machine_sample *machine_samples(const machine *m)
    const uint64_t *machine_handovers(const machine *m)
    const uint64_t *machine_alloc_times(const machine *m)
    const uint64_t *machine_free_times(const machine *m)
