/* SPDX-License-Identifier: BSD-2-Clause */
/* Login options: every key, what is refused, merging (B6), and the configuration of a session
 * that comes of them. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/daemon.h"
#include "core/options.h"
#include "unit.h"

#define SECRET "0123456789ab" /* 12 bytes: the shortest */
#define SECRET_IN "ba9876543210"

static void run(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)obj;
	(void)cmd;
	operation_finish(op, NULL);
}

static const struct command_key own_keys[] = {
	{ "persist", COMMAND_BOOL, .help = "the verb's own" },
	{ 0 },
};
static const struct verb verbs[] = {
	{ "login", "", 0, 0, login_keys, NULL, run, "" },
	{ "add-portal", "", 0, 0, own_keys, login_keys, run, "" },
	{ 0 },
};

/* The options of @line; an error stays in *@err. */
static gboolean take(struct login_options *o, const char *line, GError **err)
{
	struct command *cmd = command_parse(line, verbs, err);
	gboolean is_ok;

	if (!cmd)
		return FALSE;
	is_ok = login_options_from(o, cmd, err);
	command_free(cmd);
	return is_ok;
}

static struct login_options options(const char *line)
{
	struct login_options o = { NULL };
	GError *err = NULL;

	take(&o, line, &err);
	if (err)
		printf("\n%s: %s\n", line, err->message);
	CU_ASSERT_PTR_NULL_FATAL(err);
	return o;
}

static void expect_error(GError *err, const char *line, enum isdsc code, int errno_value,
			 const char *part)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	CU_ASSERT_EQUAL(err->code, code);
	CU_ASSERT_EQUAL(error_errno(err), errno_value);
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, part));
	if (!strstr(err->message, part))
		printf("\n%s: %s, not %s\n", line, err->message, part);
	CU_ASSERT_PTR_NULL(strstr(err->message, SECRET));
	g_error_free(err);
}

/* login_options_from() refuses @line. */
static void refuses(const char *line, enum isdsc code, int errno_value, const char *part)
{
	struct login_options o = { NULL };
	GError *err = NULL;

	CU_ASSERT_FALSE(take(&o, line, &err));
	CU_ASSERT_PTR_NULL(o.values);
	expect_error(err, line, code, errno_value, part);
}

/* A daemon as far as a configuration needs one. */
static struct initiator initiator = { .name = (char *)"iqn.2003-01.org.example:us",
				      .alias = (char *)"us" };
static struct daemon the_daemon;

static void set_up(void)
{
	the_daemon = (struct daemon){ .initiator = &initiator,
				      .isid_random = { 0x12, 0x34, 0x56 },
				      .isid_qualifier = 0x789a };
	conf_default(&the_daemon.conf);
}

static void config_done(struct session_config *c)
{
	g_free(c->target_name);
	g_free(c->initiator_name);
	g_free(c->initiator_alias);
	chap_config_done(&c->chap);
}

static struct session_config config(const char *line)
{
	struct login_options o = options(line);
	struct session_config c = { 0 };
	GError *err = NULL;

	set_up();
	login_options_config(&o, &the_daemon, "iqn.2003-01.org.example:them", &c, &err);
	if (err)
		printf("\n%s: %s\n", line, err->message);
	CU_ASSERT_PTR_NULL_FATAL(err);
	login_options_done(&o);
	return c;
}

/* login_options_config() refuses what @line asks for. */
static void config_refuses(const char *line, enum isdsc code, const char *part)
{
	struct login_options o = options(line);
	struct session_config c = { 0 };
	GError *err = NULL;

	set_up();
	CU_ASSERT_FALSE(login_options_config(&o, &the_daemon, NULL, &c, &err));
	CU_ASSERT_PTR_NULL(c.initiator_name);
	expect_error(err, line, code, EINVAL, part);
	login_options_done(&o);
}

/* --- taking --- */

static void test_options_are_kept_as_given(void)
{
	struct login_options o = options("login portal=[::1]:3261,2 header_digest=prefer "
					 "login_timeout=2.5 initial_r2t=on");

	CU_ASSERT_STRING_EQUAL(login_option(&o, "portal"), "[::1]:3261,2");
	CU_ASSERT_STRING_EQUAL(login_option(&o, "header_digest"), "prefer");
	CU_ASSERT_STRING_EQUAL(login_option(&o, "login_timeout"), "2.5");
	CU_ASSERT_STRING_EQUAL(login_option(&o, "initial_r2t"), "on");
	CU_ASSERT_PTR_NULL(login_option(&o, "data_digest"));
	login_options_done(&o);
	login_options_done(&o);
	CU_ASSERT_PTR_NULL(login_option(&o, "portal"));
}

