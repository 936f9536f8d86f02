/* SPDX-License-Identifier: MIT */
/*
 * A user-space driver, in small: how a driver uses an IOVA domain of libiova.
 *
 * The driver of a network card keeps a ring of receive buffers. Each buffer needs an I/O
 * virtual address (IOVA): the library finds one, the IOMMU maps it, the device uses it.
 * With VFIO the two calls to the IOMMU would be VFIO_IOMMU_MAP_DMA and UNMAP_DMA; here
 * they are a small table, so that the example runs anywhere.
 *
 *     cc driver.c $(pkg-config --cflags --libs iova) -o driver && ./driver
 *
 * It prints what stands in driver.out.
 */
#include <inttypes.h>
#include <iova.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------- an IOMMU, as far as a driver sees it */

#define MOST_MAPPINGS 64

static struct mapping {
	uint64_t iova, size;
	char *memory;
} mappings[MOST_MAPPINGS];
static unsigned mapped;

static void iommu_map(uint64_t iova, char *memory, uint64_t size)
{
	if (mapped == MOST_MAPPINGS)
		abort();
	mappings[mapped++] = (struct mapping){ iova, size, memory };
}

/* What the device may still have in its IOTLB is usable until the next flush. */
static void iommu_unmap(uint64_t iova)
{
	for (unsigned i = 0; i < mapped; i++)
		if (mappings[i].iova == iova)
			mappings[i] = mappings[--mapped];
}

static void iommu_flush_iotlb(void)
{
	/* Nothing to do: this IOMMU has no cache. */
}

/* The device writes through the IOMMU. */
static int device_writes(uint64_t iova, const char *text)
{
	for (unsigned i = 0; i < mapped; i++) {
		if (iova >= mappings[i].iova && iova - mappings[i].iova < mappings[i].size) {
			strcpy(mappings[i].memory + (iova - mappings[i].iova), text);
			return 1;
		}
	}
	return 0; /* a fault */
}

/* -------------------------------------------------------------------------- the driver */

#define BUFFERS 8
#define BUFFER_BYTES 8192 /* whole pages: an IOMMU maps nothing less */

static struct buffer {
	uint64_t iova;
	char memory[BUFFER_BYTES];
} ring[BUFFERS];

static iova_live *domain;

/* Most errors of a driver are its own mistakes: say what was wrong, and stop. */
static void must(enum iova_status status, const char *what)
{
	if (status == IOVA_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, iova_status_text(status));
	exit(1);
}

static void open_domain(void)
{
	/*
	 * Ask the IOMMU which addresses it can translate: VFIO_IOMMU_GET_INFO reports the
	 * windows in its IOVA range capability, iommufd with IOMMU_IOAS_IOVA_RANGES. On
	 * x86 there are two, for addresses at 0xfee00000 are interrupts and not memory.
	 */
	static const struct iova_span windows[] = {
		{ 0x1000, 0xfedfffff },
		{ 0xfef00000, (UINT64_C(1) << 39) - 1 },
	};
	/* This device's boot ROM is at a fixed place that must not be used. */
	static const struct iova_span reserved[] = { { 0x7ffff00000, 0x7fffffffff } };
	const struct iova_live_config config = {
		.windows = windows,
		.window_count = 2,
		.reserved = reserved,
		.reserved_count = 1,
		.budget = 65535, /* VFIO's limit of mappings */
	};
	must(iova_live_open(&config, &domain), "open");
}

/* Give every buffer of the ring an address, and let the device use it. */
static void fill_ring(void)
{
	for (unsigned i = 0; i < BUFFERS; i++) {
		struct buffer *buffer = &ring[i];
		/* No limit, and no alignment beyond that of two pages. */
		must(iova_live_alloc(domain, BUFFER_BYTES, UINT64_MAX, 0, &buffer->iova), "alloc");
		iommu_map(buffer->iova, buffer->memory, BUFFER_BYTES);
		printf("buffer %u at %#" PRIx64 "\n", i, buffer->iova);
	}
}

