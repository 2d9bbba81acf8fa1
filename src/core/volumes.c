/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of bound volumes, and waiting for them; volumes_look.c finds out what a path is, and
 * what there is. volumes.h is the manual. */
#include "core/volumes.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/attach.h"
#include "core/event.h"
#include "core/logins.h"
#include "core/statefile.h"
#include "core/target.h"
#include "core/volumes_parts.h"

#define STATE_FILE "volumes.conf"
#define VOLUMES_MAX 65536
#define LUNS_MAX 1024 /* of a volume */
#define NAME_MAX_BYTES 200
#define WAIT_LOOK_MS 100

static const char *const kind_names[VOLUME_KINDS] = {
	[VOLUME_MOUNT] = "mount", [VOLUME_DEVICE] = "device", [VOLUME_LUN] = "lun"
};

const char *volume_kind_name(enum volume_kind k)
{
	return kind_names[k];
}

GList *volumes_all(const struct volumes *v)
{
	return v->all;
}

/* ---- is it there? ---- */

static bool has_device(struct lun *l)
{
	for (GList *k = l->disk->luns; k; k = k->next)
		if (attach_device(k->data))
			return true;
	return false;
}

/* By its place, if it is the same unit, else by its worldwide name. */
static struct lun *find_lun(struct daemon *d, const struct volume_lun *x)
{
	struct target *t = target_find(d, x->target);
	struct lun *l = t ? target_find_lun(t, x->number) : NULL;

	if (l && (!*x->wwid || !strcmp(l->wwid, x->wwid)))
		return l;
	return *x->wwid ? g_hash_table_lookup(d->luns_by_wwid, x->wwid) : NULL;
}

bool volume_lun_is_there(const struct volume *v, const struct volume_lun *x)
{
	struct lun *l = find_lun(v->daemon, x);

	return l && l->has_disk && !strcmp(lun_state_name(l), "ready") &&
	       (!x->is_block || has_device(l));
}

bool volume_is_ready(const struct volume *v)
{
	for (guint i = 0; i < v->luns->len; i++)
		if (!volume_lun_is_there(v, v->luns->pdata[i]))
			return false;
	return true;
}

/* ---- volumes ---- */

static void lun_free(void *p)
{
	struct volume_lun *l = p;

	g_free(l->target);
	g_free(l->wwid);
	g_free(l);
}

GPtrArray *volume_luns_new(void)
{
	return g_ptr_array_new_with_free_func(lun_free);
}

void volume_luns_add(GPtrArray *luns, const char *target, uint32_t number, const char *wwid,
		     bool is_block)
{
	struct volume_lun *l = g_new0(struct volume_lun, 1);

	l->target = g_strdup(target);
	l->number = number;
	l->wwid = g_strdup(wwid);
	l->is_block = is_block;
	g_ptr_array_add(luns, l);
}

static void volume_free(struct object *o)
{
	struct volume *v = container_of(o, struct volume, obj);

	g_free(v->name);
	g_free(v->path);
	g_ptr_array_unref(v->luns);
	object_done(o);
	g_free(v);
}

char *volume_name_of(const char *path)
{
	g_autofree char *valid = g_utf8_make_valid(path, -1);
	GString *name = g_string_new(NULL);

	for (const char *c = valid; *c; c = g_utf8_next_char(c)) {
		gunichar u = g_utf8_get_char(c);

		if (name->len > NAME_MAX_BYTES)
			break;
		if (u == '/' && name->len)
			g_string_append_c(name, '-');
		else if (u != '/')
			g_string_append_unichar(name, g_unichar_isprint(u) ? u : '_');
	}
	/* Not "." or "..", nor nothing at all. */
	if (!name->len || name->str[0] == '.')
		g_string_prepend_c(name, '_');
	return g_string_free(name, FALSE);
}

static struct volume *find_named(const struct volumes *v, const char *name)
{
	for (GList *k = v->all; k; k = k->next)
		if (!strcmp(((struct volume *)k->data)->name, name))
			return k->data;
	return NULL;
}

struct volume *volumes_find(const struct volumes *v, const char *path)
{
	for (GList *k = v->all; k; k = k->next)
		if (!strcmp(((struct volume *)k->data)->path, path))
			return k->data;
	return NULL;
}

static char *make_name(const struct volumes *v, const struct volume *x)
{
	const char *path = x->path;
	char *name = volume_name_of(g_str_has_prefix(path, "targets/") ? path + 8 : path);

	for (unsigned i = 2; find_named(v, name); i++) {
		g_autofree char *taken = name;
		char *mark = strrchr(taken, '~');

		if (mark && i > 2)
			*mark = '\0';
		name = g_strdup_printf("%s~%u", taken, i);
	}
	return name;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(((const struct volume *)a)->name, ((const struct volume *)b)->name);
}

