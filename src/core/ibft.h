/* SPDX-License-Identifier: BSD-2-Clause */
/* The firmware's table of iSCSI targets (iBFT), as Linux shows it below /sys/firmware/ibft: a
 * directory with the subdirectories `initiator`, `ethernetN` and `targetN`, each with a small file
 * a value. Blocks that the firmware did not mark as valid (bit 0 of `flags`) are left out, and so
 * are targets without a name, which firmware leaves to DHCP.
 *
 * Nothing in it is trusted: every file is bounded, links below the directory are not followed, and
 * only regular files are read. Names of targets are not checked here. */
#ifndef ISCSIFS_IBFT_H
#define ISCSIFS_IBFT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define IBFT_DEFAULT_PATH "/sys/firmware/ibft"
#define IBFT_VALUE_MAX 4096 /* bytes of a file: a page, as in sysfs */
#define IBFT_BLOCKS_MAX 64  /* of each kind; the format has room for two */

struct ibft_nic {
	unsigned number; /* N of ethernetN */
	/* As the firmware has them; NULL: not told. */
	char *mac, *address, *mask, *gateway, *dns, *vlan;
	bool is_here; /* @address is one of this host's now */
};

enum ibft_chap { IBFT_CHAP_NONE, IBFT_CHAP, IBFT_CHAP_MUTUAL };

struct ibft_target {
	unsigned number; /* N of targetN */
	char *name;	 /* as it stands there */
	char *address;	 /* numeric */
	uint16_t port;
	enum ibft_chap chap;
	char *user, *secret;	   /* NULL: not told */
	char *user_in, *secret_in; /* the same, of the target */
	int nic;		   /* struct ibft_nic.number; -1: not told */
};

struct ibft {
	char *initiator_name; /* NULL: not told */
	GPtrArray *nics;      /* of struct ibft_nic *, by number */
	GPtrArray *targets;   /* of struct ibft_target *, by number */
};

/* Blocks (files): not in the loop. NULL without @err: there is no such directory. NULL with @err:
 * it cannot be read or makes no sense; the block and the file are named, no value is. ibft_free()
 * the result, which wipes secrets. */
struct ibft *ibft_read(const char *path, GError **err);
void ibft_free(struct ibft *t); /* NULL is fine */
/* NULL: there is none of that number. */
const struct ibft_nic *ibft_find_nic(const struct ibft *t, int number);

#endif
