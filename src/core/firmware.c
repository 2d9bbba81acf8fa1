/* SPDX-License-Identifier: BSD-2-Clause */
/* The firmware as a source of targets; firmware.h is the manual. A job of the worker has the path
 * and what was read; the loop thread does not touch it before it is done. */
#include "core/firmware.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/event.h"
#include "core/found.h"
#include "core/ibft.h"
#include "core/target.h"

struct firmware_job {
	struct worker_job job;
	struct firmware *firmware;
	char *path;
	bool has_run;
	struct ibft *table; /* NULL: none, or @error */
	GError *error;
};

/* ---- states ---- */

static const char *const state_names[FIRMWARE_STATES] = {
	[FIRMWARE_NEVER] = "never", [FIRMWARE_BUSY] = "busy",	  [FIRMWARE_NONE] = "none",
	[FIRMWARE_OK] = "ok",	    [FIRMWARE_FAILED] = "failed",
};

#define TO(state) (1u << FIRMWARE_##state)
static const unsigned transitions[FIRMWARE_STATES] = {
	[FIRMWARE_NEVER] = TO(BUSY), [FIRMWARE_BUSY] = TO(NONE) | TO(OK) | TO(FAILED),
	[FIRMWARE_NONE] = TO(BUSY),  [FIRMWARE_OK] = TO(BUSY),
	[FIRMWARE_FAILED] = TO(BUSY),
};

bool firmware_state_may(enum firmware_state from, enum firmware_state to)
{
	return transitions[from] >> to & 1;
}

const char *firmware_state_name(const struct firmware *f)
{
	return state_names[f->state];
}

static void set_state(struct firmware *f, enum firmware_state state)
{
	assert(firmware_state_may(f->state, state));
	log_debug("firmware: %s -> %s", state_names[f->state], state_names[state]);
	f->state = state;
}

/* ---- what is in the table ---- */

static void report_bad(struct firmware *f, const struct ibft_target *t, GError *err)
{
	g_autofree char *name = text_escape(t->name, strlen(t->name), ISCSI_NAME_MAX);
	g_autofree char *text = g_strdup_printf("firmware: target%u \"%s\" passed over: %s",
						t->number, name, err->message);

	if (g_error_matches(err, ERROR_ISDSC, ISDSC_INVALID_ISCSI_NAME))
		event_emit(f->daemon, EVENT_INVALID_NAME, "%s", text);
	else
		log_warning("%s", text);
	object_fail_text(&f->obj, "refresh", err->code, error_errno(err), text);
	g_error_free(err);
}

static gboolean set_option(struct login_options *o, const char *key, const char *value,
			   GError **err)
{
	return !value || login_options_set(o, key, value, err);
}

static bool is_ipv6(const char *address)
{
	return strchr(address, ':') != NULL;
}

/* From the address of the card that the firmware used, if this host has it now: an interface may
 * have got another one since the boot, and then the routes decide. */
static const char *source_for(const struct ibft *table, const struct ibft_target *t)
{
	const struct ibft_nic *n = ibft_find_nic(table, t->nic);

	return n && n->is_here && is_ipv6(n->address) == is_ipv6(t->address) &&
			       !g_str_has_prefix(n->address, "fe80:")
		       ? n->address
		       : NULL;
}

/* A secret that is told and cannot be used must not become a login without one. */
static gboolean take_options(struct login_options *o, const struct ibft *table,
			     const struct ibft_target *t, GError **err)
{
	static const char *const auth[] = {
		[IBFT_CHAP_NONE] = NULL, [IBFT_CHAP] = "chap", [IBFT_CHAP_MUTUAL] = "mutual"
	};
	bool is_chap = t->chap != IBFT_CHAP_NONE, is_mutual = t->chap == IBFT_CHAP_MUTUAL;

	memset(o, 0, sizeof(*o));
	if (set_option(o, "source", source_for(table, t), err) &&
	    set_option(o, "auth", auth[t->chap], err) &&
	    (!is_chap || (set_option(o, "user", t->user, err) &&
			  set_option(o, "secret", t->secret, err))) &&
	    (!is_mutual || (set_option(o, "user_in", t->user_in, err) &&
			    set_option(o, "secret_in", t->secret_in, err))))
		return TRUE;
	login_options_done(o);
	return FALSE;
}

/* The targets of the table with this name are one; what the first says of logins counts. */
static void add_target(struct found *found, const char *name, const struct ibft *table,
		       unsigned first, const struct login_options *o)
{
	g_autoptr(GArray) portals = g_array_new(FALSE, FALSE, sizeof(struct target_portal));

	for (unsigned i = first; i < table->targets->len; i++) {
		const struct ibft_target *t = table->targets->pdata[i];
		struct target_portal p = { .host = t->address, .port = t->port, .tpgt = -1 };
		g_autofree char *other = text_iscsi_name(t->name, NULL);

		if (!g_strcmp0(other, name))
			g_array_append_val(portals, p);
	}
	found_add(found, name, (const struct target_portal *)(void *)portals->data, portals->len,
		  o);
}

/* False: one that came before has the name, or there is something wrong with it. */
static bool take_target(struct firmware *f, struct found *found, const struct ibft *table,
			unsigned index)
{
	const struct ibft_target *t = table->targets->pdata[index];
	GError *err = NULL;
	g_autofree char *name = text_iscsi_name(t->name, &err);
	struct login_options o;

	if (name && g_hash_table_contains(found->names, name))
		return false;
	if (!name || !take_options(&o, table, t, &err)) {
		report_bad(f, t, err);
		return false;
	}
	add_target(found, name, table, index, &o);
	login_options_done(&o);
	return true;
}