static void test_options_none_given_is_fine(void)
{
	struct login_options o = options("login timeout=3 nowait=yes");

	CU_ASSERT_PTR_NULL(o.values); /* those two are not ours */
	login_options_done(&o);
}

static void test_options_every_key_has_help_and_a_good_name(void)
{
	for (const struct command_key *k = login_keys; k->name; k++) {
		CU_ASSERT_PTR_NOT_NULL(k->help);
		CU_ASSERT_PTR_EQUAL(login_key(k->name), k); /* no name twice */
		CU_ASSERT_EQUAL(k->type == COMMAND_CHOICE, k->choices != NULL);
		CU_ASSERT_EQUAL(k->type == COMMAND_NUMBER, k->max != 0);
	}
	CU_ASSERT_PTR_NULL(login_key("nothing"));
}

static void test_options_know_every_key_of_tree_md(void)
{
	static const char *const names[] = {
		"portal", "instance",	    "source",	      "auth",	     "user",
		"secret", "secret_file",    "header_digest",  "data_digest", "max_connections",
		"erl",	  "time2wait",	    "time2retain",    "multipath",   "persist",
		"expose", "ipsec_required", "security_flags", "mapping"
	};

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		CU_ASSERT_PTR_NOT_NULL(login_key(names[i]));
}

static void test_options_not_there_yet_are_refused_plainly(void)
{
	static const char *const later[] = {
		"ipsec_required=true",
		"security_flags=2",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(later); i++) {
		g_autofree char *line = g_strconcat("login ", later[i], NULL);
		g_autofree char *text =
			g_strconcat(later[i], " is not available in this version", NULL);

		refuses(line,
			strstr(line, "ipsec") ? ISDSC_IPSEC_NOT_SUPPORTED_ON_OS
					      : ISDSC_REQUEST_NOT_SUPPORTED,
			EOPNOTSUPP, text);
	}
}

static void test_options_that_mean_as_now_are_accepted(void)
{
	struct login_options o = options("login persist=no ipsec_required=false "
					 "security_flags=0x0");

	login_options_done(&o);
}

static void test_options_recovery_and_connections_reach_the_session(void)
{
	struct session_config c = config("login erl=2 max_connections=3 multipath=yes");

	CU_ASSERT_EQUAL(c.wishes.error_recovery_level, 2);
	CU_ASSERT_EQUAL(c.wishes.max_connections, 3);
	config_done(&c);
	c = config("login");
	CU_ASSERT_EQUAL(c.wishes.error_recovery_level, 0);
	CU_ASSERT_EQUAL(c.wishes.max_connections, 8); /* so that more can be added */
	config_done(&c);
}

static void test_options_numbers(void)
{
	struct login_options o = options("login pr_key=0xfedcba9876543210");
	uint64_t key = 1;

	CU_ASSERT_TRUE(login_option_number(&o, "pr_key", &key));
	CU_ASSERT_EQUAL(key, 0xfedcba9876543210);
	CU_ASSERT_FALSE(login_option_number(&o, "erl", &key));
	CU_ASSERT_EQUAL(key, 0xfedcba9876543210);
	login_options_done(&o);
	refuses("login pr_key=0", ISDSC_INVALID_PARAMETER, EINVAL, "pr_key");
}

static void test_options_leave_the_verbs_own_key_alone(void)
{
	struct login_options o = options("add-portal persist=yes user=abc");

	CU_ASSERT_PTR_NULL(login_option(&o, "persist"));
	CU_ASSERT_STRING_EQUAL(login_option(&o, "user"), "abc");
	login_options_done(&o);
}

