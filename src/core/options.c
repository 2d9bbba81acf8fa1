/* SPDX-License-Identifier: BSD-2-Clause */
/* Login options: the table of keys, the checks that a type alone cannot make, merging (B6), and
 * the session configuration that comes of them. Called by the verbs of target, session and
 * discovery, and by conf.c for the types of its options.
 *
 * Invariants: values[] holds only names of login_keys[], each checked, none of them asking for
 * what this version cannot do, and none a file to be read.
 * Every value is wiped when it goes. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/options.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "base/wire.h"
#include "core/daemon.h"
#include "core/event.h"
#include "core/mapping.h"
#include "core/options_state.h"
#include "core/resolve.h"
#include "core/secret_file.h"

/* Bounds are those of RFC 7143 section 13; negotiation keys are named after theirs there. */
/* Events of the guide. */
#define EVENT_TARGET_SECRET_SHORT 35
#define EVENT_INITIATOR_SECRET_SHORT 36

#define SEGMENT_MIN 512
#define SEGMENT_MAX 16777215

const struct command_key login_keys[] = {
	{ "portal", COMMAND_TEXT, .help = "log in here, ADDR[:PORT]; default: as discovered" },
	{ "mechanism", COMMAND_TEXT,
	  .help = "what is known by this one counts; a name in instances/, or its begin" },
	/* SOURCE_KEYS begins here. */
	{ "instance", COMMAND_TEXT,
	  .help = "way out of this host: a name in initiator/instances; default: default" },
	{ "port", COMMAND_TEXT, .help = "of the instance: a number in its file ports" },
	{ "source", COMMAND_TEXT, .help = "numeric address of ours to connect from" },

	{ "auth", COMMAND_CHOICE, .choices = "none|chap|mutual",
	  .code = ISDSC_INVALID_LOGON_AUTH_TYPE,
	  .help = "default: what the secrets given call for" },
	{ "user", COMMAND_TEXT, .help = "our CHAP name; default: the initiator name" },
	{ "secret", COMMAND_TEXT, .is_secret = true,
	  .help = "proves us to the target; 12 bytes or more, 0x... is hex" },
	{ "secret_file", COMMAND_TEXT, .help = "file with the secret; mode 0600",
	  .is_owners = true },
	{ "user_in", COMMAND_TEXT, .help = "CHAP name the target must give; default: any" },
	{ "secret_in", COMMAND_TEXT, .is_secret = true, .help = "proves the target to us" },
	{ "secret_in_file", COMMAND_TEXT, .help = "file with secret_in; mode 0600",
	  .is_owners = true },

	{ "header_digest", COMMAND_CHOICE, .choices = "no|yes|prefer",
	  .help = "CRC32C over headers; prefer: if the target can" },
	{ "data_digest", COMMAND_CHOICE, .choices = "no|yes|prefer",
	  .help = "CRC32C over data; prefer: if the target can" },
	{ "initial_r2t", COMMAND_BOOL,
	  .help = "InitialR2T: no data of a write is sent unasked" },
	{ "immediate_data", COMMAND_BOOL,
	  .help = "ImmediateData: send data along with a write" },
	{ "first_burst_length", COMMAND_NUMBER, SEGMENT_MIN, SEGMENT_MAX,
	  .help = "FirstBurstLength: bytes of a write sent unasked" },
	{ "max_burst_length", COMMAND_NUMBER, SEGMENT_MIN, SEGMENT_MAX,
	  .help = "MaxBurstLength: bytes of one transfer request" },
	{ "max_recv_data_segment_length", COMMAND_NUMBER, SEGMENT_MIN, SEGMENT_MAX,
	  .help = "bytes of data in a PDU that we accept" },
	{ "max_outstanding_r2t", COMMAND_NUMBER, 1, 65535,
	  .help = "MaxOutstandingR2T: transfer requests at once; at most 8 are agreed to" },
	{ "data_pdu_in_order", COMMAND_BOOL,
	  .help = "DataPDUInOrder; no: a target may send the PDUs of a burst in any order" },
	{ "data_sequence_in_order", COMMAND_BOOL,
	  .help = "DataSequenceInOrder; no: a target may move bursts in any order" },
	/* Asked for so that add-connection works wherever the target lets it; to agree to more
	 * than are used costs neither side anything, and every target answers with what it can.
	 */
	{ "max_connections", COMMAND_NUMBER, 1, 65535,
	  .help = "MaxConnections: connections in a session, at most" },
	/* 0 is what every target does well. Some agree to 2 with nothing behind it (tgtd), or
	 * fall over their own recovery (LIO of Linux 6.1): whoever has a good one asks for
	 * more. */
	{ "erl", COMMAND_NUMBER, 0, 2,
	  .help = "ErrorRecoveryLevel; above 0 only with a target that is known to do it "
		  "well" },
	{ "time2wait", COMMAND_NUMBER, 0, 3600,
	  .help = "DefaultTime2Wait: seconds before a reconnect" },
	{ "time2retain", COMMAND_NUMBER, 0, 3600,
	  .help = "DefaultTime2Retain: seconds tasks outlive a session" },

	{ "connect_timeout", COMMAND_SECONDS, .help = "time for a TCP connect; 0: no limit" },
	{ "login_timeout", COMMAND_SECONDS, .help = "time for the login phase" },
	{ "logout_timeout", COMMAND_SECONDS, .help = "time for a logout" },
	{ "text_timeout", COMMAND_SECONDS, .help = "time for a text exchange" },
	{ "nop_interval", COMMAND_SECONDS,
	  .help = "silence before the target is pinged; 0: never" },
	{ "nop_timeout", COMMAND_SECONDS, .help = "time for the answer to a ping" },
	{ "command_timeout", COMMAND_SECONDS,
	  .help = "time for a SCSI command, retries included" },

	{ "multipath", COMMAND_BOOL,
	  .help = "one of several sessions with the target; all of them must have it" },
	{ "pr_key", COMMAND_NUMBER, 1, UINT64_MAX,
	  .help = "persistent reservation key, registered at each unit by each path" },
	{ "guard", COMMAND_BOOL,
	  .help = "opening a unit for writing needs its persistent reservation" },
	{ "persist", COMMAND_BOOL, .help = "log in at every start, too" },
	{ "expose", COMMAND_CHOICE, .choices = "file|block|none",
	  .help = "the units become files, loop devices besides, or nothing that can be read" },
	{ "ipsec_required", COMMAND_BOOL, .help = "only no in this version" },
	{ "security_flags", COMMAND_NUMBER, 0, UINT32_MAX, .help = "only 0 in this version" },
	{ "mapping", COMMAND_TEXT,
	  .help = "numbers that units are shown under: TARGET_LUN:NUMBER,..." },
	{ 0 },
};

