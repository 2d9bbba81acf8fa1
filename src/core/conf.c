/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: one table of options, from which reading (conf_file.c), defaults, the sample
 * file and the man page (conf_print.c) come; what its values must be besides their types is in
 * conf_check.c. conf_set() also serves options.c, since most options are login keys whose
 * default for all logins is set here. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/text.h"
#include "core/conf_table.h"
#include "core/options.h"

#define MAX_CONNECTIONS 8 /* asked for: see the row of max_connections in options.c */

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
		 "and so does \"*\" there, which asks for the one made of the host name.",
	  .check = conf_check_name },
	{ .key = { "initiator_alias", COMMAND_TEXT, .help = "what targets may show for it" },
	  AT(initiator_alias),
	  .example = "host1",
	  .live = CONF_NEW_LOGINS,
	  .why = "For people only, at most 255 bytes of UTF-8. One that was written to "
		 "initiator/alias of the tree goes before it.",
	  .check = conf_check_alias },

	{ .key = { "initiator_instances", COMMAND_TEXT,
		   .help = "ways out of this host, by name: NAME=WAY, ...; a way is ADDR, "
			   "@INTERFACE, ADDR@INTERFACE or any" },
	  AT(initiator_instances),
	  .example = "san1=@eth1, san2=10.0.0.9",
	  .live = CONF_RESTART,
	  .why = "Logins with instance=NAME go that way. With two networks to a target, a "
		 "session by each makes two paths. The verb add-instance of initiator/ctl does "
		 "it live.",
	  .check = conf_check_instances },

	{ .key = { "allow_other", COMMAND_BOOL,
		   .help = "let other users into the tree, as far as permissions go" },
	  AT(allow_other),
	  .section = "Who may do what",
	  .live = CONF_RESTART,
	  .why = "Without it nobody but the user whom the daemon runs as gets in, not even "
		 "root. Users other than root need user_allow_other in fuse.conf. See "
		 "PERMISSIONS in iscsifs(8). -o allow_other is the same." },
	{ .key = { "uid", COMMAND_TEXT,
		   .help = "user whom the files belong to, by name or number; without it the "
			   "one whom the daemon runs as" },
	  AT(uid),
	  .example = "storage",
	  .live = CONF_RESTART,
	  .why = "For a daemon that root runs and somebody else uses. -o uid= goes before it.",
	  .check = conf_check_user,
	  .takes_number = true },
	{ .key = { "gid", COMMAND_TEXT,
		   .help = "group that the files belong to, by name or number; without it that "
			   "of the daemon" },
	  AT(gid),
	  .example = "storage",
	  .live = CONF_RESTART,
	  .why = "Together with umask it says who may look. -o gid= goes before it.",
	  .check = conf_check_group,
	  .takes_number = true },
	{ .key = { "umask", COMMAND_TEXT,
		   .help = "permissions to take from all files, octal, as a text; with one, "
			   "disks are treated like other files" },
	  AT(umask),
	  .example = "027",
	  .live = CONF_RESTART,
	  .why = "\"077\" leaves all to the owner, \"027\" lets the group look, and read "
		 "disks. -o umask= goes before it.",
	  .check = conf_check_umask },
	{ .key = { "operators", COMMAND_TEXT,
		   .help = "group whose members may write control files and values, by name or "
			   "number" },
	  AT(operators),
	  .example = "storage",
	  .live = CONF_RESTART,
	  .why = "For people who log in to targets and out, and are not to be root. What reads "
		 "files of this host or ends the daemon stays with its owner. It needs "
		 "allow_other.",
	  .check = conf_check_group,
	  .takes_number = true },
	{ .key = { "disk_group", COMMAND_TEXT,
		   .help = "group whose members may read and write disks, by name or number; "
			   "others then may do neither" },
	  AT(disk_group),
	  .example = "disk",
	  .live = CONF_RESTART,
	  .why = "For a program that uses raw disks, such as a virtual machine, and is not "
		 "root. Whoever may write a disk may put file systems on it that are mounted "
		 "by others. It needs allow_other.",
	  .check = conf_check_group,
	  .takes_number = true },

	{ .key = { "log_level", COMMAND_CHOICE, .choices = "error|warning|info|debug",
		   .help = "least severe messages that are logged" },
	  AT(log_level),
	  .section = "The daemon",
	  .live = CONF_AT_ONCE,
	  .why = "Debug tells of each step of a login; it is much, but no secrets. The option "
		 "-d goes before it." },
	{ .key = { "log_target", COMMAND_CHOICE, .choices = "auto|stderr|syslog",
		   .help = "where messages go; auto: stderr in the foreground, else syslog" },
	  AT(log_target),
	  .live = CONF_RESTART,
	  .why = "\"syslog\" for a service manager that runs it in the foreground and does not "
		 "keep what it prints. \"stderr\" needs -f." },
	{ .key = { "state_dir", COMMAND_TEXT,
		   .help = "directory of what outlives the daemon; without it "
			   "/var/lib/iscsifs, or below the home of a user" },
	  AT(state_dir),
	  .example = "/var/lib/iscsifs",
	  .live = CONF_RESTART,
	  .why = "Each daemon needs one of its own. -s goes before it.",
	  .check = conf_check_path },
	{ .key = { "secret_key_file", COMMAND_TEXT,
		   .help = "file with the key that seals stored secrets; mode 0600" },
	  AT(secret_key_file),
	  .example = "/etc/iscsifs.key",
	  .live = CONF_RESTART,
	  .why = "Without it the key is systemd's credential iscsifs.key, or else the file "
		 "secret.key of the state directory, made by itself. Elsewhere, a copy of the "
		 "state directory gives no secret away. 64 hex digits, or 32 bytes.",
	  .check = conf_check_path },
	{ .key = { "pid_file", COMMAND_TEXT, .help = "file that the process id is written to" },
	  AT(pid_file),
	  .example = "/run/iscsifs.pid",
	  .live = CONF_RESTART,
	  .why = "For scripts that send signals; a service manager needs none. -p goes before "
		 "it.",
	  .check = conf_check_path },
	{ .key = { "ibft_path", COMMAND_TEXT,
		   .help = "directory of the firmware's table of targets; without it "
			   "/sys/firmware/ibft" },
	  AT(ibft_path),
	  .example = "/sys/firmware/ibft",
	  .live = CONF_AT_ONCE,
	  .why = "The kernel's module iscsi_ibft makes that directory on a host that was booted "
		 "over iSCSI. Another one in the same format serves for trying it out, or "
		 "for a table that was copied. What it says counts from the next refresh on.",
	  .check = conf_check_path },
	{ .key = { "max_sessions", COMMAND_NUMBER, 1, 65535,
		   .help = "sessions to all targets together; a login beyond is refused" },
	  AT(max_sessions),
	  .live = CONF_AT_ONCE,
	  .why = "Each session holds memory and sockets: less keeps a script that has gone "
		 "wrong from taking them all. Sessions that are there stay." },
	{ .key = { "shutdown_timeout", COMMAND_SECONDS,
		   .help = "how long logging out of everything may take at the end" },
	  AT(shutdown_ms),
	  .live = CONF_AT_ONCE,
	  .why = "Targets that do not answer hold up the end of the daemon, and of the system, "
		 "for so long. What is still being written needs some of it, too." },
	{ .key = { "volumes_timeout", COMMAND_SECONDS,
		   .help = "how long a start waits for the bound volumes" },
	  AT(volumes_timeout_ms),
	  .live = CONF_RESTART,
	  .why = "When the time is up the daemon says that it is ready all the same, and what "
		 "needs the volumes begins without them. Persistent logins that are not done by "
		 "then are told as an event; they are tried on. Has no effect on a start "
		 "without bound volumes." },
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

	{ .key = { "isns_entity", COMMAND_TEXT,
		   .help = "name that this host is registered with at iSNS servers; without it "
			   "the initiator's" },
	  AT(isns_entity),
	  .section = "iSNS",
	  .example = "host1.example.org",
	  .live = CONF_AT_ONCE,
	  .why = "For lists of hosts at the server. Nothing else of this host, such as its "
		 "targets, may be registered with the same one: it would be taken away with "
		 "us. A change goes to the servers with their next refresh.",
	  .check = conf_check_entity },
	{ .key = { "isns_notify_port", COMMAND_NUMBER, 0, 65535,
		   .help = "port, TCP and UDP, at which iSNS servers tell us of changes; 0: any" },
	  AT(isns_port),
	  .live = CONF_RESTART,
	  .why = "A fixed one for a firewall that is to let servers in. Without a way in, "
		 "changes are seen with the next refresh, and servers that ask whether we are "
		 "still there take us for gone." },
	{ .key = { "isns_period", COMMAND_NUMBER, 2, 604800,
		   .help = "seconds that iSNS servers remember us when they hear nothing" },
	  AT(isns_period_s),
	  .live = CONF_AT_ONCE,
	  .why = "Half of it is how often targets are asked for at least; a server may grant "
		 "another one." },

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

	{ .key = { "login_auth", COMMAND_TEXT,
		   .help = "none, chap or mutual, of logins that nothing else is given for" },
	  AT(login_auth),
	  .section = "Authentication of logins and discoveries that are given none",
	  .example = "chap",
	  .live = CONF_RESTART,
	  .why = "Used together with login_user and login_secret_file, when neither the login, nor the "
		 "portal, nor the target entered by hand says any. A target that does no CHAP "
		 "cannot be logged in to then, but with auth=none.",
	  .check = conf_check_auth },
	{ .key = { "login_user", COMMAND_TEXT,
		   .help = "our CHAP name; without it the name of the initiator" },
	  AT(login_user),
	  .example = "tom",
	  .live = CONF_RESTART,
	  .why = "For sites where every target knows this host by one name." },
	{ .key = { "login_secret_file", COMMAND_TEXT,
		   .help = "file with the secret that proves us to targets; mode 0600" },
	  AT(login_secret_file),
	  .example = "/etc/iscsifs.secret",
	  .live = CONF_RESTART,
	  .why = "12 bytes or more, 0x... is hex. Secrets have no place in this file: others "
		 "may read it.",
	  .check = conf_check_path },
	{ .key = { "login_user_in", COMMAND_TEXT,
		   .help = "CHAP name that targets must give; without it any" },
	  AT(login_user_in),
	  .example = "array",
	  .live = CONF_RESTART,
	  .why = "With login_auth mutual only." },
	{ .key = { "chap_secret_file", COMMAND_TEXT,
		   .help = "file with the secret that targets prove themselves by; mode 0600" },
	  AT(chap_secret_file),
	  .example = "/etc/iscsifs.chap",
	  .live = CONF_RESTART,
	  .why = "With auth=mutual. One that was written to initiator/chap_secret of the tree "
		 "goes before it.",
	  .check = conf_check_path },

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
	size_t bytes;
} store[] = {
	[COMMAND_TEXT] = { set_text, show_text, sizeof(char *) },
	[COMMAND_BOOL] = { set_bool, show_bool, sizeof(bool) },
	[COMMAND_NUMBER] = { set_number, show_number, sizeof(uint32_t) },
	[COMMAND_SECONDS] = { set_ms, show_ms, sizeof(int64_t) },
	[COMMAND_CHOICE] = { set_choice, show_choice, sizeof(unsigned) }, /* an enum */
};