struct volume *volumes_insert(struct volumes *v, enum volume_kind kind, const char *path,
			      GPtrArray *luns)
{
	struct volume *x = g_new0(struct volume, 1);

	object_init(&x->obj, v->daemon->loop, OBJECT_VOLUME, volume_free);
	x->daemon = v->daemon;
	x->kind = kind;
	x->path = g_strdup(path);
	x->luns = g_ptr_array_ref(luns);
	x->name = make_name(v, x);
	v->all = g_list_insert_sorted(v->all, x, compare_names);
	return x;
}

void volumes_drop(struct volumes *v, struct volume *x)
{
	v->all = g_list_remove(v->all, x);
	object_gone(&x->obj);
}

/* ---- saving ---- */

static void set_string(config_setting_t *to, const char *key, const char *value)
{
	config_setting_set_string(config_setting_add(to, key, CONFIG_TYPE_STRING), value);
}

static void write_lun(config_setting_t *list, const struct volume_lun *l)
{
	config_setting_t *to = config_setting_add(list, NULL, CONFIG_TYPE_GROUP);

	set_string(to, "target", l->target);
	config_setting_set_int64(config_setting_add(to, "lun", CONFIG_TYPE_INT64), l->number);
	set_string(to, "wwid", l->wwid);
	config_setting_set_bool(config_setting_add(to, "block", CONFIG_TYPE_BOOL), l->is_block);
}

static void write_volume(config_setting_t *list, const struct volume *x)
{
	config_setting_t *to = config_setting_add(list, NULL, CONFIG_TYPE_GROUP), *luns;

	set_string(to, "kind", volume_kind_name(x->kind));
	set_string(to, "path", x->path);
	luns = config_setting_add(to, "luns", CONFIG_TYPE_LIST);
	for (guint i = 0; i < x->luns->len; i++)
		write_lun(luns, x->luns->pdata[i]);
}

static void on_saved(void *arg, const GError *why)
{
	struct operation *op = arg;
	GError *err = why ? g_error_copy(why) : NULL;

	g_prefix_error(&err, "bound volumes: they are as the list tells, but only until the daemon "
			     "ends: ");
	operation_finish(op, err);
	operation_unref(op);
}

void volumes_save(struct volumes *v, struct operation *op)
{
	config_setting_t *list;
	config_t cfg;

	config_init(&cfg);
	list = config_setting_add(config_root_setting(&cfg), "volumes", CONFIG_TYPE_LIST);
	for (GList *k = v->all; k; k = k->next)
		write_volume(list, k->data);
	/* It cannot be undone any more: an impatient user gets the outcome of the writing. */
	statefile_save(v->daemon, STATE_FILE, &cfg, on_saved, operation_ref(op));
	config_destroy(&cfg);
}

/* ---- loading ---- */

static enum volume_kind parse_kind(const char *name)
{
	unsigned k = 0;

	while (k < VOLUME_KINDS && strcmp(name, kind_names[k]))
		k++;
	return (enum volume_kind)k;
}

static bool load_lun(GPtrArray *luns, const config_setting_t *from)
{
	const char *target, *wwid;
	long long number;
	int is_block;

	if (!config_setting_lookup_string(from, "target", &target) ||
	    !config_setting_lookup_string(from, "wwid", &wwid) ||
	    !config_setting_lookup_int64(from, "lun", &number) ||
	    !config_setting_lookup_bool(from, "block", &is_block) || number < 0 ||
	    number > UINT32_MAX || !*target)
		return false;
	volume_luns_add(luns, target, (uint32_t)number, wwid, is_block);
	return true;
}

static bool load_volume(struct volumes *v, const config_setting_t *from)
{
	g_autoptr(GPtrArray) luns = volume_luns_new();
	config_setting_t *list = config_setting_lookup((config_setting_t *)(uintptr_t)from,
						       "luns");
	const char *kind, *path;
	int count;

	if (!list || !config_setting_is_list(list) ||
	    !config_setting_lookup_string(from, "kind", &kind) ||
	    !config_setting_lookup_string(from, "path", &path) ||
	    parse_kind(kind) == VOLUME_KINDS || !*path || volumes_find(v, path))
		return false;
	count = config_setting_length(list);
	if (count < 1 || count > LUNS_MAX)
		return false;
	for (int i = 0; i < count; i++)
		if (!load_lun(luns, config_setting_get_elem(list, (unsigned)i)))
			return false;
	volumes_insert(v, parse_kind(kind), path, luns);
	return true;
}

static bool load_list(struct volumes *v, const config_setting_t *list)
{
	int count = list ? config_setting_length(list) : 0;

	if ((list && !config_setting_is_list(list)) || count > VOLUMES_MAX)
		return false;
	for (int i = 0; i < count; i++)
		if (!load_volume(v, config_setting_get_elem(list, (unsigned)i)))
			return false;
	return true;
}

