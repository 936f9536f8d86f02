/* SPDX-License-Identifier: MIT */
/*
 * The shared library, given by its path, is loaded, used until its background thread runs,
 * and closed, again and again: the thread must not find its code gone.
 */
#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "iova.h"

#define TIMES 5
#define PAGE 4096

/* The few functions this needs, by name: dlsym() gives addresses of data. */
static void find(void *library, const char *name, void *function)
{
	void *address = dlsym(library, name);
	memcpy(function, &address, sizeof(address));
}

static bool flush(void *context)
{
	(void)context;
	return true;
}

static int use(void *library)
{
	enum iova_status (*open)(const struct iova_live_config *, iova_live **);
	enum iova_status (*alloc)(iova_live *, uint64_t, uint64_t, uint64_t, uint64_t *);
	enum iova_status (*defer)(iova_live *, uint64_t, uint64_t, uint64_t *);
	void (*destroy)(iova_live *);
	const struct iova_live_config config = { .on_flush = flush };
	iova_live *live;
	uint64_t address, ticket;
	find(library, "iova_live_open", &open);
	find(library, "iova_live_alloc", &alloc);
	find(library, "iova_live_defer", &defer);
	find(library, "iova_live_destroy", &destroy);
	if (!open || !alloc || !defer || !destroy || open(&config, &live) != IOVA_OK)
		return 1;
	/* A deferred free wakes the background thread, 10 ms from now. */
	if (alloc(live, PAGE, UINT64_MAX, 0, &address) != IOVA_OK ||
	    defer(live, address, PAGE, &ticket) != IOVA_OK)
		return 1;
	destroy(live);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 0; i < TIMES; i++) {
		void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
		if (!library || use(library) != 0) {
			fprintf(stderr, "the library can not be loaded and used: %s\n",
				argc == 2 ? dlerror() : "give its path");
			return 1;
		}
		dlclose(library);
		usleep(30000);
	}
	return 0;
}