static void test_options_values_are_checked(void)
{
	g_autofree char *name = g_strnfill(224, 'u');
	g_autofree char *line = g_strconcat("login user=", name, NULL);

	refuses("login portal=a:b:c:", ISDSC_LOGIN_USER_INFO_BAD, EINVAL, "portal: not an ADDR");
	refuses("login source=host", ISDSC_LOGIN_USER_INFO_BAD, EINVAL, "source: not a numeric");
	refuses("login user=", ISDSC_INVALID_CHAP_USER_NAME, EINVAL, "user: 0 bytes");
	refuses(line, ISDSC_INVALID_CHAP_USER_NAME, EINVAL, "user: 224 bytes");
	refuses("login secret=0123456789a", ISDSC_SHORT_CHAP_SECRET, EINVAL, "secret: ");
	refuses("login secret_in=0x0123", ISDSC_SHORT_CHAP_SECRET, EINVAL, "secret_in: ");
	refuses("login erl=3", ISDSC_INVALID_PARAMETER, EINVAL, "0..2");
	refuses("login auth=maybe", ISDSC_INVALID_LOGON_AUTH_TYPE, EINVAL, "none|chap|mutual");
	line[strlen(line) - 1] = '\0';
	struct login_options o = options(line);
	login_options_done(&o);
}

static void test_options_source_takes_both_families(void)
{
	struct login_options a = options("login source=10.0.0.1");
	struct login_options b = options("login source=fe80::1%lo");

	login_options_done(&a);
	login_options_done(&b);
}

/* --- secrets in files --- */

static struct loop *loop;
static struct object *obj;
static bool is_obj_freed;
static unsigned fetched;
static struct login_options fetched_options;
static GError *fetch_error;
static bool is_fetch_done;

static void free_obj(struct object *o)
{
	object_done(o);
	is_obj_freed = true;
	g_free(o);
}

static void on_fetched(struct object *o, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;

	CU_ASSERT_PTR_EQUAL(o, obj);
	fetched++;
	login_options_from(&fetched_options, cmd, &err);
	operation_finish(op, err);
}

static void on_fetch_done(struct operation *op, void *arg)
{
	(void)arg;
	is_fetch_done = true;
	fetch_error = op->error ? g_error_copy(op->error) : NULL;
}

static struct operation *fetch_start(const char *line)
{
	struct command *cmd = command_parse(line, verbs, NULL);
	struct operation *op;

	CU_ASSERT_PTR_NOT_NULL_FATAL(cmd);
	loop = loop_new();
	obj = g_new0(struct object, 1);
	object_init(obj, loop, OBJECT_TARGET, free_obj);
	is_obj_freed = false;
	fetched = 0;
	is_fetch_done = false;
	op = operation_new(loop, on_fetch_done, NULL);
	login_options_fetch(&the_daemon, obj, cmd, op, on_fetched);
	command_free(cmd);
	return op;
}

/* How often the verb ran. */
static unsigned fetch_end(struct operation *op)
{
	while (!is_fetch_done)
		loop_run_once(loop, 1000);
	operation_unref(op);
	CU_ASSERT_EQUAL(the_daemon.pending, 0);
	CU_ASSERT_PTR_NULL(the_daemon.fetching);
	if (!is_obj_freed)
		object_gone(obj);
	loop_run_once(loop, 0);
	loop_free(loop);
	return fetched;
}

static void fetch_refuses(const char *line, enum isdsc code, int errno_value, const char *part)
{
	fetch_end(fetch_start(line));
	expect_error(fetch_error, line, code, errno_value, part);
}

static char *secret_path(const char *content)
{
	char *path = g_strdup("/tmp/iscsifs-XXXXXX");

	close(g_mkstemp_full(path, 2 /* O_RDWR */, 0600));
	CU_ASSERT_FATAL(g_file_set_contents(path, content, -1, NULL));
	chmod(path, 0600);
	return path;
}

