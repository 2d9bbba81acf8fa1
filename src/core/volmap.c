/* SPDX-License-Identifier: BSD-2-Clause */
/* Walks through /sys/class/block; volmap.h is the manual. Devices come and go meanwhile: what
 * cannot be read any more counts for nothing. */
#include "core/volmap.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/loopdev.h"

#define DEPTH_MAX 16 /* of devices on devices; the kernel's own limits are lower */
#define DELETED " (deleted)"

/* ---- reading ---- */

static char *read_line(const char *directory, const char *name)
{
	g_autofree char *path = g_build_filename(directory, name, NULL);
	char *text;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static bool has_file(const char *directory, const char *name)
{
	g_autofree char *path = g_build_filename(directory, name, NULL);

	return access(path, F_OK) == 0;
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

/* Sorted; g_ptr_array_unref(). Empty when there is no such directory. */
static GPtrArray *list_names(const char *directory)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	GDir *dir = g_dir_open(directory, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir)))
		g_ptr_array_add(names, g_strdup(name));
	if (dir)
		g_dir_close(dir);
	g_ptr_array_sort(names, compare_texts);
	return names;
}

/* ---- what is below ---- */

static void loop_free(void *p)
{
	struct volmap_loop *l = p;

	g_free(l->device);
	g_free(l->file);
	g_free(l);
}

static bool may_be_lun(const char *file)
{
	return strstr(file, "/targets/") && g_str_has_suffix(file, "/disk");
}

static void add_loop(GPtrArray *loops, const char *name, char *file)
{
	struct volmap_loop *l;

	if (g_str_has_suffix(file, DELETED))
		file[strlen(file) - strlen(DELETED)] = '\0';
	for (guint i = 0; i < loops->len; i++)
		if (!strcmp(((struct volmap_loop *)loops->pdata[i])->file, file))
			return;
	if (!may_be_lun(file))
		return;
	l = g_new0(struct volmap_loop, 1);
	l->device = g_strdup_printf("/dev/%s", name);
	l->file = g_strdup(file);
	g_ptr_array_add(loops, l);
}

static void add_below(const char *blocks, const char *name, unsigned depth, GPtrArray *loops);

/* The directory of a partition is in that of its disk. */
static void add_disk_of(const char *blocks, const char *directory, unsigned depth,
			GPtrArray *loops)
{
	char real[PATH_MAX];
	g_autofree char *disk = NULL, *name = NULL;

	if (!realpath(directory, real))
		return;
	disk = g_path_get_dirname(real);
	name = g_path_get_basename(disk);
	add_below(blocks, name, depth, loops);
}

static void add_below(const char *blocks, const char *name, unsigned depth, GPtrArray *loops)
{
	g_autofree char *directory = g_build_filename(blocks, name, NULL);
	g_autofree char *below = g_build_filename(directory, "slaves", NULL);
	g_autofree char *file = read_line(directory, "loop/backing_file");
	g_autoptr(GPtrArray) slaves = NULL;

	if (depth == DEPTH_MAX)
		return;
	if (file)
		add_loop(loops, name, file);
	if (has_file(directory, "partition"))
		add_disk_of(blocks, directory, depth + 1, loops);
	slaves = list_names(below);
	for (guint i = 0; i < slaves->len; i++)
		add_below(blocks, slaves->pdata[i], depth + 1, loops);
}

/* ---- what is above ---- */

static bool has_above(const char *directory)
{
	g_autofree char *above = g_build_filename(directory, "holders", NULL);
	g_autoptr(GPtrArray) holders = list_names(above);
	g_autoptr(GPtrArray) names = holders->len ? NULL : list_names(directory);

	for (guint i = 0; names && i < names->len; i++) {
		g_autofree char *inner = g_build_filename(names->pdata[i], "partition", NULL);

		if (has_file(directory, inner))
			return true;
	}
	return holders->len > 0;
}

static void add_mounts(struct volmap_device *v, char **mounts)
{
	for (; *mounts; mounts++) {
		char *place = loopdev_mount_point(*mounts, v->path, v->number);

		if (place && !g_ptr_array_find_with_equal_func(v->mounts, place, g_str_equal,
							       NULL))
			g_ptr_array_add(v->mounts, place);
		else
			g_free(place);
	}
}

/* ---- devices ---- */

static void device_free(void *p)
{
	struct volmap_device *v = p;

	g_free(v->name);
	g_free(v->path);
	g_free(v->number);
	g_ptr_array_unref(v->loops);
	g_ptr_array_unref(v->mounts);
	g_free(v);
}

/* A slash in the name of a device is '!' in sysfs. */
static char *path_of(const char *directory, const char *name)
{
	g_autofree char *mapped = read_line(directory, "dm/name");
	g_autofree char *plain = g_strdelimit(g_strdup(name), "!", '/');

	return mapped && *mapped ? g_strdup_printf("/dev/mapper/%s", mapped)
				 : g_strdup_printf("/dev/%s", plain);
}

/* NULL: it rests on nothing of interest, or is gone. */
static struct volmap_device *look_at(const char *blocks, const char *name, char **mounts)
{
	g_autofree char *directory = g_build_filename(blocks, name, NULL);
	struct volmap_device *v = g_new0(struct volmap_device, 1);

	v->name = g_strdup(name);
	v->path = path_of(directory, name);
	v->number = read_line(directory, "dev");
	v->loops = g_ptr_array_new_with_free_func(loop_free);
	v->mounts = g_ptr_array_new_with_free_func(g_free);
	add_below(blocks, name, 0, v->loops);
	if (!v->loops->len || !v->number) {
		device_free(v);
		return NULL;
	}
	v->has_above = has_above(directory);
	add_mounts(v, mounts);
	return v;
}

static int compare_devices(gconstpointer a, gconstpointer b)
{
	const struct volmap_device *const *x = a, *const *y = b;

	return strcmp((*x)->path, (*y)->path);
}

GPtrArray *volmap_scan(const char *sysfs, const char *mountinfo, GError **err)
{
	g_autofree char *blocks = g_build_filename(sysfs, "class", "block", NULL);
	g_autofree char *text = NULL;
	g_auto(GStrv) mounts = NULL;
	g_autoptr(GPtrArray) names = NULL;
	GPtrArray *found;

	if (!g_file_get_contents(mountinfo, &text, NULL, err))
		return NULL;
	if (access(blocks, R_OK | X_OK) < 0) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, errno, "%s: cannot be read: %s",
				blocks, g_strerror(errno));
		return NULL;
	}
	mounts = g_strsplit(text, "\n", -1);
	names = list_names(blocks);
	found = g_ptr_array_new_with_free_func(device_free);
	for (guint i = 0; i < names->len; i++) {
		struct volmap_device *v = look_at(blocks, names->pdata[i], mounts);

		if (v)
			g_ptr_array_add(found, v);
	}
	g_ptr_array_sort(found, compare_devices);
	return found;
}
