/* SPDX-License-Identifier: BSD-2-Clause */
/* Jobs for child processes: attach, resize, release. Attaching and resizing take turns,
 * JOBS_MAX at a time, since a session may have hundreds of units; releasing is one job for many
 * units, and begins at once. attach.h is the manual.
 *
 * A job holds a reference of its unit, and knows the path of its file from when it was made:
 * the directory may be gone when it ends. */
#include "core/attach.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "core/event.h"
#include "core/helper.h"
#include "core/loopdev.h"
#include "core/target.h"

#define JOBS_MAX 16
/* One that does not answer must not be in the way of others. */
#define JOBS_OF_TARGET_MAX 4
/* Reading the partition table may take several requests of a target that is away. */
#define ATTACH_MS 90000
#define RESIZE_MS 60000
#define RELEASE_MS 30000
#define SHUTDOWN_MS 4000
/* Of a login, for the devices of its units: they go on being attached without it. */
#define WAIT_MS 120000

struct attacher {
	struct daemon *daemon;
	struct helpers helpers;
	GQueue waiting;	 /* of struct job */
	GQueue running;	 /* of struct job */
	GList *waiters;	 /* of struct waiter */
	GList *releases; /* of struct release, under way */
	bool is_ending;	 /* nothing is attached any more */
	bool is_over;	 /* nor detached */
	struct ending *ending; /* NULL: none, or it has begun to detach what is left */
};

/* The end of the daemon waits for what has begun, then detaches what is left. */
struct ending {
	struct attacher *attacher;
	struct loop_timer timer;
	void (*done)(void *arg);
	void *arg;
};

struct job {
	struct attacher *attacher;
	struct lun *lun;
	char *path;
	GString *request;
	int64_t limit_ms;
	struct helper *helper; /* NULL: waits for its turn */
	struct operation *op;  /* NULL: nobody waits */
	bool is_attach;
	bool is_unwanted; /* cancelled: what it made is to go again */
};

struct release {
	struct attacher *attacher;
	struct helper *helper;
	GPtrArray *luns; /* references */
	void (*done)(void *arg, const GError *err);
	void *arg;
};

/* Waits until nothing of @target is being attached. */
struct waiter {
	struct target *target;
	struct operation *op;
	struct loop_timer timer;
};

static const char *const names[EXPOSE_WAYS] = {
	[EXPOSE_FILE] = "file", [EXPOSE_BLOCK] = "block", [EXPOSE_NONE] = "none"
};

const char *expose_name(enum expose e)
{
	return names[e];
}

bool expose_parse(const char *name, enum expose *ret)
{
	for (unsigned i = 0; i < EXPOSE_WAYS; i++) {
		if (strcmp(names[i], name))
			continue;
		*ret = (enum expose)i;
		return true;
	}
	return false;
}

/* ---- requests ---- */

static struct attacher *attacher_of(const struct lun *l)
{
	return l->target->daemon->attacher;
}

/* NULL: there is no tree. g_free(). */
static char *path_of(const struct lun *l)
{
	const struct daemon *d = l->target->daemon;

	return d->disk_path ? d->disk_path(l, d->disk_path_arg) : NULL;
}

static void add_word(GString *request, const char *word)
{
	g_string_append_len(request, word, (gssize)strlen(word) + 1);
}

static struct helper *start_helper(struct attacher *a, const GString *request, int64_t limit_ms,
				   void (*done)(void *arg, const struct helper_answer *r),
				   void *arg)
{
	g_autofree char *parent = g_strdup_printf("%d", (int)getpid());
	const char *const argv[] = { "/proc/self/exe", LOOPDEV_OPTION, parent, NULL };

	return helper_start(&a->helpers, argv, request, limit_ms, done, arg);
}

/* What follows @word in the first line that begins with it, or NULL. */
static const char *said(const struct helper_answer *r, const char *word)
{
	for (char **line = r->lines; *line; line++)
		if (g_str_has_prefix(*line, word))
			return *line + strlen(word);
	return NULL;
}