/* Keys whose function comes with later work, and the value that means what is done today. */
static const struct {
	const char *key, *as_now;
} not_yet[] = {
	{ "ipsec_required", "no" },
	{ "security_flags", "0" },
};

/* What moves as one (B6). Where a source of targets says auth=none, and no more, it says nothing:
 * whoever logs in may say so, and means it. */
static const char *const auth_unit[] = { "auth", "user", "secret", "user_in", "secret_in" };

/* Read from the file named by the one, kept as the other. */
static const struct {
	const char *key, *becomes;
} secret_files[] = {
	{ "secret_file", "secret" },
	{ "secret_in_file", "secret_in" },
};

#define REFUSE(err, ...) \
	error_set_errno(err, ISDSC_LOGIN_USER_INFO_BAD, EINVAL, __VA_ARGS__)

const struct command_key *login_key(const char *name)
{
	for (const struct command_key *k = login_keys; k->name; k++)
		if (!strcmp(k->name, name))
			return k;
	return NULL;
}

/* --- what a type alone does not tell --- */

static gboolean check_portal(const char *value, GError **err)
{
	g_autofree char *host = NULL;
	uint16_t port;
	int tpgt;

	if (text_parse_portal(value, ISCSI_DEFAULT_PORT, &host, &port, &tpgt) == 0)
		return TRUE;
	REFUSE(err, "not an ADDR[:PORT][,TPGT]");
	return FALSE;
}

static gboolean check_source(const char *value, GError **err)
{
	if (resolve_is_numeric(value))
		return TRUE;
	REFUSE(err, "not a numeric address");
	return FALSE;
}

