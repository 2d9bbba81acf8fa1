/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration file: one table of options, from which reading, defaults, the sample file
 * and the man page come. Read once, at start, by main; conf_set() also serves options.c, since
 * most options are login keys whose default for all logins is set here.
 *
 * A value goes from libconfig's type to text and then the way of a control file's value, so
 * that both have the same grammar and the same messages. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <stddef.h>
#include <string.h>

#include "base/text.h"
#include "core/conf_table.h"
#include "core/options.h"

#define MAX_CONNECTIONS 8 /* asked for: see the row of max_connections in options.c */
#define ALIAS_MAX 255	  /* RFC 7143 6.1: a text value */

#define AT(member) .offset = offsetof(struct conf, member)
/* A login key: its type, bounds and help are in options.c. */
#define LOGIN_KEY(key_name, member, why_)                                                \
	{                                                                                \
		.key = { .name = key_name }, AT(member), .live = CONF_NEW_LOGINS, .why = why_ \
	}

/* After a change here:
 *
 *	make tests/unit/test_conf && srcdir=. tests/unit/test_conf --write
 *
 * prints config/iscsifs.conf and the OPTIONS of man/iscsifs.conf.5 anew (srcdir: the top of the
 * sources). @why: plain text, sentences: when one would want another value. */
const struct conf_option conf_options[] = {
	{ .key = { "initiator_name", COMMAND_TEXT,
		   .help = "name of this host for iSCSI; without it one is made of the host "
			   "name" },
	  AT(initiator_name),
	  .section = "This host",
	  .example = "iqn.2026-11.io.iscsifs:host1",
	  .live = CONF_NEW_LOGINS,
	  .why = "Targets grant access by this name, so give one that stays when the host is "
		 "renamed. One that was written to initiator/name of the tree goes before it, "
		 "until \"*\" is written there." },
	{ .key = { "initiator_alias", COMMAND_TEXT, .help = "what targets may show for it" },
	  AT(initiator_alias),
	  .example = "host1",
	  .live = CONF_NEW_LOGINS,
	  .why = "For people only, at most 255 bytes of UTF-8. One that was written to "
		 "initiator/alias of the tree goes before it." },

	{ .key = { "log_level", COMMAND_CHOICE, .choices = "error|warning|info|debug",
		   .help = "least severe messages that are logged" },
	  AT(log_level),
	  .section = "The daemon",
	  .live = CONF_AT_ONCE,
	  .why = "Debug tells of each step of a login; it is much, but no secrets. The option "
		 "-d goes before it." },
	{ .key = { "shutdown_timeout", COMMAND_SECONDS,
		   .help = "how long logging out of everything may take at the end" },
	  AT(shutdown_ms),
	  .live = CONF_AT_ONCE,
	  .why = "Targets that do not answer hold up the end of the daemon, and of the system, "
		 "for so long. What is still being written needs some of it, too." },
	{ .key = { "io_depth", COMMAND_NUMBER, 16, 1024,
		   .help = "requests under way in the daemon; more wait in the kernel" },
	  AT(io_depth),
	  .live = CONF_RESTART,
	  .why = "More serves many disks at once better; each may need 1 MiB of memory while "
		 "it is large." },
	{ .key = { "cache", COMMAND_CHOICE, .choices = CACHE_MODES,
		   .help = "what of a disk stays in memory here; -o cache= goes before it" },
	  AT(cache),
	  .live = CONF_RESTART,
	  .why = "Use \"none\" when other hosts write to the same disks, \"back\" for small "
		 "writes by programs that call fsync when it matters. See DISKS in "
		 "iscsi-tree(7)." },
	{ .key = { "busy_poll", COMMAND_NUMBER, 0, 1000,
		   .help = "microseconds to look for an answer before sleeping; 0 saves CPU" },
	  AT(busy_poll),
	  .live = CONF_AT_ONCE,
	  .why = "Looking is only done with one or two requests under way, and makes each "
		 "faster. On a battery or with a slow network it only costs." },
	{ .key = { "lock_memory", COMMAND_BOOL,
		   .help = "stay in memory: freeing it may need one of our units" },
	  AT(lock_memory),
	  .live = CONF_RESTART,
	  .why = "Turn it off when no file system or swap of this host is on a disk of the "
		 "tree, or where memory is counted. It needs the right to lock memory." },

	{ .key = { .name = "connect_timeout" },
	  AT(timeouts.connect_ms),
	  .section = "Times of a session, in seconds; a login may ask for others",
	  .live = CONF_NEW_LOGINS,
	  .why = "A portal that is down is noticed after this time. Portals of a target are "
		 "tried side by side, so it seldom matters." },
	LOGIN_KEY("login_timeout", timeouts.login_ms,
		  "Longer for targets that ask a slow authentication server."),
	LOGIN_KEY("logout_timeout", timeouts.logout_ms,
		  "Without an answer in this time the connection is closed all the same."),
	LOGIN_KEY("text_timeout", timeouts.text_ms,
		  "Longer for portals that tell of very many targets."),
	LOGIN_KEY("nop_interval", timeouts.nop_interval_ms,
		  "Shorter finds a dead connection sooner; with several paths 5 is usual."),
	LOGIN_KEY("nop_timeout", timeouts.nop_timeout_ms,
		  "A connection whose ping has no answer for so long counts as lost. Longer "
		  "where the network is known to stall."),
	LOGIN_KEY("command_timeout", timeouts.command_ms,
		  "How long an outage may last before a program sees an error. For disks with "
		  "file systems longer than a restart of the target takes, 180 for instance."),

	{ .key = { .name = "header_digest" },
	  AT(wishes.header_digest),
	  .section = "What a login asks for, unless it is told otherwise",
	  .live = CONF_NEW_LOGINS,
	  .why = "TCP's own checksum is weak: with digests, damage on the way is noticed." },
	LOGIN_KEY("data_digest", wishes.data_digest,
		  "The same for data; it costs a little time for each byte."),
	LOGIN_KEY("initial_r2t", wishes.initial_r2t,
		  "On only for targets that cannot take data before they ask for it."),
	LOGIN_KEY("immediate_data", wishes.immediate_data,
		  "Off only for targets that do it badly: small writes need a round trip more."),
	LOGIN_KEY("first_burst_length", wishes.first_burst_length,
		  "More makes larger writes go without waiting, where the target has buffers."),
	LOGIN_KEY("max_burst_length", wishes.max_burst_length,
		  "Less for targets that run short of buffers."),
	LOGIN_KEY("max_recv_data_segment_length", wishes.max_recv_data_segment_length,
		  "Less makes answers to small requests wait less behind large ones."),
	LOGIN_KEY("max_outstanding_r2t", wishes.max_outstanding_r2t,
		  "More keeps a line with a long delay busy while one large write goes."),
	LOGIN_KEY("data_pdu_in_order", wishes.data_pdu_in_order,
		  "Off lets a target answer as its own disks do; few make use of it."),
	LOGIN_KEY("data_sequence_in_order", wishes.data_sequence_in_order,
		  "The same for bursts."),
	LOGIN_KEY("max_connections", wishes.max_connections,
		  "1 for targets that go wrong when asked for more."),
	LOGIN_KEY("erl", wishes.error_recovery_level,
		  "See Error recovery levels in iscsifs(8)."),
	LOGIN_KEY("time2wait", wishes.time2wait,
		  "The wait is part of every outage; the target may insist on more."),
	LOGIN_KEY("time2retain", wishes.time2retain,
		  "Longer lets a session of level 2 go on after longer outages."),
	{ .key = { .name = NULL } },
};

