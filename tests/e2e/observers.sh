# Recording without our recorder, on 6.12: function entry and return probes, read by other tools.
# Depot lengths are left out: where they are is not the same in every build.

T=/sys/kernel/tracing

observe() {
	echo mono >$T/trace_clock
	echo 30000 >$T/buffer_size_kb
	{
		echo 'f:kprobes/alloc_fast alloc_iova_fast iovad=$arg1:x64 size=$arg2:u32 limit=$arg3:x64 flush=$arg4:u8'
		echo 'f64:kprobes/alloc_fast_ret alloc_iova_fast%return iovad=$arg1:x64 size=$arg2:u32 pfn=$retval:x64'
		echo 'f:kprobes/free_fast free_iova_fast iovad=$arg1:x64 pfn=$arg2:x64 size=$arg3:u32'
		echo 'f64:kprobes/free_fast_ret free_iova_fast%return iovad=$arg1:x64 pfn=$arg2:x64'
		echo 'f:kprobes/tree_alloc alloc_iova iovad=$arg1:x64 size=$arg2:u32 limit=$arg3:x64 align=$arg4:u8'
		echo 'f64:kprobes/tree_alloc_ret alloc_iova%return iovad=$arg1:x64 lo=+32($retval):x64 hi=+24($retval):x64'
		echo 'f:kprobes/tree_free free_iova iovad=$arg1:x64 pfn=$arg2:x64'
		echo 'f:kprobes/tree_remove remove_iova iovad=$arg1:x64 lo=+32($arg2):x64 hi=+24($arg2):x64'
		echo 'f:kprobes/mag_free_pfns iova_magazine_free_pfns mag=$arg1:x64 iovad=$arg2:x64 n=+0($arg1):u32'
		echo 'f:kprobes/free_cpu_cached free_cpu_cached_iovas cpu=$arg1:u32 iovad=$arg2:x64'
		echo 'f:kprobes/put_domain put_iova_domain iovad=$arg1:x64'
		echo 'f:kprobes/fq_timeout fq_flush_timeout'
		echo 'f:kprobes/depot_work iova_depot_work_func work=$arg1:x64 iovad=-8($arg1):x64 depot=-28($arg1):u32'
	} >/tmp/probes
	local probe
	while read -r probe; do
		echo "$probe" >>$T/dynamic_events
	done </tmp/probes
	echo 1 >$T/events/kprobes/enable
	echo 1 >$T/events/iommu/unmap/enable
}

observed() { # FILE: the ring buffer as trace-cmd keeps it
	echo 0 >$T/tracing_on
	cat $T/per_cpu/cpu*/stats | grep -E 'overrun|dropped' | grep -v ': 0$' && return 1
	trace-cmd extract -o "$1" >/dev/null
}