static gboolean check_user(const char *value, GError **err)
{
	size_t len = strlen(value);

	if (len > 0 && len <= CHAP_NAME_MAX)
		return TRUE;
	error_set_errno(err, ISDSC_INVALID_CHAP_USER_NAME, EINVAL,
			"%zu bytes long, 1 to %d are allowed", len, CHAP_NAME_MAX);
	return FALSE;
}

static gboolean check_secret(const char *value, GError **err)
{
	uint8_t *secret;
	size_t bytes;

	if (!chap_secret_parse(value, &secret, &bytes, err))
		return FALSE;
	text_wipe(secret, bytes);
	g_free(secret);
	return TRUE;
}

static gboolean check_mapping(const char *value, GError **err)
{
	struct mapping *m = mapping_parse(value, err);

	mapping_free(m);
	return m != NULL;
}

static const struct {
	const char *key;
	gboolean (*check)(const char *value, GError **err); /* says what is wrong */
} checks[] = {
	{ "portal", check_portal }, { "source", check_source }, { "user", check_user },
	{ "user_in", check_user },  { "secret", check_secret }, { "secret_in", check_secret },
	{ "mapping", check_mapping },
};

static gboolean check_value(const char *key, const char *value, GError **err)
{
	for (size_t i = 0; i < G_N_ELEMENTS(checks); i++)
		if (!strcmp(checks[i].key, key) && !checks[i].check(value, err)) {
			g_prefix_error(err, "%s: ", key);
			return FALSE;
		}
	return TRUE;
}

static bool is_same(const struct command_key *k, const char *a, const char *b)
{
	uint64_t m, n;
	bool p, q;

	if (k->type == COMMAND_BOOL)
		return text_parse_bool(a, &p) == 0 && text_parse_bool(b, &q) == 0 && p == q;
	if (k->type == COMMAND_NUMBER)
		return text_parse_u64(a, k->min, k->max, &m) == 0 &&
		       text_parse_u64(b, k->min, k->max, &n) == 0 && m == n;
	return !strcmp(a, b);
}

static gboolean check_available(const struct command_key *k, const char *value, GError **err)
{
	for (size_t i = 0; i < G_N_ELEMENTS(not_yet); i++) {
		g_autofree char *shown = NULL;

		if (strcmp(not_yet[i].key, k->name))
			continue;
		if (not_yet[i].as_now && is_same(k, value, not_yet[i].as_now))
			return TRUE;
		shown = text_escape(value, strlen(value), 64);
		error_set_errno(err,
				strstr(k->name, "ipsec") ? ISDSC_IPSEC_NOT_SUPPORTED_ON_OS
							 : ISDSC_REQUEST_NOT_SUPPORTED,
				EOPNOTSUPP, "%s=%s is not available in this version", k->name, shown);
		return FALSE;
	}
	return TRUE;
}

/* --- the set of values --- */

static void free_secret(void *s)
{
	text_free_secret(s);
}

/* Takes @value. */
static void set(struct login_options *o, const char *key, char *value)
{
	if (!o->values)
		o->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_secret);
	g_hash_table_insert(o->values, g_strdup(key), value);
}

const char *login_option(const struct login_options *o, const char *key)
{
	return o->values ? g_hash_table_lookup(o->values, key) : NULL;
}

bool login_option_number(const struct login_options *o, const char *key, uint64_t *ret)
{
	const char *value = login_option(o, key);

	return value && text_parse_u64(value, 0, UINT64_MAX, ret) == 0;
}

void login_options_done(struct login_options *o)
{
	g_clear_pointer(&o->values, g_hash_table_unref);
}

/* login_options_fetch() has read the files. */
static bool is_secret_file(const char *key)
{
	for (size_t i = 0; i < G_N_ELEMENTS(secret_files); i++)
		if (!strcmp(secret_files[i].key, key))
			return true;
	return false;
}