/* An old device on the same IOMMU drives 32 address lines only. */
static void use_a_device_of_32_bits(void)
{
	static char memory[4096];
	uint64_t iova;
	must(iova_live_alloc(domain, sizeof(memory), UINT32_MAX, 0, &iova), "alloc below 4 GiB");
	printf("the old device's page at %#" PRIx64 "\n", iova);
	iommu_map(iova, memory, sizeof(memory));
	iommu_unmap(iova);
	/* Unmapped, and flushed at once: the address is free again when this returns. */
	iommu_flush_iotlb();
	must(iova_live_free(domain, iova, sizeof(memory)), "free");
}

/* A completion or a fault names an address: which buffer is that? */
static void look_up(uint64_t address)
{
	struct iova_span span;
	switch (iova_live_find(domain, address, &span)) {
	case IOVA_PLACE_LIVE:
		for (unsigned i = 0; i < BUFFERS; i++)
			if (ring[i].iova == span.first)
				printf("%#" PRIx64 " is byte %" PRIu64 " of buffer %u\n", address,
				       address - span.first, i);
		break;
	case IOVA_PLACE_RESERVED:
		printf("%#" PRIx64 " is reserved, or outside the windows\n", address);
		break;
	case IOVA_PLACE_DEFERRED:
		printf("%#" PRIx64 " is unmapped and waits for an IOTLB flush\n", address);
		break;
	case IOVA_PLACE_FREE:
		printf("%#" PRIx64 " is nobody's\n", address);
		break;
	}
}

/*
 * Flushing the IOTLB costs microseconds, so one flush should serve many frees. A range that
 * is given to iova_live_defer() is not handed out again before the flush that follows.
 */
static uint64_t free_after_flush(uint64_t iova)
{
	uint64_t ticket;
	enum iova_status status = iova_live_defer(domain, iova, BUFFER_BYTES, &ticket);
	if (status == IOVA_FLUSH_NEEDED) {
		/*
		 * 255 frees wait, or one for 10 ms: time to flush. A domain opened with an
		 * on_flush function calls that instead, and never asks for it here.
		 */
		iommu_flush_iotlb();
		must(iova_live_flushed(domain, ticket), "flushed");
		status = iova_live_defer(domain, iova, BUFFER_BYTES, &ticket);
	}
	must(status, "defer");
	return ticket;
}

static void drain_ring(void)
{
	uint64_t ticket = 0, last = ring[BUFFERS - 1].iova;
	for (unsigned i = 0; i < BUFFERS; i++) {
		iommu_unmap(ring[i].iova);
		ticket = free_after_flush(ring[i].iova);
	}
	look_up(last);
	/* A flush that begins now covers all tickets up to the last: one for the batch. */
	iommu_flush_iotlb();
	must(iova_live_flushed(domain, ticket), "flushed");
	look_up(last);
}

/* A domain checks frees, so a mistake is told and does no harm. */
static void make_mistakes(void)
{
	uint64_t iova;
	must(iova_live_alloc(domain, BUFFER_BYTES, UINT64_MAX, 0, &iova), "alloc");
	printf("wrong size: %s\n", iova_status_text(iova_live_free(domain, iova, 100000)));
	printf("not its start: %s\n", iova_status_text(iova_live_free(domain, iova + 4096, 0)));
	must(iova_live_free(domain, iova, BUFFER_BYTES), "free");
	printf("twice: %s\n", iova_status_text(iova_live_free(domain, iova, BUFFER_BYTES)));
}

static void print_figures(void)
{
	struct iova_live_stats stats;
	must(iova_live_read(domain, &stats), "read");
	printf("%" PRIu64 " of %" PRIu64 " mappings, %" PRIu64 " bytes\n", stats.live, stats.budget,
	       stats.live_bytes);
}

int main(void)
{
	open_domain();
	fill_ring();
	use_a_device_of_32_bits();
	printf("the device writes: %s\n", device_writes(ring[3].iova + 100, "hello") ? "ok" : "fault");
	printf("buffer 3 holds \"%s\"\n", ring[3].memory + 100);
	look_up(ring[3].iova + 100);
	look_up(0xfee00000);
	print_figures();
	drain_ring();
	printf("the device writes: %s\n", device_writes(ring[3].iova, "late") ? "ok" : "fault");
	make_mistakes();
	print_figures();
	/* No other thread uses the domain any more. */
	iova_live_destroy(domain);
	return 0;
}