static void test_options_secret_comes_from_a_file(void)
{
	g_autofree char *path = secret_path(SECRET "\n");
	g_autofree char *line = NULL, *both = NULL, *two = NULL;
	struct operation *op;

	line = g_strdup_printf("login user=tom secret_file=%s", path);
	op = fetch_start(line);
	CU_ASSERT_EQUAL(fetched, 0); /* nothing waits for the file */
	CU_ASSERT_EQUAL(the_daemon.pending, 1);
	CU_ASSERT_EQUAL(fetch_end(op), 1);
	CU_ASSERT_PTR_NULL_FATAL(fetch_error);
	CU_ASSERT_STRING_EQUAL(login_option(&fetched_options, "secret"), SECRET);
	CU_ASSERT_STRING_EQUAL(login_option(&fetched_options, "user"), "tom");
	CU_ASSERT_PTR_NULL(login_option(&fetched_options, "secret_file"));
	login_options_done(&fetched_options);

	two = g_strdup_printf("%s secret_in_file=%s", line, path);
	CU_ASSERT_EQUAL(fetch_end(fetch_start(two)), 1);
	CU_ASSERT_STRING_EQUAL(login_option(&fetched_options, "secret_in"), SECRET);
	login_options_done(&fetched_options);

	both = g_strdup_printf("%s secret=" SECRET, line);
	fetch_refuses(both, ISDSC_LOGIN_USER_INFO_BAD, EINVAL,
		      "secret and secret_file are both given");
	chmod(path, 0644);
	fetch_refuses(line, ISDSC_INVALID_PARAMETER, EACCES, "chmod 600");
	CU_ASSERT_FATAL(g_file_set_contents(path, "short", -1, NULL));
	chmod(path, 0600);
	fetch_refuses(line, ISDSC_SHORT_CHAP_SECRET, EINVAL, "secret: ");
	g_unlink(path);
	fetch_refuses(line, ISDSC_INVALID_PARAMETER, ENOENT, "secret file");
}

static void test_options_without_a_file_run_at_once(void)
{
	struct operation *op = fetch_start("login secret=" SECRET);

	CU_ASSERT_EQUAL(fetched, 1);
	CU_ASSERT_EQUAL(fetch_end(op), 1);
	CU_ASSERT_PTR_NULL(fetch_error);
	login_options_done(&fetched_options);
}

static void test_options_file_read_can_be_cancelled(void)
{
	g_autofree char *path = secret_path(SECRET);
	g_autofree char *line = g_strdup_printf("login secret_file=%s", path);
	struct operation *op = fetch_start(line);

	operation_cancel(op, EINTR);
	CU_ASSERT_EQUAL(fetch_end(op), 0);
	expect_error(fetch_error, line, ISDSC_NON_SPECIFIC_ERROR, EINTR, "interrupted");

	op = fetch_start(line);
	login_options_give_up(&the_daemon);
	CU_ASSERT_EQUAL(fetch_end(op), 0);
	expect_error(fetch_error, line, ISDSC_SERVICE_NOT_RUNNING, EBUSY, "shutting down");

	op = fetch_start(line);
	object_gone(obj);
	CU_ASSERT_EQUAL(fetch_end(op), 0);
	expect_error(fetch_error, line, ISDSC_NOT_FOUND, ENODEV, "no longer there");
	g_unlink(path);
}

/* --- merging --- */

static void test_options_merge_option_by_option(void)
{
	struct login_options a = options("login portal=10.0.0.1 time2wait=3");
	struct login_options b = options("login portal=10.0.0.2 time2retain=5");
	struct login_options c = options("login time2wait=7 time2retain=7 header_digest=yes");

	login_options_merge(&a, &b);
	login_options_merge(&a, &c);
	CU_ASSERT_STRING_EQUAL(login_option(&a, "portal"), "10.0.0.1");
	CU_ASSERT_STRING_EQUAL(login_option(&a, "time2wait"), "3");
	CU_ASSERT_STRING_EQUAL(login_option(&a, "time2retain"), "5");
	CU_ASSERT_STRING_EQUAL(login_option(&a, "header_digest"), "yes");
	CU_ASSERT_STRING_EQUAL(login_option(&c, "time2wait"), "7");
	login_options_done(&a);
	login_options_done(&b);
	login_options_done(&c);
}

static void test_options_authentication_merges_as_a_unit(void)
{
	struct login_options a = options("login user=me");
	struct login_options b = options("login auth=chap secret=" SECRET " time2wait=1");
	struct login_options none = options("login time2retain=1");

	login_options_merge(&a, &b);
	CU_ASSERT_STRING_EQUAL(login_option(&a, "user"), "me");
	CU_ASSERT_PTR_NULL(login_option(&a, "auth"));
	CU_ASSERT_PTR_NULL(login_option(&a, "secret"));
	CU_ASSERT_STRING_EQUAL(login_option(&a, "time2wait"), "1");
	login_options_merge(&none, &b);
	CU_ASSERT_STRING_EQUAL(login_option(&none, "auth"), "chap");
	CU_ASSERT_STRING_EQUAL(login_option(&none, "secret"), SECRET);
	login_options_done(&a);
	login_options_done(&b);
	login_options_done(&none);
}