#define REFUSE(err, ...) error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL, __VA_ARGS__)

const struct command_key *conf_option_key(const struct conf_option *o)
{
	return o->key.help ? &o->key : login_key(o->key.name);
}

const struct conf_option *conf_option_find(const char *name)
{
	for (const struct conf_option *o = conf_options; o->key.name; o++)
		if (!strcmp(o->key.name, name))
			return o;
	return NULL;
}

static const char *const cache_modes[] = {
	[CACHE_NONE] = "none",
	[CACHE_THROUGH] = "through",
	[CACHE_BACK] = "back",
};

const char *cache_mode_name(enum cache_mode m)
{
	return cache_modes[m];
}

bool cache_mode_parse(const char *name, enum cache_mode *ret)
{
	for (size_t i = 0; i < G_N_ELEMENTS(cache_modes); i++)
		if (!strcmp(cache_modes[i], name)) {
			*ret = (enum cache_mode)i;
			return true;
		}
	return false;
}

/* --- how each type is stored, and shown in the sample --- */

static void set_text(const struct command_key *k, void *at, const char *value)
{
	(void)k;
	g_free(*(char **)at);
	*(char **)at = g_strdup(value);
}

static void set_bool(const struct command_key *k, void *at, const char *value)
{
	(void)k;
	text_parse_bool(value, at);
}

