/* SPDX-License-Identifier: MIT */
#include "red_black.h"

static bool is_red(const struct record *record)
{
	return record && record->red;
}

static bool side_of(const struct record *record)
{
	return record->parent->child[1] == record;
}

/* `child` takes the place of `record` under its parent. */
static void replace(struct red_black *tree, struct record *record, struct record *child)
{
	struct record *parent = record->parent;
	if (!parent)
		tree->root = child;
	else
		parent->child[side_of(record)] = child;
	if (child)
		child->parent = parent;
}

/* The record goes down to that side; its child of the other side takes its place. */
static void rotate(struct red_black *tree, struct record *record, bool side)
{
	struct record *up = record->child[!side];
	struct record *moved = up->child[side];
	replace(tree, record, up);
	record->child[!side] = moved;
	if (moved)
		moved->parent = record;
	up->child[side] = record;
	record->parent = up;
}

struct record *red_black_next(const struct record *record, bool above)
{
	struct record *next = record->child[above];
	if (next) {
		while (next->child[!above])
			next = next->child[!above];
		return next;
	}
	while (record->parent && side_of(record) == above)
		record = record->parent;
	return record->parent;
}

struct record *red_black_find(const struct red_black *tree, uint64_t pfn)
{
	struct record *record = tree->root;
	while (record) {
		if (pfn < record->lo)
			record = record->child[0];
		else if (pfn > record->hi)
			record = record->child[1];
		else
			return record;
	}
	return NULL;
}

/* ------------------------------------------------------------------------- linking */

/* The record is red; so may its parent be. */
static void settle_red(struct red_black *tree, struct record *record)
{
	while (is_red(record->parent)) {
		struct record *parent = record->parent, *grandparent = parent->parent;
		bool side = side_of(parent);
		struct record *uncle = grandparent->child[!side];
		if (is_red(uncle)) {
			parent->red = uncle->red = false;
			grandparent->red = true;
			record = grandparent;
			continue;
		}
		if (side_of(record) != side) {
			rotate(tree, parent, side);
			parent = record;
		}
		parent->red = false;
		grandparent->red = true;
		rotate(tree, grandparent, !side);
		break;
	}
	tree->root->red = false;
}

void red_black_link(struct red_black *tree, struct record *record, struct record *neighbour,
		    bool above)
{
	struct record *parent = neighbour;
	bool side = above;
	if (neighbour && neighbour->child[above]) {
		parent = red_black_next(neighbour, above);
		side = !above;
	}
	record->parent = parent;
	record->child[0] = record->child[1] = NULL;
	record->red = true;
	if (parent)
		parent->child[side] = record;
	else
		tree->root = record;
	settle_red(tree, record);
}

/* ----------------------------------------------------------------------- unlinking */

/* Paths through parent's child on that side have one black record less than the others. */
static void settle_missing_black(struct red_black *tree, struct record *parent, bool side)
{
	while (!is_red(parent->child[side])) {
		struct record *sibling = parent->child[!side];
		if (sibling->red) {
			sibling->red = false;
			parent->red = true;
			rotate(tree, parent, side);
			sibling = parent->child[!side];
		}
		if (!is_red(sibling->child[0]) && !is_red(sibling->child[1])) {
			sibling->red = true;
			if (!parent->parent)
				return;
			side = side_of(parent);
			parent = parent->parent;
			continue;
		}
		if (!is_red(sibling->child[!side])) {
			sibling->child[side]->red = false;
			sibling->red = true;
			rotate(tree, sibling, !side);
			sibling = parent->child[!side];
		}
		sibling->red = parent->red;
		parent->red = sibling->child[!side]->red = false;
		rotate(tree, parent, side);
		return;
	}
	parent->child[side]->red = false;
}

/* The record has at most one child. */
static void splice_out(struct red_black *tree, struct record *record)
{
	struct record *child = record->child[0] ? record->child[0] : record->child[1];
	struct record *parent = record->parent;
	bool side = parent && side_of(record), red = is_red(record);
	replace(tree, record, child);
	if (red)
		return;
	if (is_red(child))
		child->red = false;
	else if (parent)
		settle_missing_black(tree, parent, side);
}

/* `other`, which is in no tree, takes the record's place. */
static void stand_in(struct red_black *tree, struct record *record, struct record *other)
{
	replace(tree, record, other);
	other->red = record->red;
	for (int side = 0; side < 2; side++) {
		other->child[side] = record->child[side];
		if (other->child[side])
			other->child[side]->parent = other;
	}
}

void red_black_unlink(struct red_black *tree, struct record *record)
{
	if (!record->child[0] || !record->child[1]) {
		splice_out(tree, record);
		return;
	}
	struct record *next = red_black_next(record, true);
	splice_out(tree, next);
	stand_in(tree, record, next);
}

/* ------------------------------------------------------------------------ checking */

static unsigned black_below(const struct record *record)
{
	if (!record)
		return 1;
	unsigned below[2];
	for (int side = 0; side < 2; side++) {
		const struct record *child = record->child[side];
		if (child && (child->parent != record || (record->red && child->red) ||
			      (side ? child->lo <= record->hi : child->hi >= record->lo)))
			return 0;
		below[side] = black_below(child);
	}
	if (below[0] != below[1] || below[0] == 0)
		return 0;
	return below[0] + !is_red(record);
}

unsigned red_black_check(const struct red_black *tree)
{
	return is_red(tree->root) ? 0 : black_below(tree->root);
}