/* @want: NULL: nothing is said; "none"; or the user. */
static void check_auth(const struct login_options *o, const char *want)
{
	bool is_none = want && !strcmp(want, "none");

	if (is_none)
		CU_ASSERT_STRING_EQUAL(login_option(o, "auth"), "none");
	if (!want)
		CU_ASSERT_PTR_NULL(login_option(o, "auth"));
	if (!want || is_none) {
		CU_ASSERT_PTR_NULL(login_option(o, "secret"));
		return;
	}
	CU_ASSERT_STRING_EQUAL(login_option(o, "auth"), "chap");
	CU_ASSERT_STRING_EQUAL(login_option(o, "user"), want);
}

/* The users' guide, How targets are organized, rule 2: of the sets A (given now), B (the instance)
 * and C (the static target) the first that has an authentication other than none; but a person who
 * says none at the login means it. Each set is nothing, none, or CHAP as a user of its own. */
static void test_options_authentication_of_three_sources(void)
{
	static const char *const kinds[] = { "", " auth=none", " auth=chap user=%s secret=" SECRET };

	for (unsigned n = 0; n < 27; n++) {
		unsigned kind[] = { n / 9, n / 3 % 3, n % 3 };
		const char *want = NULL;
		struct login_options set[3];

		for (unsigned i = 0; i < 3; i++) {
			g_autofree char *user = g_strdup_printf("u%u", i);
			g_auto(GStrv) part = g_strsplit(kinds[kind[i]], "%s", 2);
			g_autofree char *keys = g_strjoinv(user, part);
			g_autofree char *line = g_strconcat("login", keys, NULL);

			set[i] = options(line);
		}
		for (unsigned i = 0; i < 3 && !want; i++)
			want = kind[i] == 2		? (const char *[]){ "u0", "u1", "u2" }[i]
			       : i == 0 && kind[i] == 1 ? "none"
							: NULL;
		login_options_merge(&set[0], &set[1]);
		login_options_merge(&set[0], &set[2]);
		check_auth(&set[0], want);
		for (unsigned i = 0; i < 3; i++)
			login_options_done(&set[i]);
	}
}

static void test_options_copy_is_deep(void)
{
	struct login_options a = options("login portal=10.0.0.1 secret=" SECRET), b, empty;

	login_options_copy(&b, &a);
	login_options_done(&a);
	CU_ASSERT_STRING_EQUAL(login_option(&b, "secret"), SECRET);
	login_options_done(&b);
	login_options_copy(&empty, &a);
	CU_ASSERT_PTR_NULL(empty.values);
	login_options_merge(&empty, &a);
	login_options_done(&empty);
	a = options("login auth=none");
	login_options_copy(&b, &a);
	CU_ASSERT_STRING_EQUAL(login_option(&b, "auth"), "none");
	login_options_done(&a);
	login_options_done(&b);
}

/* --- configurations --- */

static void test_options_config_without_options_has_the_defaults(void)
{
	struct session_config c = config("login");

	CU_ASSERT_EQUAL(c.type, KEYS_NORMAL);
	CU_ASSERT_STRING_EQUAL(c.target_name, "iqn.2003-01.org.example:them");
	CU_ASSERT_STRING_EQUAL(c.initiator_name, "iqn.2003-01.org.example:us");
	CU_ASSERT_STRING_EQUAL(c.initiator_alias, "us");
	CU_ASSERT_EQUAL(c.auth, AUTH_NONE);
	CU_ASSERT_PTR_NULL(c.chap.secret);
	CU_ASSERT_EQUAL(c.timeouts.login_ms, the_daemon.conf.timeouts.login_ms);
	CU_ASSERT_EQUAL(c.wishes.max_burst_length, the_daemon.conf.wishes.max_burst_length);
	config_done(&c);
}

static void test_options_config_of_discovery_has_no_target(void)
{
	struct login_options o = { NULL };
	struct session_config c;

	set_up();
	CU_ASSERT_TRUE(login_options_config(&o, &the_daemon, NULL, &c, NULL));
	CU_ASSERT_EQUAL(c.type, KEYS_DISCOVERY);
	CU_ASSERT_PTR_NULL(c.target_name);
	config_done(&c);
}