/* ---- a device ---- */

static void set_device(struct lun *l, const char *device, const char *path)
{
	g_free(l->block);
	g_free(l->block_path);
	l->block = g_strdup(device);
	l->block_path = g_strdup(path);
}

static void forget_device(struct lun *l, const char *how)
{
	event_emit(l->target->daemon, EVENT_BLOCK_DETACHED, "%s: lun %u: %s %s",
		   l->target->name, l->number, l->block, how);
	set_device(l, NULL, NULL);
}

/* A release under way has it: what becomes of the device is told by that. */
static bool is_being_released(const struct attacher *a, const struct lun *l)
{
	for (GList *k = a->releases; k; k = k->next)
		if (g_ptr_array_find(((const struct release *)k->data)->luns, l, NULL))
			return true;
	return false;
}

const char *attach_device(struct lun *l)
{
	if (l->block && !is_being_released(attacher_of(l), l) &&
	    loopdev_is_over(l->block, l->block_path) == 0)
		forget_device(l, "was detached by somebody else");
	return l->block;
}

/* ---- release ---- */

static void end_goes_on(struct attacher *a);

static void release_free(struct release *r)
{
	for (guint i = 0; i < r->luns->len; i++)
		object_unref(&((struct lun *)r->luns->pdata[i])->obj);
	g_ptr_array_unref(r->luns);
	g_free(r);
}

static void take_detached(const struct release *r, const char *device)
{
	for (guint i = 0; i < r->luns->len; i++) {
		struct lun *l = r->luns->pdata[i];

		if (l->block && !strcmp(l->block, device))
			forget_device(l, "is detached");
	}
}

/* All that are in the way, in one line. */
static GError *release_error(const struct helper_answer *a)
{
	g_autoptr(GString) text = g_string_new(NULL);
	GError *err = NULL;

	for (char **line = a->lines; *line; line++)
		if (g_str_has_prefix(*line, "busy "))
			g_string_append_printf(text, "%s%s", text->len ? "; " : "", *line + 5);
	if (!text->len)
		g_string_printf(text, "detaching loop devices: %s", a->text);
	error_set_errno(&err,
			a->error == EBUSY ? ISDSC_DEVICE_BUSY_ON_SESSION
					  : ISDSC_NON_SPECIFIC_ERROR,
			a->error, "%s", text->str);
	return err;
}

static void on_released(void *arg, const struct helper_answer *a)
{
	struct release *r = arg;
	struct daemon *d = r->attacher->daemon;
	g_autoptr(GError) err = a->error ? release_error(a) : NULL;

	r->attacher->releases = g_list_remove(r->attacher->releases, r);
	for (char **line = a->lines; *line; line++)
		if (g_str_has_prefix(*line, "detached "))
			take_detached(r, *line + 9);
	if (r->done)
		r->done(r->arg, err);
	else if (err)
		log_warning("%s", err->message);
	release_free(r);
	end_goes_on(d->attacher);
	daemon_release(d);
}

static void add_item(GString *request, struct lun *l)
{
	g_autofree char *name = g_strdup_printf("%s: lun %u", l->target->name, l->number);
	g_autofree char *path = l->block ? g_strdup(l->block_path) : path_of(l);

	add_word(request, name);
	add_word(request, l->block ? l->block : "");
	add_word(request, path ? path : "");
}

static void release(struct attacher *a, const GPtrArray *luns, const char *how,
		    int64_t limit_ms, void (*done)(void *arg, const GError *err), void *arg)
{
	g_autoptr(GString) request = g_string_new(NULL);
	struct release *r = g_new0(struct release, 1);

	r->attacher = a;
	r->luns = g_ptr_array_new();
	r->done = done;
	r->arg = arg;
	add_word(request, "release");
	add_word(request, how);
	for (guint i = 0; i < luns->len; i++) {
		struct lun *l = luns->pdata[i];

		g_ptr_array_add(r->luns, l);
		object_ref(&l->obj);
		add_item(request, l);
	}
	daemon_hold(a->daemon);
	a->releases = g_list_prepend(a->releases, r);
	r->helper = start_helper(a, request, limit_ms, on_released, r);
}

