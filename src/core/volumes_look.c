/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs that have to find something out: what is there (bind), what a path is (add, remove).
 *
 *   state    true in it                                                   next
 *   ASKING   a child process looks at the path, which may be anywhere,    SCANNING, (end)
 *            also in our own tree or on a server that is away
 *   SCANNING a job of the helper thread goes through sysfs                (end)
 *
 * A look whose operation was cancelled while SCANNING ends with its job, and does nothing. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/attach.h"
#include "core/event.h"
#include "core/loopdev.h"
#include "core/target.h"
#include "core/volmap.h"
#include "core/volumes_parts.h"

#define ASK_MS 20000

struct look {
	struct worker_job job;
	struct volumes *volumes;
	struct operation *op; /* NULL: nobody wants it any more */
	enum { LOOK_BIND, LOOK_ADD, LOOK_REMOVE } what;
	char *path;   /* as given; NULL: bind */
	char *real;   /* of a directory: what the child made of it */
	char *number; /* "7:3", of a device */
	struct helper *helper;
	/* Of the job: */
	GPtrArray *devices; /* of struct volmap_device * */
	GError *error;
};

static void look_free(struct look *k)
{
	k->volumes->looks = g_list_remove(k->volumes->looks, k);
	if (k->op) {
		operation_step(k->op, NULL, NULL);
		operation_unref(k->op);
	}
	g_clear_pointer(&k->devices, g_ptr_array_unref);
	g_clear_error(&k->error);
	g_free(k->path);
	g_free(k->real);
	g_free(k->number);
	g_free(k);
}

/* Takes @err, which is NULL when somebody else finishes the operation. */
static void look_fail(struct look *k, GError *err)
{
	if (err)
		operation_finish(k->op, err);
	look_free(k);
}

/* ---- our LUNs ---- */

/* "targets/IQN/lunN", as volumes keep it; g_free(). */
static char *place_of(const struct lun *l)
{
	return g_strdup_printf("targets/%s/lun%u", l->target->name, l->number);
}

/* Names of files, as the kernel tells them, to struct lun *. After a lazy umount they begin at
 * the root of the tree: see lun_under(). */
static GHashTable *lun_files(struct daemon *d)
{
	GHashTable *files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	for (GList *t = d->targets; t; t = t->next)
		for (GList *k = ((struct target *)t->data)->luns; k; k = k->next) {
			struct lun *l = k->data;
			g_autofree char *place = place_of(l);

			g_hash_table_insert(files, g_strdup_printf("/%s/disk", place), l);
			if (d->disk_path)
				g_hash_table_insert(files, d->disk_path(l, d->disk_path_arg), l);
		}
	return files;
}

static bool is_place(const char *path, const char *place)
{
	size_t bytes = strlen(place);

	return !strncmp(path, place, bytes) && (!path[bytes] || !strcmp(path + bytes, "/disk"));
}

/* What a person may write for it: the file or its directory, absolute or as in the tree. */
static struct lun *find_written(struct daemon *d, const char *path)
{
	for (GList *t = d->targets; t; t = t->next)
		for (GList *k = ((struct target *)t->data)->luns; k; k = k->next) {
			struct lun *l = k->data;
			g_autofree char *place = place_of(l);
			g_autofree char *file =
				d->disk_path ? d->disk_path(l, d->disk_path_arg) : NULL;

			if (file) /* the directory */
				file[strlen(file) - strlen("/disk")] = '\0';
			if (is_place(path, place) || (file && is_place(path, file)))
				return l;
		}
	return NULL;
}

static bool is_own_device(const struct lun *l, const char *device)
{
	for (GList *k = l->disk->luns; k; k = k->next) {
		const struct lun *same = k->data;

		if (same->block && !strcmp(same->block, device))
			return true;
	}
	return false;
}

/* A name from the root of the tree may be that of another daemon's, which has died or unmounted: of
 * these, only the devices that we have attached are surely over ours. */
static struct lun *lun_under(GHashTable *files, const struct volmap_loop *loop)
{
	struct lun *l = g_hash_table_lookup(files, loop->file);

	return l && g_str_has_prefix(loop->file, "/targets/") && !is_own_device(l, loop->device)
		       ? NULL
		       : l;
}