_Static_assert(sizeof(unsigned) == sizeof(uint32_t), "io_depth is stored as uint32_t");
_Static_assert(sizeof(enum log_level) == sizeof(unsigned) &&
		       sizeof(enum digest_wish) == sizeof(unsigned),
	       "choices are stored as unsigned");
_Static_assert(DIGEST_NO == 0 && DIGEST_YES == 1 && DIGEST_PREFER == 2, "no|yes|prefer");
_Static_assert(LOG_TARGET_AUTO == 0 && LOG_TARGET_SYSLOG == 2, "auto|stderr|syslog");
_Static_assert(LOG_LEVEL_ERROR == 0 && LOG_LEVEL_DEBUG == 3, "error|warning|info|debug");

void conf_option_show(const struct conf_option *o, const struct conf *c, GString *out)
{
	const struct command_key *k = conf_option_key(o);

	store[k->type].show(k, (const char *)c + o->offset, out);
}

void conf_option_set(const struct conf_option *o, struct conf *c, const char *value)
{
	const struct command_key *k = conf_option_key(o);

	store[k->type].set(k, (char *)c + o->offset, value);
}

bool conf_option_equal(const struct conf_option *o, const struct conf *a, const struct conf *b)
{
	const void *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;
	enum command_key_type type = conf_option_key(o)->type;

	if (type == COMMAND_TEXT)
		return !g_strcmp0(*(char *const *)x, *(char *const *)y);
	return !memcmp(x, y, store[type].bytes);
}