void attach_release(struct daemon *d, const GPtrArray *luns, enum attach_release how,
		    void (*done)(void *arg, const GError *err), void *arg)
{
	static const char *const words[] = {
		[ATTACH_CHECK] = "check", [ATTACH_LOGOUT] = "logout", [ATTACH_FORCE] = "force"
	};

	release(d->attacher, luns, words[how], RELEASE_MS, done, arg);
}

static void release_one(struct lun *l, const char *how,
			void (*done)(void *arg, const GError *err), void *arg)
{
	g_autoptr(GPtrArray) luns = g_ptr_array_new();

	g_ptr_array_add(luns, l);
	release(attacher_of(l), luns, how, RELEASE_MS, done, arg);
}

static void on_stopped(void *arg, const GError *err)
{
	struct operation *op = arg;

	operation_finish(op, err ? g_error_copy(err) : NULL);
	operation_unref(op);
}

void attach_stop(struct lun *l, bool is_forced, struct operation *op)
{
	GError *err = NULL;

	if (attach_device(l)) {
		operation_result(op, "device", "%s", l->block);
		release_one(l, is_forced ? "force" : "detach", on_stopped, operation_ref(op));
		return;
	}
	error_set_errno(&err, ISDSC_NOT_FOUND, ENOENT,
			"%s: lun %u: no loop device of ours is attached", l->target->name,
			l->number);
	operation_finish(op, err);
}

void attach_gone(struct lun *l)
{
	if (l->block && !attacher_of(l)->is_over)
		release_one(l, "force", NULL, NULL);
}

/* ---- jobs ---- */

static void jobs_fill(struct attacher *a);

static bool is_attaching(const GQueue *jobs, const struct target *t, const struct lun *l)
{
	for (GList *k = jobs->head; k; k = k->next) {
		const struct job *j = k->data;

		if (j->is_attach && (!t || j->lun->target == t) && (!l || j->lun == l))
			return true;
	}
	return false;
}

static bool has_attach(const struct attacher *a, const struct target *t, const struct lun *l)
{
	return is_attaching(&a->running, t, l) || is_attaching(&a->waiting, t, l);
}

static void waiter_free(struct waiter *w)
{
	w->target->daemon->attacher->waiters =
		g_list_remove(w->target->daemon->attacher->waiters, w);
	operation_step(w->op, NULL, NULL);
	operation_unref(w->op);
	loop_timer_done(&w->timer);
	object_unref(&w->target->obj);
	g_free(w);
}

static void waiter_end(struct waiter *w)
{
	operation_finish(w->op, NULL);
	waiter_free(w);
}

static void wake_waiters(struct attacher *a)
{
	for (GList *k = a->waiters, *next; k; k = next) {
		struct waiter *w = k->data;

		next = k->next;
		if (!has_attach(a, w->target, NULL))
			waiter_end(w);
	}
}

static void on_wait_cancel(struct operation *op)
{
	waiter_end(op->step);
}

static void on_wait_timer(struct loop_timer *t)
{
	waiter_end(container_of(t, struct waiter, timer));
}

void attach_wait(struct target *t, struct operation *op)
{
	struct attacher *a = t->daemon->attacher;
	struct waiter *w;

	if (!has_attach(a, t, NULL)) {
		operation_finish(op, NULL);
		return;
	}
	w = g_new0(struct waiter, 1);
	w->target = t;
	object_ref(&t->obj);
	w->op = operation_ref(op);
	operation_step(op, on_wait_cancel, w);
	loop_timer_init(op->loop, &w->timer, on_wait_timer);
	loop_timer_start(&w->timer, WAIT_MS);
	a->waiters = g_list_append(a->waiters, w);
}

