# Loads for a guest of `guest.py`, in bash; each says what it does and how long it took. Counts are
# requests for each job, and a job is a process of fio.
# What reads nothing from a disk costs the emulator least: reads of zeros, writes thrown away.

say() { echo "LOAD $(cut -d' ' -f1 /proc/uptime) $*"; }

io() { # NAME DEVICE OPTIONS...
	say "$1 ${*:3}"
	fio --name="$1" --filename="/dev/$2" --direct=1 --ioengine=libaio --norandommap=1 \
		--eta=never --output-format=terse --output="/tmp/fio-$1" "${@:3}"
}

devices() { # waits until every named block device is there
	local name
	for name; do
		for ((i = 0; i < 120; i++)); do
			[ -b "/dev/$name" ] && continue 2
			sleep 0.5
		done
		echo "no /dev/$name after 60 s" >&2
		return 1
	done
}

drivers() { # all disks; their domains are born here
	load nvme ahci sd_mod virtio_blk
	devices nvme0n1 nvme1n1 sda vda
	local name
	for name in /sys/block/nvme*; do # which one answers slowly is not in its name
		case $(cat "$name/device/serial") in
		fast*) FAST=${name##*/} ;;
		slow*) SLOW=${name##*/} ;;
		esac
	done
}

mixed() { # COUNT: NVMe and SATA at once, 4 KiB to 384 KiB
	io sata sda --rw=randrw --iodepth=16 --numjobs=2 --number_ios=$(($1 / 8)) \
		--bssplit=4k/25:16k/15:64k/20:128k/15:192k/10:256k/10:384k/5 &
	io nvme "$FAST" --rw=randrw --rwmixread=70 --iodepth=32 --numjobs=4 --number_ios="$1" \
		--bssplit=4k/30:8k/10:16k/15:32k/15:64k/15:128k/15
	wait $!
	wait
}

large() { # COUNT: up to 1 MiB in one mapping, which takes pages that lie side by side
	echo 32 >/proc/sys/vm/nr_hugepages
	mkdir -p /tmp/huge
	mount -t hugetlbfs huge /tmp/huge
	io large vda --rw=randread --iodepth=4 --number_ios="$1" --iomem=mmaphuge:/tmp/huge/buffer \
		--bssplit=4k/10:128k/20:132k/20:256k/20:512k/15:1m/15
	umount /tmp/huge
}

pinned() { # COUNT: a submitter on each CPU; NVMe completes where it was submitted
	local last=$(($(nproc) - 1))
	io pinned "$FAST" --rw=randread --bs=4k --iodepth=32 --numjobs=$((last + 1)) --number_ios="$1" \
		--cpus_allowed=0-$last --cpus_allowed_policy=split
}

elsewhere() { # COUNT: a submitter on each CPU; the disk has one interrupt, so one CPU completes
	local last=$(($(nproc) - 1))
	io elsewhere sda --rw=randread --bssplit=4k/70:16k/30 --iodepth=8 --numjobs=$((last + 1)) \
		--number_ios="$1" --cpus_allowed=0-$last --cpus_allowed_policy=split
}

bursts() { # COUNT DEPTH: that many requests in flight on each CPU at once, then quiet, COUNT times
	local i
	for ((i = 0; i < $1; i++)); do
		io burst "$SLOW" --rw=randread --bs=4k --iodepth="$2" --iodepth_batch_submit="$2" \
			--iodepth_batch_complete_min="$2" --numjobs="$(nproc)" --number_ios="$2"
		say quiet
		sleep 3
	done
}

traffic() { # COUNT: a file over the network card so many times
	say network
	network
	fetch "$1"
}

hotplug() { # CPU COUNT: taken offline under load, and back
	say "CPU $1 offline"
	io hotplug "$FAST" --rw=randread --bs=4k --iodepth=32 --numjobs=2 --number_ios="$2" &
	sleep 1
	echo 0 >"/sys/devices/system/cpu/cpu$1/online"
	wait $!
	io hotplug "$FAST" --rw=randread --bs=4k --iodepth=32 --numjobs=2 --number_ios="$2"
	echo 1 >"/sys/devices/system/cpu/cpu$1/online"
}

rebind() { # TYPE COUNT: the fast NVMe's driver is unbound, its domain's type changed, and bound again
	local address
	address=$(basename "$(readlink -f "/sys/block/$FAST/device/device")")
	say "rebind $address as $1"
	echo "$address" >/sys/bus/pci/drivers/nvme/unbind
	echo "$1" >"/sys/bus/pci/devices/$address/iommu_group/type"
	echo "$address" >/sys/bus/pci/drivers/nvme/bind
	sleep 2
	drivers
	io rebound "$FAST" --rw=randread --bs=4k --iodepth=32 --numjobs=2 --number_ios="$2"
}

# What the probes of a second observer count, apart from the recorder's. Where the recorder's are
# breakpoints, these are, too, just past the tracer's hook: a probe that rides on the function tracer
# leaves interrupts on while it is handled, and breakpoints that one of those meets are missed.
COUNTED="alloc_iova_fast free_iova_fast alloc_iova free_iova remove_iova iova_magazine_free_pfns
iova_depot_work_func put_iova_domain"

count() {
	local name past=+5
	if grep -q 'f\[:' /sys/kernel/tracing/README; then past=; fi
	mkdir /sys/kernel/tracing/instances/count
	echo 64 >/sys/kernel/tracing/instances/count/buffer_size_kb
	for name in $COUNTED; do
		grep -q " $name\$" /proc/kallsyms || continue # the depot's work is not in every kernel
		echo "p:count/$name $name$past" >>/sys/kernel/tracing/kprobe_events
	done
	echo 1 >/sys/kernel/tracing/instances/count/events/count/enable
}

counted() { # FILE: name, hits, missed
	sed 's/^ *//' /sys/kernel/tracing/kprobe_profile | grep -E "^($(echo $COUNTED | tr ' ' '|')) " >"$1"
	echo 0 >/sys/kernel/tracing/instances/count/events/count/enable
	local name
	for name in $COUNTED; do
		grep -q "count/$name " /sys/kernel/tracing/kprobe_events || continue
		echo "-:count/$name" >>/sys/kernel/tracing/kprobe_events
	done
	rmdir /sys/kernel/tracing/instances/count
}
