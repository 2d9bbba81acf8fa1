/* SPDX-License-Identifier: BSD-2-Clause */
/* The grammar of control lines (tree.md), and that no secret shows. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "core/command.h"
#include "unit.h"

static void run(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)obj;
	(void)cmd;
	operation_finish(op, NULL);
}

static const struct command_key own_keys[] = {
	{ "count", COMMAND_NUMBER, 1, 10, .help = "how many" },
	{ "persist", COMMAND_BOOL, .help = "the verb's own" },
	{ 0 },
};
static const struct command_key shared_keys[] = {
	{ "portal", COMMAND_TEXT, .help = "where" },
	{ "auth", COMMAND_CHOICE, .choices = "none|chap|mutual", .help = "how" },
	{ "secret", COMMAND_TEXT, .is_secret = true, .help = "never shown" },
	{ "code", COMMAND_NUMBER, 1, 9, .is_secret = true, .help = "never shown" },
	{ "grace", COMMAND_SECONDS, .min = 500, .max = 2000, .help = "how long" },
	{ "persist", COMMAND_TEXT, .help = "hidden by the verb's own" },
	{ 0 },
};
static const struct verb verbs[] = {
	{ "login", "", 0, 0, shared_keys, NULL, run, "Log in." },
	{ "add-portal", "ADDR[:PORT]", 1, 1, own_keys, shared_keys, run, "Add a portal." },
	{ "path", "SID [ROLE]", 1, 2, NULL, NULL, run, "A path." },
	{ 0 },
};

static struct command *parse(const char *line)
{
	GError *err = NULL;
	struct command *cmd = command_parse(line, verbs, &err);

	if (err)
		printf("\n%s: %s\n", line, err->message);
	CU_ASSERT_PTR_NULL(err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cmd);
	return cmd;
}

/* @line is refused, with EINVAL and a message that has @part in it. */
static void refuses(const char *line, const char *part)
{
	GError *err = NULL;
	struct command *cmd = command_parse(line, verbs, &err);

	CU_ASSERT_PTR_NULL(cmd);
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	CU_ASSERT_EQUAL(error_errno(err), EINVAL);
	CU_ASSERT_EQUAL(err->code, ISDSC_INVALID_PARAMETER);
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, part));
	if (!strstr(err->message, part))
		printf("\n%s: %s, not %s\n", line, err->message, part);
	CU_ASSERT_PTR_NULL(strstr(err->message, "hush"));
	g_error_free(err);
	command_free(cmd);
}

static void test_command_takes_verb_arguments_and_keys(void)
{
	struct command *cmd = parse("  add-portal\t10.0.0.5:3260  count=0x0a auth=chap ");

	CU_ASSERT_PTR_EQUAL(cmd->verb, &verbs[1]);
	CU_ASSERT_EQUAL(cmd->arg_count, 1);
	CU_ASSERT_STRING_EQUAL(cmd->args[0], "10.0.0.5:3260");
	CU_ASSERT_PTR_NULL(cmd->args[1]);
	CU_ASSERT_STRING_EQUAL(command_key(cmd, "auth"), "chap");
	CU_ASSERT_EQUAL(command_number(cmd, "count", 7), 10);
	CU_ASSERT_PTR_NULL(command_key(cmd, "portal"));
	CU_ASSERT_EQUAL(cmd->timeout_ms, 0);
	CU_ASSERT_FALSE(cmd->is_nowait);
	command_free(cmd);
}

static void test_command_value_defaults_when_not_given(void)
{
	struct command *cmd = parse("add-portal a");

	CU_ASSERT_EQUAL(command_number(cmd, "count", 7), 7);
	CU_ASSERT_TRUE(command_bool(cmd, "persist", true));
	CU_ASSERT_FALSE(command_bool(cmd, "persist", false));
	CU_ASSERT_EQUAL(command_ms(cmd, "grace", 33), 33);
	command_free(cmd);
}

static void test_command_every_verb_takes_timeout_and_nowait(void)
{
	struct command *cmd = parse("path 1 timeout=2.5 nowait=yes");

	CU_ASSERT_EQUAL(cmd->timeout_ms, 2500);
	CU_ASSERT_TRUE(cmd->is_nowait);
	command_free(cmd);
	refuses("path 1 timeout=-1", "timeout=-1");
	refuses("path 1 timeout=86401", "timeout=86401");
	refuses("path 1 nowait=perhaps", "yes|no");
}