gboolean login_options_from(struct login_options *o, const struct command *cmd, GError **err)
{
	struct login_options taken = { 0 };

	for (const struct command_key *k = login_keys; k->name; k++) {
		const char *value = command_key(cmd, k->name);

		/* A key that the verb has of its own, under the same name, is not ours. */
		if (!value || command_find_key(cmd->verb, k->name) != k)
			continue;
		assert(!is_secret_file(k->name));
		if (!check_available(k, value, err) || !check_value(k->name, value, err)) {
			login_options_done(&taken);
			return FALSE;
		}
		set(&taken, k->name, g_strdup(value));
	}
	*o = taken;
	return TRUE;
}

gboolean login_options_set(struct login_options *o, const char *key, const char *value,
			   GError **err)
{
	const struct command_key *k = login_key(key);

	if (!k || is_secret_file(key)) {
		REFUSE(err, "%s: no such login key", key);
		return FALSE;
	}
	if (!command_check(k, value, err) || !check_available(k, value, err) ||
	    !check_value(key, value, err))
		return FALSE;
	set(o, key, g_strdup(value));
	return TRUE;
}

void login_options_set_secret(struct login_options *o, const char *key, char *value)
{
	set(o, key, value);
}

void login_options_tell(struct daemon *d, const GError *err)
{
	bool is_in = g_str_has_prefix(err->message, "secret_in");

	if (g_error_matches(err, ERROR_ISDSC, ISDSC_SHORT_CHAP_SECRET))
		event_emit(d, is_in ? EVENT_TARGET_SECRET_SHORT : EVENT_INITIATOR_SECRET_SHORT,
			   "%s", err->message);
}

static bool is_auth(const char *key)
{
	for (size_t i = 0; i < G_N_ELEMENTS(auth_unit); i++)
		if (!strcmp(auth_unit[i], key))
			return true;
	return false;
}

static bool has_auth(const struct login_options *o)
{
	for (size_t i = 0; i < G_N_ELEMENTS(auth_unit); i++)
		if (login_option(o, auth_unit[i]))
			return true;
	return false;
}

static bool says_none(const struct login_options *o)
{
	const char *method = login_option(o, "auth");

	return method && !strcmp(method, "none");
}

/* Those of @from that @o lacks; authentication only if @with_auth. */
static void fill(struct login_options *o, const struct login_options *from, bool with_auth)
{
	GHashTableIter iter;
	void *key, *value;

	if (!from->values)
		return;
	g_hash_table_iter_init(&iter, from->values);
	while (g_hash_table_iter_next(&iter, &key, &value))
		if (!login_option(o, key) && (with_auth || !is_auth(key)))
			set(o, key, g_strdup(value));
}

void login_options_merge(struct login_options *o, const struct login_options *under)
{
	fill(o, under, !has_auth(o) && !says_none(under));
}

void login_options_drop(struct login_options *o, const char *key)
{
	if (o->values)
		g_hash_table_remove(o->values, key);
	if (o->values && !g_hash_table_size(o->values))
		g_clear_pointer(&o->values, g_hash_table_unref);
}

void login_options_copy(struct login_options *to, const struct login_options *from)
{
	*to = (struct login_options){ 0 };
	fill(to, from, true);
}

/* --- secrets in files --- */

/* A command whose files are being read, one after the other. Its operation is on the daemon's
 * list meanwhile. */
struct fetch {
	struct daemon *daemon;
	struct object *obj;
	struct command *cmd;
	struct operation *op;
	size_t row; /* of secret_files[], the one being read */
	struct secret_file *reading;
	void (*run)(struct object *obj, const struct command *cmd, struct operation *op);
};

static void fetch_free(struct fetch *f)
{
	struct daemon *d = f->daemon;

	d->fetching = g_list_remove(d->fetching, f->op);
	operation_unref(f->op);
	object_unref(f->obj);
	command_free(f->cmd);
	g_free(f);
	daemon_release(d);
}

/* Takes @err. */
static void fetch_end(struct fetch *f, GError *err)
{
	operation_step(f->op, NULL, NULL);
	if (!err && f->obj->is_gone)
		error_set_errno(&err, ISDSC_NOT_FOUND, ENODEV, "it is no longer there");
	if (err)
		operation_finish(f->op, err);
	else
		f->run(f->obj, f->cmd, f->op);
	fetch_free(f);
}

static void fetch_next(struct fetch *f);