static void job_free(struct job *j)
{
	struct attacher *a = j->attacher;

	g_queue_remove(&a->running, j);
	g_queue_remove(&a->waiting, j);
	if (j->op) {
		operation_step(j->op, NULL, NULL);
		operation_unref(j->op);
	}
	object_unref(&j->lun->obj);
	g_string_free(j->request, TRUE);
	g_free(j->path);
	g_free(j);
	jobs_fill(a);
	wake_waiters(a);
	end_goes_on(a);
}

/* Takes @err. */
static void job_fail(struct job *j, GError *err)
{
	struct lun *l = j->lun;

	if (!j->op) /* else who wrote the command tells */
		object_fail(&l->obj, "attach", err);
	event_emit(l->target->daemon, EVENT_BLOCK_FAILED, "%s", err->message);
	if (j->op)
		operation_finish(j->op, err);
	else
		g_error_free(err);
}

static void take_attached(struct job *j, const char *device)
{
	struct lun *l = j->lun;

	set_device(l, device, j->path);
	event_emit(l->target->daemon, EVENT_BLOCK_ATTACHED, "%s: lun %u: is %s",
		   l->target->name, l->number, device);
	if (j->op) {
		operation_result(j->op, "device", "%s", device);
		operation_finish(j->op, NULL);
	}
	if (l->obj.is_gone)
		attach_gone(l);
}

static void on_attached(void *arg, const struct helper_answer *a)
{
	struct job *j = arg;
	struct lun *l = j->lun;
	const char *device = said(a, "device ");
	GError *err = NULL;

	j->helper = NULL;
	if (!a->error && device && !j->is_unwanted) {
		take_attached(j, device);
		job_free(j);
		return;
	}
	if (device) { /* it may be there, or not: make sure that it is not */
		set_device(l, device, j->path);
		attach_gone(l);
		set_device(l, NULL, NULL);
	}
	if (j->is_unwanted) {
		job_free(j);
		return;
	}
	error_set_errno(&err, ISDSC_NON_SPECIFIC_ERROR, a->error ? a->error : EPROTO,
			"%s: lun %u: no loop device could be attached: %s", l->target->name,
			l->number, a->text);
	job_fail(j, err);
	job_free(j);
}

static void on_resized(void *arg, const struct helper_answer *a)
{
	struct job *j = arg;

	j->helper = NULL;
	for (char **line = a->lines; *line && line[1]; line++) /* the last is the verdict */
		log_info("%s: lun %u: %s", j->lun->target->name, j->lun->number, *line);
	if (a->error)
		log_warning("%s: lun %u: telling loop devices of its size: %s",
			    j->lun->target->name, j->lun->number, a->text);
	job_free(j);
}

static unsigned count_running(const struct attacher *a, const struct target *t)
{
	unsigned count = 0;

	for (GList *k = a->running.head; k; k = k->next)
		count += ((struct job *)k->data)->lun->target == t;
	return count;
}

/* The first that may begin, or NULL. */
static struct job *next_job(const struct attacher *a)
{
	const struct target *full = NULL; /* the last that was found so: they come in rows */

	for (GList *k = a->waiting.head; k; k = k->next) {
		struct job *j = k->data;

		if (j->lun->target == full)
			continue;
		if (count_running(a, j->lun->target) < JOBS_OF_TARGET_MAX)
			return j;
		full = j->lun->target;
	}
	return NULL;
}

static void jobs_fill(struct attacher *a)
{
	while (!a->is_ending && g_queue_get_length(&a->running) < JOBS_MAX) {
		struct job *j = next_job(a);

		if (!j)
			return;
		g_queue_remove(&a->waiting, j);
		g_queue_push_tail(&a->running, j);
		j->helper = start_helper(a, j->request, j->limit_ms,
					 j->is_attach ? on_attached : on_resized, j);
	}
}