static void test_command_quotes_and_escapes_keep_a_word_together(void)
{
	struct command *cmd = parse("add-portal \"a b\" secret=\"x\\x20\\\"y z\"");

	CU_ASSERT_STRING_EQUAL(cmd->args[0], "a b");
	CU_ASSERT_STRING_EQUAL(command_key(cmd, "secret"), "x \"y z");
	command_free(cmd);
}

static void test_command_empty_and_comment_lines_are_nothing(void)
{
	static const char *const lines[] = { "", "   ", "\t", "# login",
					     "  #login secret=hush" };

	for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
		GError *err = NULL;

		CU_ASSERT_PTR_NULL(command_parse(lines[i], verbs, &err));
		CU_ASSERT_PTR_NULL(err);
	}
}

static void test_command_comment_ends_a_line(void)
{
	struct command *cmd = parse("login portal=a#b # and so on");

	CU_ASSERT_STRING_EQUAL(command_key(cmd, "portal"), "a#b");
	command_free(cmd);
}

static void test_command_unknown_words_are_refused_with_what_is_known(void)
{
	refuses("logni", "unknown verb logni; there are: login, add-portal, path");
	refuses("LOGIN", "there are: login, add-portal, path");
	refuses("login potral=1", "unknown key potral; there are: portal, auth, secret, code, "
				  "grace, persist, timeout, nowait");
	refuses("login Portal=1", "there are: portal");
	refuses("login count=1", "unknown key count");
	refuses("login =1", "too many arguments");
}

static void test_command_without_verbs_refuses_all(void)
{
	GError *err = NULL;

	CU_ASSERT_PTR_NULL(command_parse("login", NULL, &err));
	CU_ASSERT_STRING_EQUAL(err->message, "unknown verb login; there are: none");
	g_error_free(err);
}

static void test_command_key_given_twice_is_refused(void)
{
	refuses("login portal=a portal=a", "portal given twice");
	refuses("login nowait=no nowait=no", "nowait given twice");
}

static void test_command_number_of_arguments_is_checked(void)
{
	refuses("login iqn.x", "too many arguments, it takes none");
	refuses("add-portal", "it takes ADDR[:PORT]");
	refuses("add-portal a b", "too many arguments, it takes ADDR[:PORT]");
	refuses("path 1 2 3", "too many arguments, it takes SID [ROLE]");
	refuses("add-portal count=1 a", "argument after");
}

static void test_command_types_are_checked(void)
{
	refuses("add-portal a count=0", "it takes 1..10");
	refuses("add-portal a count=11", "it takes 1..10");
	refuses("add-portal a count=", "it takes 1..10");
	refuses("add-portal a count=3x", "count=3x");
	refuses("add-portal a persist=2", "yes|no");
	refuses("login auth=ch", "none|chap|mutual");
	refuses("login auth=chap|mutual", "none|chap|mutual");
	refuses("login auth=CHAP", "none|chap|mutual");
	refuses("login auth=", "none|chap|mutual");
	refuses("login grace=0.4", "SECONDS (0.5..2)");
	refuses("login grace=2.001", "SECONDS (0.5..2)");
}

static void test_command_choices_are_all_accepted(void)
{
	command_free(parse("login auth=none"));
	command_free(parse("login auth=chap"));
	command_free(parse("login auth=mutual grace=0.5"));
}

static void test_command_control_characters_are_refused(void)
{
	refuses("login\r", "control character 0x0d");
	refuses("login portal=a\x1b[0m", "control character 0x1b");
	refuses("login portal=\x7f", "control character 0x7f");
	refuses("# comment\x01", "control character 0x01");
	refuses("login portal=\\x00", "\\x00");
	refuses("login \"portal=a", "quote");
}

static void test_command_longest_line_is_8192_bytes(void)
{
	g_autofree char *pad = g_strnfill(COMMAND_LINE_MAX - strlen("login portal="), 'a');
	g_autofree char *longest = g_strconcat("login portal=", pad, NULL);
	g_autofree char *beyond = g_strconcat(longest, "a", NULL);

	CU_ASSERT_EQUAL(strlen(longest), 8192);
	command_free(parse(longest));
	refuses(beyond, "longer than 8192 bytes");
}

static void test_command_shown_has_no_secret(void)
{
	struct command *cmd = parse("login portal=\"a b\" secret=hush-hush-hush auth=chap");

	CU_ASSERT_STRING_EQUAL(cmd->shown, "login portal=\"a b\" secret=*** auth=chap");
	CU_ASSERT_STRING_EQUAL(command_key(cmd, "secret"), "hush-hush-hush");
	command_free(cmd);
}