static void on_secret(void *arg, char *secret, const GError *err)
{
	struct fetch *f = arg;

	f->reading = NULL;
	if (err) {
		fetch_end(f, g_error_copy(err));
		return;
	}
	command_replace_key(f->cmd, secret_files[f->row].key, secret_files[f->row].becomes,
			    secret);
	fetch_next(f);
}

static void fetch_next(struct fetch *f)
{
	const char *path = NULL;
	GError *err = NULL;

	for (f->row = 0; f->row < G_N_ELEMENTS(secret_files); f->row++) {
		path = command_key(f->cmd, secret_files[f->row].key);
		if (path)
			break;
	}
	if (path)
		f->reading = secret_file_start(f->op->loop, path, SECRET_FILE_TIMEOUT_MS,
					       on_secret, f, &err);
	if (!f->reading)
		fetch_end(f, err);
}

static void on_fetch_cancel(struct operation *op)
{
	struct fetch *f = op->step;

	secret_file_cancel(f->reading);
	operation_finish(op, NULL);
	fetch_free(f);
}

/* *ret_has: is there a file to be read? */
static gboolean check_files(const struct command *cmd, bool *ret_has, GError **err)
{
	bool has = false;

	for (size_t i = 0; i < G_N_ELEMENTS(secret_files); i++) {
		if (!command_key(cmd, secret_files[i].key))
			continue;
		has = true;
		if (!command_key(cmd, secret_files[i].becomes))
			continue;
		REFUSE(err, "%s and %s are both given", secret_files[i].becomes,
		       secret_files[i].key);
		return FALSE;
	}
	*ret_has = has;
	return TRUE;
}

void login_options_fetch(struct daemon *d, struct object *obj, const struct command *cmd,
			 struct operation *op,
			 void (*run)(struct object *obj, const struct command *cmd,
				     struct operation *op))
{
	struct fetch *f;
	bool has_files;
	GError *err = NULL;

	if (!check_files(cmd, &has_files, &err)) {
		operation_finish(op, err);
		return;
	}
	if (!has_files) {
		run(obj, cmd, op);
		return;
	}
	f = g_new0(struct fetch, 1);
	f->daemon = d;
	daemon_hold(d);
	f->obj = object_ref(obj);
	f->cmd = command_copy(cmd);
	f->op = operation_ref(op);
	f->run = run;
	d->fetching = g_list_prepend(d->fetching, op);
	operation_step(op, on_fetch_cancel, f);
	fetch_next(f);
}

void login_options_give_up(struct daemon *d)
{
	while (d->fetching)
		operation_cancel(d->fetching->data, EBUSY);
}

/* --- authentication --- */

/* Which options each method needs, and which it has no use for. */
static const struct {
	const char *name;
	bool takes_secret, takes_secret_in;
} methods[] = {
	[AUTH_NONE] = { "none", false, false },
	[AUTH_CHAP] = { "chap", true, false },
	[AUTH_MUTUAL] = { "mutual", true, true },
};

static enum auth_method method_of(const struct login_options *o)
{
	const char *name = login_option(o, "auth");

	for (unsigned i = 0; name && i < G_N_ELEMENTS(methods); i++)
		if (!strcmp(methods[i].name, name))
			return (enum auth_method)i;
	if (login_option(o, "secret_in") || login_option(o, "user_in"))
		return AUTH_MUTUAL;
	return login_option(o, "secret") || login_option(o, "user") ? AUTH_CHAP : AUTH_NONE;
}

/* A user needs its secret, a secret its method. */
static gboolean check_pair(const struct login_options *o, enum auth_method m, bool is_taken,
			   const char *user, const char *secret, bool has_other, GError **err)
{
	if (is_taken && !has_other && !login_option(o, secret)) {
		error_set_errno(err, ISDSC_MISSING_PARAMETER, EINVAL,
				"auth=%s needs %s= or %s_file=%s", methods[m].name, secret,
				secret,
				strcmp(secret, "secret_in") ? ""
							    : ", or a secret in initiator/chap_secret");
		return FALSE;
	}
	if (!is_taken && (login_option(o, user) || login_option(o, secret))) {
		REFUSE(err, "auth=%s has no use for %s= and %s=", methods[m].name, user,
		       secret);
		return FALSE;
	}
	return TRUE;
}

