/* SPDX-License-Identifier: BSD-2-Clause */
/* The mount point before, during and after; mountpoint.h is the manual. */
#include "fuse/mountpoint.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

/* What is mounted at a place, on top if there are several. */
struct mounted {
	bool is_found;
	char type[64];	 /* "fuse.iscsifs" */
	char device[32]; /* "0:57" */
};

/* A line of mountinfo: id parent major:minor root PLACE options [more ...] - TYPE source ... */
static void match_line(char *line, const char *path, struct mounted *ret)
{
	g_auto(GStrv) words = g_strsplit(g_strchomp(line), " ", -1);
	g_autofree char *place = NULL;
	guint count = g_strv_length(words), dash = 6;

	if (count < 10)
		return;
	place = g_strcompress(words[4]); /* \040 for a blank */
	if (strcmp(place, path))
		return;
	while (dash < count && strcmp(words[dash], "-"))
		dash++;
	if (dash + 1 >= count)
		return;
	ret->is_found = true;
	g_strlcpy(ret->type, words[dash + 1], sizeof(ret->type));
	g_strlcpy(ret->device, words[2], sizeof(ret->device));
}

static struct mounted find_mount(const char *path)
{
	struct mounted m = { 0 };
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;

	if (!f)
		return m;
	while (getline(&line, &size, f) > 0)
		match_line(line, path, &m); /* the last one is on top */
	free(line);
	fclose(f);
	return m;
}

static gboolean check_not_mounted(const char *path, GError **err)
{
	struct mounted m = find_mount(path);

	if (!m.is_found || (strncmp(m.type, "fuse", 4) != 0))
		return TRUE;
	error_set_errno(err, ISDSC_INVALID_PARAMETER, EBUSY,
			"%s: %s is mounted there already; end it with `umount %s', or, if its "
			"daemon is dead, `umount -l %s' (fusermount3 -u, -uz if you are not "
			"root)",
			path, strcmp(m.type, "fuse.iscsifs") ? m.type : "an iscsifs", path,
			path);
	return FALSE;
}

static gboolean check_fuse(GError **err)
{
	const char *device = "/dev/fuse";

	if (access(device, F_OK) < 0) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, ENODEV,
				"%s is not there; load the module with `modprobe fuse' (in a "
				"container: pass the device in, --device %s)",
				device, device);
		return FALSE;
	}
	if (access(device, R_OK | W_OK) < 0) {
		error_set_errno(
			err, ISDSC_NON_SPECIFIC_ERROR, EACCES,
			"%s may not be opened by you: %s; run as root, or have its mode set "
			"to 0666",
			device, strerror(errno));
		return FALSE;
	}
	return TRUE;
}

static gboolean check_helper(GError **err)
{
	g_autofree char *helper = NULL;

	if (geteuid() == 0)
		return TRUE;
	helper = g_find_program_in_path("fusermount3");
	if (helper)
		return TRUE;
	error_set_errno(
		err, ISDSC_NON_SPECIFIC_ERROR, ENOENT,
		"fusermount3 is needed to mount without being root; install the package fuse3");
	return FALSE;
}

static gboolean check_directory(const char *path, GError **err)
{
	struct stat st;
	bool is_there = stat(path, &st) == 0;

	if (is_there && S_ISDIR(st.st_mode))
		return TRUE;
	if (is_there)
		error_set_errno(err, ISDSC_INVALID_PARAMETER, ENOTDIR,
				"%s: not a directory; the mount point must be one", path);
	else if (errno == ENOENT)
		error_set_errno(err, ISDSC_INVALID_PARAMETER, ENOENT,
				"%s: %s; make it with `mkdir -p %s'", path, strerror(ENOENT),
				path);
	else
		error_set_errno(err, ISDSC_INVALID_PARAMETER, errno, "%s: %s", path,
				strerror(errno));
	return FALSE;
}

char *mountpoint_check(const char *path, GError **err)
{
	char resolved[PATH_MAX];

	/* As given and, further down, as resolved: resolving would touch a mount that hangs. */
	if (!check_not_mounted(path, err) || !check_directory(path, err))
		return NULL;
	if (!realpath(path, resolved)) {
		error_set_errno(err, ISDSC_INVALID_PARAMETER, errno, "%s: %s", path,
				strerror(errno));
		return NULL;
	}
	if (!check_not_mounted(resolved, err) || !check_fuse(err) || !check_helper(err))
		return NULL;
	return g_strdup(resolved);
}

char *mountpoint_device(const char *path)
{
	struct mounted m = find_mount(path);

	return m.is_found ? g_strdup(m.device) : NULL;
}

bool mountpoint_is(const char *path, const char *device)
{
	struct mounted m = find_mount(path);

	return m.is_found && !strcmp(m.device, device);
}

/* Blocks until fusermount3 has ended, which is soon: it asks nobody but the kernel. */
static void detach_by_helper(const char *path)
{
	const char *argv[] = { "fusermount3", "-u", "-z", "-q", "--", path, NULL };
	g_autoptr(GError) err = NULL;
	int status = 0;

	if (!g_spawn_sync("/", (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
			  &status, &err) ||
	    !g_spawn_check_wait_status(status, &err))
		log_error("%s: unmounting failed: %s", path, err->message);
}

void mountpoint_detach(const char *path)
{
	if (geteuid() != 0)
		detach_by_helper(path);
	else if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		log_error("%s: unmounting failed: %s", path, strerror(errno));
}

void mountpoint_set_readahead(const char *path, size_t bytes)
{
	struct mounted m = find_mount(path);
	g_autofree char *file = NULL;
	FILE *f;

	if (!m.is_found || geteuid() != 0)
		return;
	file = g_strdup_printf("/sys/class/bdi/%s/read_ahead_kb", m.device);
	f = fopen(file, "we");
	if (!f || fprintf(f, "%zu\n", bytes / 1024) < 0)
		log_debug("%s: %s", file, strerror(errno));
	if (f)
		fclose(f);
}