/* Those of ours that @v rests on; empty: none. g_ptr_array_unref(). */
static GPtrArray *luns_under(const struct volmap_device *v, GHashTable *files)
{
	GPtrArray *luns = volume_luns_new();

	for (guint i = 0; i < v->loops->len; i++) {
		const struct volmap_loop *loop = v->loops->pdata[i];
		struct lun *l = lun_under(files, loop);

		if (l)
			volume_luns_add(luns, l->target->name, l->number, l->wwid,
					is_own_device(l, loop->device));
	}
	return luns;
}

static GPtrArray *one_lun(const struct lun *l)
{
	GPtrArray *luns = volume_luns_new();

	volume_luns_add(luns, l->target->name, l->number, l->wwid, false);
	return luns;
}

/* ---- bind ---- */

struct binding {
	struct volumes *volumes;
	GHashTable *files;
	GHashTable *disks; /* struct disk *: those under something */
	GHashTable *paths; /* of what is there now */
	unsigned added;
};

static void bind_one(struct binding *b, enum volume_kind kind, const char *path,
		     GPtrArray *luns)
{
	struct volume *old = volumes_find(b->volumes, path);

	if (!g_hash_table_add(b->paths, g_strdup(path)))
		return;
	if (!old)
		b->added++;
	else
		volumes_drop(b->volumes, old);
	volumes_insert(b->volumes, kind, path, luns);
}

/* One with something above it is bound by that; where it is mounted counts in any case. */
static void bind_device(struct binding *b, const struct volmap_device *v)
{
	g_autoptr(GPtrArray) luns = luns_under(v, b->files);

	if (!luns->len)
		return;
	for (guint i = 0; i < v->loops->len; i++) {
		const struct volmap_loop *loop = v->loops->pdata[i];
		const struct lun *l = lun_under(b->files, loop);

		if (l)
			g_hash_table_add(b->disks, l->disk);
	}
	for (guint i = 0; i < v->mounts->len; i++)
		bind_one(b, VOLUME_MOUNT, v->mounts->pdata[i], luns);
	if (!v->mounts->len && !v->has_above)
		bind_one(b, VOLUME_DEVICE, v->path, luns);
}

/* LUNs that no device is over are used as files. */
static void bind_files(struct binding *b)
{
	for (GList *t = b->volumes->daemon->targets; t; t = t->next) {
		struct target *target = t->data;

		if (target_expose(target) == EXPOSE_NONE)
			continue;
		for (GList *k = target->luns; k; k = k->next) {
			struct lun *l = k->data;
			g_autofree char *place = place_of(l);
			g_autoptr(GPtrArray) luns = one_lun(l);

			if (l->has_disk && g_hash_table_add(b->disks, l->disk))
				bind_one(b, VOLUME_LUN, place, luns);
		}
	}
}

/* What is not there any more is not what starts need. */
static unsigned drop_others(struct binding *b)
{
	unsigned count = 0;

	for (GList *k = b->volumes->all, *next; k; k = next) {
		struct volume *x = k->data;

		next = k->next;
		if (g_hash_table_contains(b->paths, x->path))
			continue;
		volumes_drop(b->volumes, x);
		count++;
	}
	return count;
}

static void bind_all(struct look *k)
{
	struct volumes *v = k->volumes;
	struct binding b = {
		.volumes = v,
		.files = lun_files(v->daemon),
		.disks = g_hash_table_new(NULL, NULL),
		.paths = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
	};
	unsigned dropped;

	for (guint i = 0; i < k->devices->len; i++)
		bind_device(&b, k->devices->pdata[i]);
	bind_files(&b);
	dropped = drop_others(&b);
	operation_result(k->op, "volumes", "%u", g_list_length(v->all));
	operation_result(k->op, "new", "%u", b.added);
	operation_result(k->op, "dropped", "%u", dropped);
	g_hash_table_unref(b.files);
	g_hash_table_unref(b.disks);
	g_hash_table_unref(b.paths);
	volumes_save(v, k->op);
	look_free(k);
}

/* ---- add and remove ---- */

static void set_not_iscsi(GError **err, const char *path)
{
	error_set(err, ISDSC_VOLUME_NOT_ISCSI,
		  "%s: it does not rest on a LUN of ours that is logged in: a mount point, a "
		  "block device or a LUN's file is wanted",
		  path);
}

static void set_not_bound(GError **err, const char *path)
{
	error_set(err, ISDSC_VOLUME_NOT_FOUND, "%s: no such volume is bound", path);
}

static void set_bound_already(GError **err, const char *path)
{
	error_set(err, ISDSC_VOLUME_ALREADY_PERSISTENTLY_BOUND, "%s: is bound already", path);
}