static gboolean parse_secret(const char *key, const char *text, uint8_t **ret_secret,
			     size_t *ret_bytes, GError **err)
{
	if (secret_is_sealed(text)) {
		error_set(err, ISDSC_CACHE_CORRUPTED,
			  "%s: the stored secret does not open with this host's key: bring the key "
			  "file back, or give the secret again",
			  key);
		return FALSE;
	}
	if (!text || chap_secret_parse(text, ret_secret, ret_bytes, err))
		return TRUE;
	g_prefix_error(err, "%s: ", key);
	return FALSE;
}

/* RFC 7143 12.1.3: the two secrets must not be the same. */
static gboolean check_differ(const struct chap_config *c, GError **err)
{
	if (c->secret_bytes != c->secret_in_bytes || !c->secret_bytes ||
	    memcmp(c->secret, c->secret_in, c->secret_bytes))
		return TRUE;
	error_set_errno(err, ISDSC_INVALID_INITIATOR_CHAP_SECRET, EINVAL,
			"secret and secret_in are the same");
	return FALSE;
}

/* @other_in: the secret of all targets, where the options have none; or NULL. */
static gboolean make_auth(const struct login_options *o, const char *other_in,
			  enum auth_method *ret_method, struct chap_config *ret_chap,
			  GError **err)
{
	enum auth_method m = method_of(o);
	const char *secret_in = login_option(o, "secret_in");
	struct chap_config c = { 0 };

	if (!check_pair(o, m, methods[m].takes_secret, "user", "secret", false, err) ||
	    !check_pair(o, m, methods[m].takes_secret_in, "user_in", "secret_in", other_in,
			err))
		return FALSE;
	if (!secret_in && methods[m].takes_secret_in)
		secret_in = other_in;
	if (!parse_secret("secret", login_option(o, "secret"), &c.secret, &c.secret_bytes,
			  err) ||
	    !parse_secret("secret_in", secret_in, &c.secret_in, &c.secret_in_bytes, err) ||
	    !check_differ(&c, err)) {
		chap_config_done(&c);
		return FALSE;
	}
	c.user = g_strdup(login_option(o, "user"));
	c.user_in = g_strdup(login_option(o, "user_in"));
	*ret_method = m;
	*ret_chap = c;
	return TRUE;
}

/* --- the configuration --- */

/* RFC 7143 11.12.5, type "random": 24 bits of this run, and a qualifier used once. */
static void make_isid(struct daemon *d, uint8_t isid[static 6])
{
	isid[0] = 0x80;
	memcpy(isid + 1, d->isid_random, 3);
	put_be16(isid + 4, d->isid_qualifier++);
}

/* With what the configuration says where nothing was given. */
static gboolean find_auth(const struct login_options *o, const struct daemon *d,
			  struct session_config *c, GError **err)
{
	const char *own = d->initiator->chap_secret ? d->initiator->chap_secret
						    : d->conf_chap_secret;
	struct login_options all;
	gboolean is_ok;

	login_options_copy(&all, o);
	login_options_merge(&all, &d->defaults);
	is_ok = make_auth(&all, own, &c->auth, &c->chap, err);
	login_options_done(&all);
	return is_ok;
}

gboolean login_options_config(const struct login_options *o, struct daemon *d,
			      const char *target_name, struct session_config *ret, GError **err)
{
	struct session_config c = { .type = target_name ? KEYS_NORMAL : KEYS_DISCOVERY };
	struct conf settings = d->conf; /* its strings are not touched */

	for (const struct command_key *k = login_keys; k->name; k++)
		if (login_option(o, k->name))
			conf_set(&settings, k->name, login_option(o, k->name));
	if (!conf_check_bursts(&settings, login_option(o, "first_burst_length"), err) ||
	    !find_auth(o, d, &c, err))
		return FALSE;
	c.wishes = settings.wishes;
	c.timeouts = settings.timeouts;
	c.target_name = g_strdup(target_name);
	c.initiator_name = g_strdup(d->initiator->name);
	c.initiator_alias = g_strdup(d->initiator->alias);
	c.chap_history = d->chap_history;
	make_isid(d, c.isid);
	*ret = c;
	return TRUE;
}