static void on_job_cancel(struct operation *op)
{
	struct job *j = op->step;

	j->op = NULL;
	j->is_unwanted = true;
	operation_step(op, NULL, NULL);
	operation_finish(op, NULL);
	operation_unref(op);
	if (j->helper)
		helper_kill(j->helper);
	else
		job_free(j);
}

static struct job *job_new(struct lun *l, const char *verb, char *path)
{
	struct job *j = g_new0(struct job, 1);

	j->attacher = attacher_of(l);
	j->lun = l;
	object_ref(&l->obj);
	j->path = path;
	j->request = g_string_new(NULL);
	add_word(j->request, verb);
	add_word(j->request, path);
	g_queue_push_tail(&j->attacher->waiting, j);
	return j;
}

/* Takes @path. */
static void job_attach(struct lun *l, char *path, struct operation *op)
{
	struct job *j = job_new(l, "attach", path);
	g_autofree char *block = g_strdup_printf("%u", (unsigned)l->disk->block_bytes);

	add_word(j->request, block);
	add_word(j->request, l->disk->is_read_only ? "ro" : "rw");
	j->limit_ms = ATTACH_MS;
	j->is_attach = true;
	if (op) {
		j->op = operation_ref(op);
		operation_step(op, on_job_cancel, j);
	}
	jobs_fill(j->attacher);
}

/* ---- what is asked for ---- */

static gboolean may_attach(struct lun *l, GError **err)
{
	if (l->obj.is_gone || !l->has_disk)
		error_set_errno(err, ISDSC_NOT_FOUND, l->not_ready ? l->not_ready : ENODEV,
				"%s: lun %u: there is no disk", l->target->name, l->number);
	else if (target_expose(l->target) == EXPOSE_NONE)
		error_set(err, ISDSC_REQUEST_NOT_SUPPORTED,
			  "%s: lun %u: logged in with expose=none", l->target->name, l->number);
	else if (attach_device(l))
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EEXIST,
				"%s: lun %u: is %s already", l->target->name, l->number,
				l->block);
	else if (has_attach(attacher_of(l), NULL, l) || attacher_of(l)->is_ending)
		error_set_errno(err, ISDSC_SESSION_BUSY, EBUSY, "%s: lun %u: busy",
				l->target->name, l->number);
	else
		return TRUE;
	return FALSE;
}

void attach_start(struct lun *l, struct operation *op)
{
	char *path = path_of(l);
	GError *err = NULL;

	if (!path)
		error_set_errno(&err, ISDSC_NON_SPECIFIC_ERROR, ENODEV,
				"the tree is not mounted");
	else if (may_attach(l, &err))
		job_attach(l, g_steal_pointer(&path), op);
	g_free(path);
	if (err)
		operation_finish(op, err);
}

/* Two devices over one disk would be two caches of it. */
static bool has_twin_device(const struct lun *l)
{
	for (GList *k = l->disk->luns; k; k = k->next) {
		struct lun *other = k->data;

		if (other != l && (attach_device(other) || has_attach(attacher_of(other), NULL, other)))
			return true;
	}
	return false;
}

void attach_found(struct lun *l)
{
	char *path;

	if (!l->has_disk || l->is_attach_tried || target_expose(l->target) != EXPOSE_BLOCK)
		return;
	path = path_of(l);
	if (!path)
		return;
	l->is_attach_tried = true;
	if (!has_twin_device(l) && may_attach(l, NULL))
		job_attach(l, path, NULL);
	else
		g_free(path);
}

/* One that has not begun yet will see the newest size. */
static bool has_resize(const struct attacher *a, const struct lun *l)
{
	for (GList *k = a->waiting.head; k; k = k->next) {
		const struct job *j = k->data;

		if (!j->is_attach && j->lun == l)
			return true;
	}
	return false;
}

void attach_resized(struct lun *l)
{
	for (GList *k = l->disk->luns; k; k = k->next) {
		struct lun *same = k->data;
		bool is_wanted = same->open_count && !has_resize(attacher_of(same), same);
		char *path = is_wanted ? path_of(same) : NULL;

		if (path)
			job_new(same, "resize", path)->limit_ms = RESIZE_MS;
	}
	jobs_fill(attacher_of(l));
}