static void add_one(struct volumes *v, enum volume_kind kind, const char *path,
		    GPtrArray *luns, struct operation *op)
{
	GError *err = NULL;
	struct volume *x;

	if (volumes_find(v, path)) {
		set_bound_already(&err, path);
		operation_finish(op, err);
		return;
	}
	x = volumes_insert(v, kind, path, luns);
	operation_result(op, "volume", "%s", x->name);
	volumes_save(v, op);
}

static void add_lun(struct volumes *v, const struct lun *l, struct operation *op)
{
	g_autofree char *place = place_of(l);
	g_autoptr(GPtrArray) luns = one_lun(l);

	add_one(v, VOLUME_LUN, place, luns, op);
}

/* The one that the path is, or that is mounted there. */
static const struct volmap_device *find_device(const struct look *k)
{
	for (guint i = 0; i < k->devices->len; i++) {
		const struct volmap_device *v = k->devices->pdata[i];

		if (k->number ? !strcmp(v->number, k->number)
			      : g_ptr_array_find_with_equal_func(v->mounts, k->real,
								 g_str_equal, NULL))
			return v;
	}
	return NULL;
}

static void add_found(struct look *k)
{
	const struct volmap_device *v = find_device(k);
	g_autoptr(GHashTable) files = lun_files(k->volumes->daemon);
	g_autoptr(GPtrArray) luns = v ? luns_under(v, files) : NULL;
	GError *err = NULL;

	if (!luns || !luns->len)
		set_not_iscsi(&err, k->path);
	else
		add_one(k->volumes, k->number ? VOLUME_DEVICE : VOLUME_MOUNT,
			k->number ? v->path : k->real, luns, k->op);
	look_fail(k, err);
}

static void remove_found(struct look *k)
{
	const struct volmap_device *v = find_device(k);
	struct volume *x =
		v ? volumes_find(k->volumes, k->number ? v->path : k->real) : NULL;
	GError *err = NULL;

	if (x)
		volume_remove(x, k->op);
	else
		set_not_bound(&err, k->path);
	look_fail(k, err);
}

/* ---- the job ---- */

static void scan_run(struct worker_job *job)
{
	struct look *k = container_of(job, struct look, job);

	k->devices = volmap_scan("/sys", "/proc/self/mountinfo", &k->error);
}

static void scan_done(struct worker_job *job)
{
	struct look *k = container_of(job, struct look, job);
	struct daemon *d = k->volumes->daemon;

	if (!k->op) {
		look_free(k);
	} else if (!k->devices) { /* the end of the daemon: it has not even run */
		if (!k->error)
			error_set_errno(&k->error, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
					"the daemon ends");
		else
			event_emit(d, EVENT_VOLUMES_SEARCH_FAILED, "%s", k->error->message);
		look_fail(k, g_steal_pointer(&k->error));
	} else if (k->what == LOOK_BIND) {
		bind_all(k);
	} else if (k->what == LOOK_ADD) {
		add_found(k);
	} else {
		remove_found(k);
	}
	daemon_release(d);
}

static void scan_start(struct look *k)
{
	daemon_hold(k->volumes->daemon);
	k->job.run = scan_run;
	k->job.done = scan_done;
	worker_submit(k->volumes->daemon->worker, &k->job);
}

/* ---- the child ---- */

static void on_looked(void *arg, const struct helper_answer *a)
{
	struct look *k = arg;
	const char *said = a->lines[0] ? a->lines[0] : "";
	struct lun *l;
	GError *err = NULL;

	k->helper = NULL;
	if (a->error) {
		error_set_errno(&err, ISDSC_VOLUME_NOT_FOUND, a->error, "%s: %s", k->path,
				g_strerror(a->error));
		look_fail(k, err);
		return;
	}
	if (g_str_has_prefix(said, "device "))
		k->number = g_strdup(said + 7);
	else if (g_str_has_prefix(said, "directory "))
		k->real = g_strdup(said + 10);
	else if (g_str_has_prefix(said, "file "))
		k->real = g_strdup(said + 5);
	l = k->real ? find_written(k->volumes->daemon, k->real) : NULL;
	if (l && k->what == LOOK_ADD) {
		add_lun(k->volumes, l, k->op);
		look_fail(k, NULL);
	} else if (l || (!k->number && !g_str_has_prefix(said, "directory "))) {
		if (k->what == LOOK_ADD)
			set_not_iscsi(&err, k->path);
		else
			set_not_bound(&err, k->path);
		look_fail(k, err);
	} else {
		scan_start(k);
	}
}