static void test_options_config_takes_an_isid_that_is_new(void)
{
	struct session_config a = config("login"), b;
	struct login_options o = { NULL };

	/* RFC 7143 11.12.5: T = 10b, A reserved, B and C random, D qualifier */
	CU_ASSERT_EQUAL(memcmp(a.isid, "\x80\x12\x34\x56\x78\x9a", 6), 0);
	CU_ASSERT_TRUE(login_options_config(&o, &the_daemon, "iqn.x", &b, NULL));
	CU_ASSERT_EQUAL(memcmp(b.isid, "\x80\x12\x34\x56\x78\x9b", 6), 0);
	config_done(&a);
	config_done(&b);
}

static void test_options_config_has_every_wish(void)
{
	struct session_config c = config(
		"login header_digest=prefer data_digest=yes initial_r2t=yes immediate_data=no "
		"first_burst_length=1024 max_burst_length=2048 time2wait=7 time2retain=3600 "
		"max_recv_data_segment_length=0xffffff max_outstanding_r2t=3");

	CU_ASSERT_EQUAL(c.wishes.header_digest, DIGEST_PREFER);
	CU_ASSERT_EQUAL(c.wishes.data_digest, DIGEST_YES);
	CU_ASSERT_TRUE(c.wishes.initial_r2t);
	CU_ASSERT_FALSE(c.wishes.immediate_data);
	CU_ASSERT_EQUAL(c.wishes.first_burst_length, 1024);
	CU_ASSERT_EQUAL(c.wishes.max_burst_length, 2048);
	CU_ASSERT_EQUAL(c.wishes.time2wait, 7);
	CU_ASSERT_EQUAL(c.wishes.time2retain, 3600);
	CU_ASSERT_EQUAL(c.wishes.max_recv_data_segment_length, 16777215);
	CU_ASSERT_EQUAL(c.wishes.max_outstanding_r2t, 3);
	config_done(&c);
}

static void test_options_config_has_every_timeout(void)
{
	struct session_config c = config(
		"login connect_timeout=1 login_timeout=2 logout_timeout=3.5 text_timeout=4 "
		"nop_interval=0 nop_timeout=6 command_timeout=0.007");

	CU_ASSERT_EQUAL(c.timeouts.connect_ms, 1000);
	CU_ASSERT_EQUAL(c.timeouts.login_ms, 2000);
	CU_ASSERT_EQUAL(c.timeouts.logout_ms, 3500);
	CU_ASSERT_EQUAL(c.timeouts.text_ms, 4000);
	CU_ASSERT_EQUAL(c.timeouts.nop_interval_ms, 0);
	CU_ASSERT_EQUAL(c.timeouts.nop_timeout_ms, 6000);
	CU_ASSERT_EQUAL(c.timeouts.command_ms, 7);
	config_done(&c);
}

static void test_options_config_leaves_the_daemons_alone(void)
{
	struct session_config c = config("login time2wait=7 login_timeout=2");
	struct conf defaults;

	conf_default(&defaults);
	CU_ASSERT_EQUAL(the_daemon.conf.wishes.time2wait, defaults.wishes.time2wait);
	CU_ASSERT_EQUAL(the_daemon.conf.timeouts.login_ms, defaults.timeouts.login_ms);
	conf_done(&defaults);
	config_done(&c);
}

static void test_options_config_first_burst_stays_below_max_burst(void)
{
	struct session_config c = config("login max_burst_length=512");

	CU_ASSERT_EQUAL(c.wishes.first_burst_length, 512);
	config_done(&c);
	config_refuses("login max_burst_length=512 first_burst_length=513",
		       ISDSC_INVALID_PARAMETER, "more than max_burst_length 512");
}

static void test_options_config_chap_one_way(void)
{
	struct session_config c = config("login auth=chap user=me secret=" SECRET);

	CU_ASSERT_EQUAL(c.auth, AUTH_CHAP);
	CU_ASSERT_STRING_EQUAL(c.chap.user, "me");
	CU_ASSERT_EQUAL(c.chap.secret_bytes, 12);
	CU_ASSERT_EQUAL(memcmp(c.chap.secret, SECRET, 12), 0);
	CU_ASSERT_PTR_NULL(c.chap.secret_in);
	config_done(&c);
}