static void load(struct volumes *v)
{
	config_t cfg;

	config_init(&cfg);
	if (statefile_read(v->daemon, STATE_FILE, &cfg) == 0 &&
	    !load_list(v, config_lookup(&cfg, "volumes"))) {
		g_autofree char *why = g_strdup_printf("entry %u is no bound volume",
						       g_list_length(v->all) + 1);

		while (v->all)
			volumes_drop(v, v->all->data);
		statefile_set_aside(v->daemon, STATE_FILE, why);
	}
	config_destroy(&cfg);
}

/* ---- removing ---- */

void volume_remove(struct volume *x, struct operation *op)
{
	struct volumes *v = x->daemon->volumes;

	volumes_drop(v, x);
	volumes_save(v, op);
}

void volumes_clear(struct volumes *v, struct operation *op)
{
	operation_result(op, "volumes", "%u", g_list_length(v->all));
	while (v->all)
		volumes_drop(v, v->all->data);
	volumes_save(v, op);
}

/* ---- waiting ---- */

static bool is_saved_login(const struct daemon *d, const char *target)
{
	for (GList *k = logins_all(d->logins); k; k = k->next)
		if (!strcmp(((const struct saved_login *)k->data)->target, target))
			return true;
	return false;
}

/* What is to be done, as far as that can be said; g_free(). */
static char *why_missing(const struct volume *x)
{
	const struct volume_lun *l = NULL;
	struct lun *there;

	for (guint i = 0; i < x->luns->len && (!l || volume_lun_is_there(x, l)); i++)
		l = x->luns->pdata[i];
	there = find_lun(x->daemon, l);
	if (there && there->has_disk && !strcmp(lun_state_name(there), "ready"))
		return g_strdup_printf("%s/lun%u has no loop device: expose=block makes one",
				       l->target, l->number);
	return g_strdup_printf("%s/lun%u is %s%s", l->target, l->number,
			       there ? lun_state_name(there) : "not there",
			       is_saved_login(x->daemon, l->target) ?
					"" : ", and no login to it is saved: see add-login");
}

static char *list_missing(const struct volumes *v, unsigned *ret_missing)
{
	GString *names = g_string_new(NULL);

	*ret_missing = 0;
	for (GList *k = v->all; k; k = k->next) {
		const struct volume *x = k->data;
		g_autofree char *why = NULL;

		if (volume_is_ready(x))
			continue;
		why = why_missing(x);
		g_string_append_printf(names, "%s%s (%s)", names->len ? ", " : "", x->path, why);
		++*ret_missing;
	}
	return g_string_free(names, FALSE);
}

static void wait_end(struct volumes *v)
{
	void (*ready)(void *arg) = v->ready;

	loop_timer_stop(&v->wait_timer);
	v->ready = NULL;
	v->progress = NULL;
	ready(v->wait_arg);
}

static void wait_look(struct volumes *v)
{
	int64_t left_ms = v->wait_until_ms - loop_now_ms(v->daemon->loop);
	unsigned missing, total = g_list_length(v->all);
	g_autofree char *names = list_missing(v, &missing);

	if (!missing && total)
		event_emit(v->daemon, EVENT_VOLUMES_READY, "%u bound volume%s there", total,
			   total == 1 ? " is" : "s are");
	if (missing && left_ms <= 0)
		event_emit(v->daemon, EVENT_VOLUMES_TIMEOUT,
			   "%u of %u bound volumes are not there in time: %s", missing, total,
			   names);
	if (!missing || left_ms <= 0) {
		wait_end(v);
		return;
	}
	if (missing != v->told_missing && v->progress)
		v->progress(v->wait_arg, missing, total);
	v->told_missing = missing;
	loop_timer_start(&v->wait_timer, MIN(left_ms, WAIT_LOOK_MS));
}

static void on_wait_timer(struct loop_timer *t)
{
	wait_look(container_of(t, struct volumes, wait_timer));
}

/* Looking now and then is enough: it is over soon, and then there is no more to it. */
void volumes_wait(struct volumes *v, int64_t timeout_ms,
		  void (*progress)(void *arg, unsigned missing, unsigned total),
		  void (*ready)(void *arg), void *arg)
{
	v->progress = progress;
	v->ready = ready;
	v->wait_arg = arg;
	v->wait_until_ms = loop_now_ms(v->daemon->loop) + timeout_ms;
	loop_timer_start(&v->wait_timer, 0);
}

/* ---- from begin to end ---- */

struct volumes *volumes_new(struct daemon *d)
{
	struct volumes *v = g_new0(struct volumes, 1);

	v->daemon = d;
	helpers_init(&v->helpers, d->loop);
	loop_timer_init(d->loop, &v->wait_timer, on_wait_timer);
	load(v);
	return v;
}

void volumes_shutdown(struct volumes *v)
{
	loop_timer_stop(&v->wait_timer);
	v->is_ending = true;
	v->ready = NULL;
	v->progress = NULL;
	volumes_looks_give_up(v);
}

void volumes_free(struct volumes *v)
{
	if (!v)
		return;
	while (v->all)
		volumes_drop(v, v->all->data);
	helpers_done(&v->helpers);
	loop_timer_done(&v->wait_timer);
	g_free(v);
}