void conf_option_copy(const struct conf_option *o, struct conf *to, const struct conf *from)
{
	const void *x = (const char *)from + o->offset;
	void *y = (char *)to + o->offset;
	enum command_key_type type = conf_option_key(o)->type;

	if (type != COMMAND_TEXT) {
		memcpy(y, x, store[type].bytes);
		return;
	}
	g_free(*(char **)y);
	*(char **)y = g_strdup(*(char *const *)x);
}

bool conf_set(struct conf *c, const char *name, const char *value)
{
	const struct conf_option *o = conf_option_find(name);

	if (o)
		conf_option_set(o, c, value);
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

/* --- defaults --- */

void conf_default(struct conf *c)
{
	*c = (struct conf){
		.log_level = LOG_LEVEL_INFO,
		.isns_period_s = 300,
		.max_sessions = 1024,
		.volumes_timeout_ms = 120000,
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
	for (const struct conf_option *o = conf_options; o->key.name; o++)
		if (conf_option_key(o)->type == COMMAND_TEXT)
			g_clear_pointer((char **)((char *)c + o->offset), g_free);
}

void conf_copy(struct conf *to, const struct conf *from)
{
	*to = *from;
	for (const struct conf_option *o = conf_options; o->key.name; o++)
		if (conf_option_key(o)->type == COMMAND_TEXT) {
			char **text = (char **)((char *)to + o->offset);

			*text = g_strdup(*text);
		}
}
