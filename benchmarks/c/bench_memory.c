/* SPDX-License-Identifier: MIT */
/*
 * What an idle domain costs: resident memory of the process a domain, and the library's own
 * count. `fresh`: opened. `served`: each served an allocation and its free, on one CPU.
 *
 * usage: bench_memory LIBIOVA_SO DOMAINS CPUS DESIGN
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "iova.h"

static struct {
	const struct iova_design *(*design_named)(const char *);
	enum iova_status (*open)(const struct iova_live_config *, iova_live **);
	void (*destroy)(iova_live *);
	enum iova_status (*alloc)(iova_live *, uint64_t, uint64_t, uint64_t, uint64_t *);
	enum iova_status (*free)(iova_live *, uint64_t, uint64_t);
	enum iova_status (*read)(iova_live *, struct iova_live_stats *);
} api;

static void look_up(void *library, const char *name, void *function, size_t bytes)
{
	void *symbol = dlsym(library, name);
	must(symbol != NULL, name);
	memcpy(function, &symbol, bytes);
}

static void load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	must(library != NULL, "libiova could not be loaded");
	look_up(library, "iova_design_named", &api.design_named, sizeof(api.design_named));
	look_up(library, "iova_live_open", &api.open, sizeof(api.open));
	look_up(library, "iova_live_destroy", &api.destroy, sizeof(api.destroy));
	look_up(library, "iova_live_alloc", &api.alloc, sizeof(api.alloc));
	look_up(library, "iova_live_free", &api.free, sizeof(api.free));
	look_up(library, "iova_live_read", &api.read, sizeof(api.read));
}

static double resident_bytes(void)
{
	unsigned long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	must(file && fscanf(file, "%lu %lu", &size, &resident) == 2, "no /proc/self/statm");
	fclose(file);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void serve_one(iova_live *live)
{
	uint64_t address;
	must(api.alloc(live, 4096, UINT64_MAX, 0, &address) == IOVA_OK, "no range");
	must(api.free(live, address, 4096) == IOVA_OK, "not freed");
}

static double counted_bytes(iova_live **lives, size_t domains)
{
	double sum = 0;
	for (size_t i = 0; i < domains; i++) {
		struct iova_live_stats stats;
		must(api.read(lives[i], &stats) == IOVA_OK, "no statistics");
		sum += (double)stats.memory_bytes;
	}
	return sum;
}

static void tell(const char *when, iova_live **lives, size_t domains, double before)
{
	double resident = resident_bytes() - before;
	report(when, "resident", resident / (double)domains);
	report(when, "as counted by the library", counted_bytes(lives, domains) / (double)domains);
}

static void measure(const struct iova_live_config *config, size_t domains)
{
	iova_live **lives = calloc(domains, sizeof(iova_live *));
	must(lives != NULL, "no memory");
	for (size_t i = 0; i < domains; i++) /* touched before it is counted */
		*(iova_live *volatile *)&lives[i] = NULL;
	double before = resident_bytes();
	for (size_t i = 0; i < domains; i++)
		must(api.open(config, &lives[i]) == IOVA_OK, "no live domain");
	tell("fresh", lives, domains, before);
	for (size_t i = 0; i < domains; i++)
		serve_one(lives[i]);
	tell("served", lives, domains, before);
	for (size_t i = 0; i < domains; i++)
		api.destroy(lives[i]);
	free(lives);
}

int main(int count, char **arguments)
{
	must(count == 5, "usage: bench_memory LIBIOVA_SO DOMAINS CPUS DESIGN");
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	must(sched_setaffinity(0, sizeof(one), &one) == 0, "CPU 0 is not to be had");
	load(arguments[1]);
	struct iova_live_config config = { .cpus = (uint32_t)atoi(arguments[3]),
					   .design = api.design_named(arguments[4]) };
	must(config.design != NULL, "no such design");
	measure(&config, (size_t)atoll(arguments[2]));
	return 0;
}
