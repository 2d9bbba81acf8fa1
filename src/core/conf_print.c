/* SPDX-License-Identifier: BSD-2-Clause */
/* What is made of the table of options for people: the sample file, and the options' part of
 * iscsifs.conf(5). Called by test_conf, which compares both with the files, or writes them. */
#include <inttypes.h>
#include <string.h>

#include "core/conf_table.h"

/* --- the sample --- */

static void print_option(const struct conf *defaults, const struct conf_option *o, GString *out)
{
	const struct command_key *k = conf_option_key(o);

	if (o->section)
		g_string_append_printf(out, "\n### %s\n", o->section);
	g_string_append_printf(out, "\n# %s", k->help);
	if (k->type == COMMAND_NUMBER || k->type == COMMAND_CHOICE) {
		g_string_append(out, "; ");
		command_print_type(k, out);
	}
	g_string_append_printf(out, "\n#%s = ", k->name);
	if (o->example)
		g_string_append_printf(out, "\"%s\"", o->example);
	else
		conf_option_show(o, defaults, out);
	g_string_append(out, ";\n");
}

void conf_print(GString *out)
{
	struct conf defaults;

	conf_default(&defaults);
	g_string_append(out,
			"# iscsifs.conf: read by iscsifs when it starts; see iscsifs.conf(5).\n"
			"# Every option is here, with its default: take the # off the line\n"
			"# to change it. An unknown option or a bad value is an error.\n");
	for (const struct conf_option *o = conf_options; o->key.name; o++)
		print_option(&defaults, o, out);
	conf_done(&defaults);
}

/* --- the page --- */

static const char *const live_texts[] = {
	[CONF_AT_ONCE] = "A reload changes it at once.",
	[CONF_NEW_LOGINS] = "A reload changes it for logins from then on.",
	[CONF_RESTART] = "A change counts when the daemon is started anew.",
};

/* @text so that troff shows it as it stands. */
static void print_plain(const char *text, GString *out)
{
	if (*text == '.' || *text == '\'')
		g_string_append(out, "\\&");
	for (; *text; text++)
		if (*text == '\\')
			g_string_append(out, "\\e");
		else if (*text == '"')
			g_string_append(out, "\\(dq");
		else if (*text == '-')
			g_string_append(out, "\\-");
		else
			g_string_append_c(out, *text);
}

/* Sentences, a line each. */
static void print_sentences(const char *text, GString *out)
{
	g_auto(GStrv) sentences = g_strsplit(text, ". ", -1);

	for (char **s = sentences; *s; s++) {
		print_plain(*s, out);
		g_string_append(out, s[1] ? ".\n" : "\n");
	}
}

/* What may stand behind the '='. */
static void print_values(const struct conf_option *o, GString *out)
{
	const struct command_key *k = conf_option_key(o);
	g_auto(GStrv) choices = NULL;

	switch (k->type) {
	case COMMAND_TEXT:
		g_string_append(out, o->takes_number ? "text or number" : "text");
		break;
	case COMMAND_BOOL:
		g_string_append(out, "true or false");
		break;
	case COMMAND_NUMBER:
		g_string_append_printf(out, "%" PRIu64 " to %" PRIu64, k->min, k->max);
		break;
	case COMMAND_SECONDS:
		g_string_append_printf(out, "%g to %g seconds", (double)k->min / 1000,
				       (double)(k->max ? k->max : COMMAND_MS_MAX) / 1000);
		break;
	case COMMAND_CHOICE:
		choices = g_strsplit(k->choices, "|", -1);
		for (char **c = choices; *c; c++)
			g_string_append_printf(out, "%s\\(dq%s\\(dq",
					       c == choices ? "" :
					       c[1]	    ? ", " :
							      " or ",
					       *c);
		break;
	}
}

static void print_page_option(const struct conf *defaults, const struct conf_option *o,
			      GString *out)
{
	const struct command_key *k = conf_option_key(o);
	g_autoptr(GString) value = g_string_new(NULL);
	g_autofree char *help = g_strdup_printf("%s.", k->help);

	help[0] = g_ascii_toupper(help[0]);
	if (o->section) {
		g_string_append(out, ".SS ");
		print_plain(o->section, out);
		g_string_append_c(out, '\n');
	}
	g_string_append_printf(out, ".TP\n.B %s\n", k->name);
	print_sentences(help, out);
	if (o->why)
		print_sentences(o->why, out);
	g_string_append(out, live_texts[o->live]);
	g_string_append(out, "\n.br\nValues: ");
	print_values(o, out);
	if (o->example) {
		g_string_append(out, "; none by default.\n");
		return;
	}
	conf_option_show(o, defaults, value);
	g_string_append(out, "; default: ");
	print_plain(value->str, out);
	g_string_append(out, ".\n");
}

void conf_print_page(GString *out)
{
	struct conf defaults;

	conf_default(&defaults);
	for (const struct conf_option *o = conf_options; o->key.name; o++)
		print_page_option(&defaults, o, out);
	conf_done(&defaults);
}