static void add_word(GString *line, const char *name, const char *value)
{
	if (value)
		g_string_append_printf(line, " %s=%s", name, value);
}

static void take_nics(struct firmware *f, const struct ibft *table)
{
	g_ptr_array_set_size(f->nics, 0);
	for (unsigned i = 0; table && i < table->nics->len; i++) {
		const struct ibft_nic *n = table->nics->pdata[i];
		GString *line = g_string_new(NULL);

		g_string_append_printf(line, "ethernet%u", n->number);
		add_word(line, "mac", n->mac);
		add_word(line, "address", n->address);
		add_word(line, "mask", n->mask);
		add_word(line, "gateway", n->gateway);
		add_word(line, "dns", n->dns);
		add_word(line, "vlan", n->vlan);
		add_word(line, "here", n->is_here ? "yes" : "no");
		g_ptr_array_add(f->nics, g_string_free(line, FALSE));
	}
}

/* @table NULL: there is none. */
static void take_table(struct firmware *f, const struct ibft *table)
{
	struct found found;

	f->targets_found = 0;
	found_begin(&found, f->daemon, INSTANCE_FIRMWARE_NAME, INSTANCE_FIRMWARE, "firmware");
	for (unsigned i = 0; table && i < table->targets->len; i++)
		f->targets_found += take_target(f, &found, table, i);
	found_end(&found);
	take_nics(f, table);
	g_free(f->initiator_name);
	f->initiator_name = g_strdup(table ? table->initiator_name : NULL);
	f->last_ok_us = table ? g_get_real_time() : f->last_ok_us;
}

/* ---- reading ---- */

static void run(struct worker_job *job)
{
	struct firmware_job *j = container_of(job, struct firmware_job, job);

	j->has_run = true;
	j->table = ibft_read(j->path, &j->error);
}

static void answer(struct firmware *f, const GError *err)
{
	g_autoptr(GList) asking = g_steal_pointer(&f->asking);

	for (GList *l = asking; l; l = l->next) {
		struct operation *op = l->data;

		if (!err)
			operation_result(op, "targets", "%u", f->targets_found);
		operation_finish(op, err ? g_error_copy(err) : NULL);
		operation_unref(op);
		daemon_release(f->daemon);
	}
}

static void take_outcome(struct firmware *f, struct firmware_job *j)
{
	if (!j->has_run || f->obj.is_gone) {
		g_clear_error(&j->error);
		error_set_errno(&j->error, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
				"firmware: the daemon is shutting down");
	} else if (j->error) {
		g_prefix_error(&j->error, "firmware: %s: ", j->path);
		event_emit(f->daemon, EVENT_FIRMWARE_FAILED, "%s", j->error->message);
		if (!f->asking) /* at start; else those that asked see to it */
			object_fail(&f->obj, "refresh", j->error);
		set_state(f, FIRMWARE_FAILED);
	} else {
		take_table(f, j->table);
		set_state(f, j->table ? FIRMWARE_OK : FIRMWARE_NONE);
	}
}

static void start(struct firmware *f);

static void done(struct worker_job *job)
{
	struct firmware_job *j = container_of(job, struct firmware_job, job);
	struct firmware *f = j->firmware;

	f->reading = NULL;
	take_outcome(f, j);
	answer(f, j->error);
	f->asking = g_steal_pointer(&f->asking_next);
	if (f->asking && !f->obj.is_gone && j->has_run)
		start(f);
	else
		answer(f, j->error);
	ibft_free(j->table);
	g_clear_error(&j->error);
	g_free(j->path);
	g_free(j);
	object_unref(&f->obj);
}

static void start(struct firmware *f)
{
	const char *path = f->daemon->conf.ibft_path;
	struct firmware_job *j = g_new0(struct firmware_job, 1);

	j->firmware = f;
	object_ref(&f->obj);
	j->path = g_strdup(path ? path : IBFT_DEFAULT_PATH);
	j->job.run = run;
	j->job.done = done;
	f->reading = j;
	set_state(f, FIRMWARE_BUSY);
	worker_submit(f->daemon->worker, &j->job);
}

void firmware_refresh(struct firmware *f, struct operation *op)
{
	operation_where(op, "discovery/firmware");
	operation_ref(op);
	daemon_hold(f->daemon); /* until it is told */
	if (f->reading) {
		f->asking_next = g_list_append(f->asking_next, op);
		return;
	}
	f->asking = g_list_append(f->asking, op);
	start(f);
}

/* ---- the object ---- */

static void firmware_free(struct object *o)
{
	struct firmware *f = container_of(o, struct firmware, obj);

	g_free(f->initiator_name);
	g_ptr_array_unref(f->nics);
	object_done(o);
	g_free(f);
}

struct firmware *firmware_new(struct daemon *d)
{
	struct firmware *f = g_new0(struct firmware, 1);

	object_init(&f->obj, d->loop, OBJECT_FIRMWARE, firmware_free);
	f->daemon = d;
	f->nics = g_ptr_array_new_with_free_func(g_free);
	start(f);
	return f;
}

void firmware_gone(struct firmware *f)
{
	object_gone(&f->obj);
}

static void run_refresh(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	firmware_refresh(container_of(obj, struct firmware, obj), op);
}

const struct verb firmware_verbs[] = {
	{ "refresh", "", 0, 0, NULL, NULL, run_refresh, "read the firmware's table again" },
	{ 0 },
};