static void set_number(const struct command_key *k, void *at, const char *value)
{
	uint64_t n;

	if (text_parse_u64(value, k->min, k->max, &n) == 0)
		*(uint32_t *)at = (uint32_t)n;
}

static void set_ms(const struct command_key *k, void *at, const char *value)
{
	(void)k;
	text_parse_seconds(value, INT64_MAX, at);
}

/* An enum that counts the choices in their order. */
static void set_choice(const struct command_key *k, void *at, const char *value)
{
	g_auto(GStrv) choices = g_strsplit(k->choices, "|", -1);

	for (unsigned i = 0; choices[i]; i++)
		if (!strcmp(choices[i], value))
			*(unsigned *)at = i;
}

static void show_text(const struct command_key *k, const void *at, GString *out)
{
	const char *value = *(char *const *)at;

	(void)k;
	g_string_append_printf(out, "\"%s\"", value ? value : "");
}

static void show_bool(const struct command_key *k, const void *at, GString *out)
{
	(void)k;
	g_string_append(out, *(const bool *)at ? "true" : "false");
}

static void show_number(const struct command_key *k, const void *at, GString *out)
{
	(void)k;
	g_string_append_printf(out, "%" PRIu32, *(const uint32_t *)at);
}

static void show_ms(const struct command_key *k, const void *at, GString *out)
{
	char number[G_ASCII_DTOSTR_BUF_SIZE];

	(void)k;
	g_string_append(out, g_ascii_dtostr(number, sizeof(number),
					    (double)*(const int64_t *)at / 1000));
}

static void show_choice(const struct command_key *k, const void *at, GString *out)
{
	g_auto(GStrv) choices = g_strsplit(k->choices, "|", -1);

	g_string_append_printf(out, "\"%s\"", choices[*(const unsigned *)at]);
}

static const struct {
	void (*set)(const struct command_key *k, void *at, const char *value);
	void (*show)(const struct command_key *k, const void *at, GString *out);
} store[] = {
	[COMMAND_TEXT] = { set_text, show_text },	/* char * */
	[COMMAND_BOOL] = { set_bool, show_bool },	/* bool */
	[COMMAND_NUMBER] = { set_number, show_number }, /* uint32_t */
	[COMMAND_SECONDS] = { set_ms, show_ms },	/* int64_t */
	[COMMAND_CHOICE] = { set_choice, show_choice }, /* enum */
};

_Static_assert(sizeof(unsigned) == sizeof(uint32_t), "io_depth is stored as uint32_t");
_Static_assert(sizeof(enum log_level) == sizeof(unsigned) &&
		       sizeof(enum digest_wish) == sizeof(unsigned),
	       "choices are stored as unsigned");
_Static_assert(DIGEST_NO == 0 && DIGEST_YES == 1 && DIGEST_PREFER == 2, "no|yes|prefer");
_Static_assert(LOG_LEVEL_ERROR == 0 && LOG_LEVEL_DEBUG == 3, "error|warning|info|debug");

void conf_option_show(const struct conf_option *o, const struct conf *c, GString *out)
{
	const struct command_key *k = conf_option_key(o);

	store[k->type].show(k, (const char *)c + o->offset, out);
}

static void set_option(struct conf *c, const struct conf_option *o, const char *value)
{
	const struct command_key *k = conf_option_key(o);

	store[k->type].set(k, (char *)c + o->offset, value);
}

bool conf_set(struct conf *c, const char *name, const char *value)
{
	const struct conf_option *o = conf_option_find(name);

	if (o)
		set_option(c, o, value);
	return o;
}

/* --- checks that a type alone does not make --- */

gboolean conf_check_bursts(struct conf *c, bool is_given, GError **err)
{
	struct keys_wishes *w = &c->wishes;

	if (w->first_burst_length <= w->max_burst_length)
		return TRUE;
	if (is_given) {
		REFUSE(err,
		       "first_burst_length %" PRIu32 " is more than max_burst_length %" PRIu32,
		       w->first_burst_length, w->max_burst_length);
		return FALSE;
	}
	w->first_burst_length = w->max_burst_length;
	return TRUE;
}

static gboolean normalise_name(char **value, GError **err)
{
	char *name = text_iscsi_name(*value, err);

	if (!name)
		return FALSE;
	g_free(*value);
	*value = name;
	return TRUE;
}

static gboolean check_alias(const char *alias, GError **err)
{
	if (strlen(alias) <= ALIAS_MAX && g_utf8_validate(alias, -1, NULL))
		return TRUE;
	REFUSE(err, "initiator_alias: not UTF-8 of at most %d bytes", ALIAS_MAX);
	return FALSE;
}