static void test_options_config_chap_mutual(void)
{
	struct session_config c =
		config("login auth=mutual secret=0x000102030405060708090a0b user_in=they "
		       "secret_in=" SECRET_IN);

	CU_ASSERT_EQUAL(c.auth, AUTH_MUTUAL);
	CU_ASSERT_PTR_NULL(c.chap.user); /* the initiator name */
	CU_ASSERT_EQUAL(c.chap.secret_bytes, 12);
	CU_ASSERT_EQUAL(memcmp(c.chap.secret, "\0\1\2\3\4\5\6\7\10\11\12\13", 12), 0);
	CU_ASSERT_STRING_EQUAL(c.chap.user_in, "they");
	CU_ASSERT_EQUAL(c.chap.secret_in_bytes, 12);
	CU_ASSERT_EQUAL(memcmp(c.chap.secret_in, SECRET_IN, 12), 0);
	config_done(&c);
}

static void test_options_config_secrets_imply_the_method(void)
{
	struct session_config c = config("login secret=" SECRET);

	CU_ASSERT_EQUAL(c.auth, AUTH_CHAP);
	config_done(&c);
	c = config("login secret=" SECRET " secret_in=" SECRET_IN);
	CU_ASSERT_EQUAL(c.auth, AUTH_MUTUAL);
	config_done(&c);
}

static void test_options_config_never_falls_to_none(void)
{
	config_refuses("login auth=chap", ISDSC_MISSING_PARAMETER, "auth=chap needs secret=");
	config_refuses("login user=me", ISDSC_MISSING_PARAMETER, "auth=chap needs secret=");
	config_refuses("login auth=mutual secret=" SECRET, ISDSC_MISSING_PARAMETER,
		       "auth=mutual needs secret_in=");
	config_refuses("login secret_in=" SECRET, ISDSC_MISSING_PARAMETER,
		       "auth=mutual needs secret=");
	config_refuses("login auth=none secret=" SECRET, ISDSC_LOGIN_USER_INFO_BAD,
		       "auth=none has no use for user= and secret=");
	config_refuses("login auth=none user=me", ISDSC_LOGIN_USER_INFO_BAD,
		       "auth=none has no use for user= and secret=");
	config_refuses("login auth=chap secret=" SECRET " secret_in=" SECRET_IN,
		       ISDSC_LOGIN_USER_INFO_BAD, "auth=chap has no use for user_in=");
}

static void test_options_config_secrets_must_differ(void)
{
	config_refuses("login secret=" SECRET " secret_in=" SECRET,
		       ISDSC_INVALID_INITIATOR_CHAP_SECRET, "are the same");
	/* the same bytes, written in hex */
	config_refuses("login secret=" SECRET " secret_in=0x303132333435363738396162",
		       ISDSC_INVALID_INITIATOR_CHAP_SECRET, "are the same");
}

UNIT_MAIN("options", UNIT(test_options_are_kept_as_given),
	  UNIT(test_options_none_given_is_fine),
	  UNIT(test_options_every_key_has_help_and_a_good_name),
	  UNIT(test_options_know_every_key_of_tree_md),
	  UNIT(test_options_not_there_yet_are_refused_plainly),
	  UNIT(test_options_that_mean_as_now_are_accepted),
	  UNIT(test_options_recovery_and_connections_reach_the_session),
	  UNIT(test_options_numbers), UNIT(test_options_leave_the_verbs_own_key_alone),
	  UNIT(test_options_values_are_checked), UNIT(test_options_source_takes_both_families),
	  UNIT(test_options_secret_comes_from_a_file),
	  UNIT(test_options_without_a_file_run_at_once),
	  UNIT(test_options_file_read_can_be_cancelled),
	  UNIT(test_options_merge_option_by_option),
	  UNIT(test_options_authentication_merges_as_a_unit),
	  UNIT(test_options_authentication_of_three_sources), UNIT(test_options_copy_is_deep),
	  UNIT(test_options_config_without_options_has_the_defaults),
	  UNIT(test_options_config_of_discovery_has_no_target),
	  UNIT(test_options_config_takes_an_isid_that_is_new),
	  UNIT(test_options_config_has_every_wish), UNIT(test_options_config_has_every_timeout),
	  UNIT(test_options_config_leaves_the_daemons_alone),
	  UNIT(test_options_config_first_burst_stays_below_max_burst),
	  UNIT(test_options_config_chap_one_way), UNIT(test_options_config_chap_mutual),
	  UNIT(test_options_config_secrets_imply_the_method),
	  UNIT(test_options_config_never_falls_to_none),
	  UNIT(test_options_config_secrets_must_differ))