static void ask(struct look *k)
{
	g_autofree char *parent = g_strdup_printf("%d", (int)getpid());
	const char *const argv[] = { "/proc/self/exe", LOOPDEV_OPTION, parent, NULL };
	g_autoptr(GString) request = g_string_new("look");

	g_string_append_c(request, '\0');
	g_string_append_len(request, k->path, (gssize)strlen(k->path) + 1);
	k->helper = helper_start(&k->volumes->helpers, argv, request, ASK_MS, on_looked, k);
}

/* ---- the beginning ---- */

static void on_cancel(struct operation *op)
{
	struct look *k = op->step;
	bool is_asking = k->helper;

	helper_cancel(k->helper);
	operation_step(op, NULL, NULL);
	operation_finish(op, NULL);
	operation_unref(op);
	k->op = NULL;
	if (is_asking)
		look_free(k); /* else its job does that */
}

static struct look *look_new(struct volumes *v, const char *path, struct operation *op)
{
	struct look *k = g_new0(struct look, 1);

	k->volumes = v;
	k->path = g_strdup(path);
	k->op = operation_ref(op);
	operation_step(op, on_cancel, k);
	v->looks = g_list_prepend(v->looks, k);
	return k;
}

static bool may_begin(const struct volumes *v, struct operation *op)
{
	GError *err = NULL;

	if (!v->is_ending)
		return true;
	error_set_errno(&err, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
			"the daemon is shutting down");
	operation_finish(op, err);
	return false;
}

void volumes_bind(struct volumes *v, struct operation *op)
{
	struct look *k;

	if (!may_begin(v, op))
		return;
	k = look_new(v, NULL, op);
	k->what = LOOK_BIND;
	scan_start(k);
}

/* Relative to what? FALSE and @err. */
static gboolean check_absolute(const char *path, GError **err)
{
	if (path[0] == '/')
		return TRUE;
	error_set(err, ISDSC_INVALID_PARAMETER,
		  "\"%s\": an absolute path is wanted, or targets/IQN/lunN", path);
	return FALSE;
}

/* "/mnt/" is "/mnt". */
static char *without_slashes(const char *path)
{
	char *plain = g_strdup(path);
	size_t bytes = strlen(plain);

	while (bytes > 1 && plain[bytes - 1] == '/')
		plain[--bytes] = '\0';
	return plain;
}

void volumes_add(struct volumes *v, const char *path, struct operation *op)
{
	g_autofree char *plain = without_slashes(path);
	struct lun *l = find_written(v->daemon, plain);
	GError *err = NULL;
	struct look *k;

	if (!may_begin(v, op))
		return;
	if (l) {
		add_lun(v, l, op);
		return;
	}
	if (volumes_find(v, plain))
		set_bound_already(&err, plain);
	if (err || !check_absolute(plain, &err)) {
		operation_finish(op, err);
	} else {
		k = look_new(v, plain, op);
		k->what = LOOK_ADD;
		ask(k);
	}
}

/* By the path that is kept, the name in the tree, or another name of a LUN. */
static struct volume *find_bound(const struct volumes *v, const char *path)
{
	struct lun *l = find_written(v->daemon, path);
	g_autofree char *place = l ? place_of(l) : NULL;
	struct volume *x = volumes_find(v, place ? place : path);

	for (GList *k = v->all; k && !x; k = k->next)
		if (!strcmp(((struct volume *)k->data)->name, path))
			x = k->data;
	return x;
}

void volumes_remove(struct volumes *v, const char *path, struct operation *op)
{
	g_autofree char *plain = without_slashes(path);
	struct volume *x = find_bound(v, plain);
	GError *err = NULL;
	struct look *k;

	if (!may_begin(v, op))
		return;
	if (x) {
		volume_remove(x, op);
	} else if (plain[0] != '/') {
		set_not_bound(&err, plain);
		operation_finish(op, err);
	} else {
		k = look_new(v, plain, op);
		k->what = LOOK_REMOVE;
		ask(k);
	}
}

void volumes_looks_give_up(struct volumes *v)
{
	for (GList *l = v->looks, *next; l; l = next) {
		struct look *k = l->data;

		next = l->next;
		if (k->op)
			operation_cancel(k->op, EBUSY);
	}
}