static void test_command_messages_have_no_secret(void)
{
	refuses("login code=hush", "code=***: it takes 1..9");
	refuses("login secert=hush", "unknown key secert");
	refuses("login secret = hush", "too many arguments");
	refuses("login secret=x hush", "argument after");
	refuses("login hush hush", "too many arguments");
	refuses("login \"hush", "quote");
	refuses("login hush\\q", "backslash");
	refuses("hush1 login", "unknown verb;");
	refuses("secret=hush login", "unknown verb;");
}

static void test_command_shown_of_a_bad_line_is_the_verb(void)
{
	g_autofree char *known = command_shown("  login hush\"", verbs);
	g_autofree char *unknown = command_shown("logni secret=hush", verbs);

	CU_ASSERT_STRING_EQUAL(known, "login ...");
	CU_ASSERT_STRING_EQUAL(unknown, "...");
}

static void test_command_own_key_hides_the_shared_one(void)
{
	refuses("add-portal a persist=maybe", "yes|no");
	CU_ASSERT_PTR_EQUAL(command_find_key(&verbs[1], "persist"), &own_keys[1]);
	CU_ASSERT_PTR_EQUAL(command_find_key(&verbs[0], "persist"), &shared_keys[5]);
	CU_ASSERT_PTR_NULL(command_find_key(&verbs[0], "nothing"));
	CU_ASSERT_PTR_NOT_NULL(command_find_key(&verbs[2], "timeout"));
}

static void test_command_help_has_every_verb_and_key(void)
{
	g_autoptr(GString) help = g_string_new(NULL);

	command_help(verbs, help);
	CU_ASSERT_TRUE(g_str_has_prefix(help->str, "login\n\tLog in.\n\tportal=TEXT"));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(help->str, "\nadd-portal ADDR[:PORT]\n\tAdd a portal.\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(help->str, "\tcount=1..10 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(help->str, "\tauth=none|chap|mutual "));
	CU_ASSERT_PTR_NOT_NULL(strstr(help->str, "\ttimeout=SECONDS "));
	CU_ASSERT_PTR_NOT_NULL(strstr(help->str, "\tnowait=yes|no "));
	/* once with login, once with add-portal, whose own hides the shared one */
	CU_ASSERT_PTR_NULL(strstr(strstr(help->str, "the verb's own"), "hidden by"));
}

static void test_command_quoted_word_is_read_back(void)
{
	static const char *const words[] = { "a",  "",	 "#a",		 "a b",
					     "\"", "\\", "a\tb\x01\xff", "\xe2\x82\xac",
					     "x#", "'" };

	for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
		for (int is_forced = 0; is_forced < 2; is_forced++) {
			g_autoptr(GString) line = g_string_new(NULL);
			g_auto(GStrv) back = NULL;

			operation_quote(line, words[i], is_forced);
			back = text_split_words(line->str, NULL);
			CU_ASSERT_PTR_NOT_NULL_FATAL(back);
			CU_ASSERT_PTR_NOT_NULL_FATAL(back[0]);
			CU_ASSERT_STRING_EQUAL(back[0], words[i]);
			CU_ASSERT_PTR_NULL(back[1]);
		}
}

UNIT_MAIN("command", UNIT(test_command_takes_verb_arguments_and_keys),
	  UNIT(test_command_value_defaults_when_not_given),
	  UNIT(test_command_every_verb_takes_timeout_and_nowait),
	  UNIT(test_command_quotes_and_escapes_keep_a_word_together),
	  UNIT(test_command_empty_and_comment_lines_are_nothing),
	  UNIT(test_command_comment_ends_a_line),
	  UNIT(test_command_unknown_words_are_refused_with_what_is_known),
	  UNIT(test_command_without_verbs_refuses_all),
	  UNIT(test_command_key_given_twice_is_refused),
	  UNIT(test_command_number_of_arguments_is_checked),
	  UNIT(test_command_types_are_checked), UNIT(test_command_choices_are_all_accepted),
	  UNIT(test_command_control_characters_are_refused),
	  UNIT(test_command_longest_line_is_8192_bytes), UNIT(test_command_shown_has_no_secret),
	  UNIT(test_command_messages_have_no_secret),
	  UNIT(test_command_shown_of_a_bad_line_is_the_verb),
	  UNIT(test_command_own_key_hides_the_shared_one),
	  UNIT(test_command_help_has_every_verb_and_key),
	  UNIT(test_command_quoted_word_is_read_back))