/* ---- from begin to end ---- */

struct attacher *attacher_new(struct daemon *d)
{
	struct attacher *a = g_new0(struct attacher, 1);

	a->daemon = d;
	helpers_init(&a->helpers, d->loop);
	g_queue_init(&a->waiting);
	g_queue_init(&a->running);
	return a;
}

/* Who waits for @j learns why it is not done. */
static void job_tell_end(struct job *j)
{
	GError *err = NULL;

	if (!j->op)
		return;
	error_set_errno(&err, ISDSC_SERVICE_NOT_RUNNING, EBUSY, "%s: lun %u: the daemon ends",
			j->lun->target->name, j->lun->number);
	operation_step(j->op, NULL, NULL);
	operation_finish(j->op, err);
	operation_unref(j->op);
	j->op = NULL;
}

static void drop_waiting(struct attacher *a)
{
	struct job *j;

	a->is_ending = true;
	while ((j = g_queue_peek_head(&a->waiting))) {
		job_tell_end(j);
		job_free(j);
	}
}

/* What a child says when it is killed counts: it may have made its device already. */
static void kill_running(struct attacher *a)
{
	for (GList *k = a->running.head; k; k = k->next) {
		struct job *j = k->data;

		job_tell_end(j);
		j->is_unwanted = true;
		helper_kill(j->helper);
	}
}

static void give_up(struct attacher *a)
{
	struct job *j;

	drop_waiting(a);
	while ((j = g_queue_peek_head(&a->running))) {
		job_tell_end(j);
		helper_cancel(j->helper);
		job_free(j);
	}
	while (a->releases) {
		static char *none[] = { NULL };
		struct release *r = a->releases->data;

		helper_cancel(r->helper);
		on_released(r, &(struct helper_answer){ EBUSY, "the daemon ends", none });
	}
}

void attacher_stop(struct attacher *a)
{
	if (!a)
		return;
	a->is_over = true;
	give_up(a);
}

void attacher_free(struct attacher *a)
{
	if (!a)
		return;
	helpers_done(&a->helpers);
	g_free(a);
}

static void on_all_released(void *arg, const GError *err)
{
	struct ending *e = arg;

	if (err)
		log_warning("%s", err->message);
	e->done(e->arg);
	loop_timer_done(&e->timer);
	g_free(e);
}

/* Everything that had begun has come to its end. */
static void detach_rest(struct attacher *a)
{
	g_autoptr(GPtrArray) luns = g_ptr_array_new();
	struct ending *e = g_steal_pointer(&a->ending);

	loop_timer_stop(&e->timer);
	for (GList *t = a->daemon->targets; t; t = t->next)
		for (GList *k = ((struct target *)t->data)->luns; k; k = k->next)
			if (((struct lun *)k->data)->block)
				g_ptr_array_add(luns, k->data);
	a->is_over = true;
	if (luns->len)
		release(a, luns, "force", SHUTDOWN_MS, on_all_released, e);
	else
		on_all_released(e, NULL);
}

static void end_goes_on(struct attacher *a)
{
	if (a->ending && !a->releases && g_queue_is_empty(&a->running))
		detach_rest(a);
}

static void on_end_is_late(struct loop_timer *t)
{
	struct attacher *a = container_of(t, struct ending, timer)->attacher;

	give_up(a);
	end_goes_on(a);
}

void attacher_shutdown(struct attacher *a, void (*done)(void *arg), void *arg)
{
	struct ending *e = g_new0(struct ending, 1);

	e->attacher = a;
	e->done = done;
	e->arg = arg;
	loop_timer_init(a->daemon->loop, &e->timer, on_end_is_late);
	loop_timer_start(&e->timer, SHUTDOWN_MS);
	drop_waiting(a);
	kill_running(a);
	a->ending = e;
	end_goes_on(a);
}