/* --- reading --- */

/* @s as a control file would have it; NULL for an array, a list or a group. */
static char *text_of(const config_setting_t *s)
{
	char number[512]; /* %f of the largest double has 310 digits */

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return g_strdup_printf("%lld", config_setting_get_int64(s));
	case CONFIG_TYPE_FLOAT:
		return g_strdup(g_ascii_formatd(number, sizeof(number), "%.3f",
						config_setting_get_float(s)));
	case CONFIG_TYPE_BOOL:
		return g_strdup(config_setting_get_bool(s) ? "yes" : "no");
	case CONFIG_TYPE_STRING:
		return g_strdup(config_setting_get_string(s));
	default:
		return NULL;
	}
}

static gboolean read_setting(struct conf *c, const config_setting_t *s, GError **err)
{
	const struct conf_option *o = conf_option_find(config_setting_name(s));
	g_autofree char *value = text_of(s);

	if (!o) {
		REFUSE(err, "unknown option %s", config_setting_name(s));
		return FALSE;
	}
	if (!value) {
		REFUSE(err, "%s: a single value is wanted", o->key.name);
		return FALSE;
	}
	if (!command_check(conf_option_key(o), value, err))
		return FALSE;
	if (o->offset == offsetof(struct conf, initiator_name) && !normalise_name(&value, err))
		return FALSE;
	if (o->offset == offsetof(struct conf, initiator_alias) && !check_alias(value, err))
		return FALSE;
	set_option(c, o, value);
	return TRUE;
}

static gboolean read_settings(struct conf *c, const char *name, const config_t *cfg,
			      GError **err)
{
	const config_setting_t *root = config_root_setting(cfg);
	const config_setting_t *first_burst = config_lookup(cfg, "first_burst_length");
	int count = config_setting_length(root);

	for (int i = 0; i < count; i++) {
		const config_setting_t *s = config_setting_get_elem(root, (unsigned)i);
		const char *file = config_setting_source_file(s);

		if (!read_setting(c, s, err)) {
			g_prefix_error(err, "%s:%u: ", file ? file : name,
				       config_setting_source_line(s));
			return FALSE;
		}
	}
	if (conf_check_bursts(c, first_burst, err))
		return TRUE;
	g_prefix_error(err, "%s:%u: ", name, config_setting_source_line(first_burst));
	return FALSE;
}

gboolean conf_read_text(struct conf *c, const char *name, const char *text, GError **err)
{
	gboolean is_ok = FALSE;
	config_t cfg;

	config_init(&cfg);
	if (config_read_string(&cfg, text)) {
		is_ok = read_settings(c, name, &cfg, err);
	} else {
		const char *file = config_error_file(&cfg);

		REFUSE(err, "%s:%d: %s", file ? file : name, config_error_line(&cfg),
		       config_error_text(&cfg));
	}
	config_destroy(&cfg);
	return is_ok;
}

gboolean conf_read(struct conf *c, const char *path, GError **err)
{
	const char *name = path ? path : CONF_DEFAULT_FILE;
	g_autofree char *text = NULL;
	g_autoptr(GError) why = NULL;
	size_t bytes;

	if (!g_file_get_contents(name, &text, &bytes, &why)) {
		if (!path && g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT))
			return TRUE;
		error_set_errno(err, ISDSC_INVALID_PARAMETER, error_errno(why), "%s",
				why->message);
		return FALSE;
	}
	if (bytes > CONF_FILE_MAX || strlen(text) < bytes) {
		REFUSE(err, "%s: %s", name,
		       bytes > CONF_FILE_MAX ? "longer than 1 MiB" : "a NUL byte in it");
		return FALSE;
	}
	return conf_read_text(c, name, text, err);
}

/* --- defaults --- */

void conf_default(struct conf *c)
{
	*c = (struct conf){
		.log_level = LOG_LEVEL_INFO,
		.shutdown_ms = 15000,
		.io_depth = 128,
		.cache = CACHE_THROUGH,
		.busy_poll = 100,
		.lock_memory = true,
	};
	session_timeouts_default(&c->timeouts);
	keys_wishes_default(&c->wishes);
	c->wishes.max_connections = MAX_CONNECTIONS;
}

void conf_done(struct conf *c)
{
	g_clear_pointer(&c->initiator_name, g_free);
	g_clear_pointer(&c->initiator_alias, g_free);
}
