/* SPDX-License-Identifier: BSD-2-Clause */
/* Command line and mount options; cmdline.h says which. Called by main.c first of
 * all. */
#include "fuse/cmdline.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "core/conf.h"

/* --- mount options --- */

static gboolean bad_option(const char *option, GError **err)
{
	error_set(err, ISDSC_INVALID_PARAMETER, "option -o %s: not understood", option);
	return FALSE;
}

static gboolean set_uid(struct cmdline *c, const char *value)
{
	uint64_t n;

	if (text_parse_u64(value, 0, UINT32_MAX - 1, &n) < 0)
		return FALSE;
	c->uid = (uid_t)n;
	return TRUE;
}

static gboolean set_gid(struct cmdline *c, const char *value)
{
	uint64_t n;

	if (text_parse_u64(value, 0, UINT32_MAX - 1, &n) < 0)
		return FALSE;
	c->gid = (gid_t)n;
	return TRUE;
}

static gboolean set_umask(struct cmdline *c, const char *value)
{
	char *end;
	guint64 n = g_ascii_strtoull(value, &end, 8);

	if (!g_ascii_isdigit(*value) || *end || n > 0777)
		return FALSE;
	c->umask = (mode_t)n;
	return TRUE;
}

static gboolean set_cache(struct cmdline *c, const char *value)
{
	c->has_cache = cache_mode_parse(value, &c->cache);
	return c->has_cache;
}

static void set_path(char **path, const char *value)
{
	g_free(*path);
	*path = g_canonicalize_filename(value, NULL);
}

static gboolean set_conf(struct cmdline *c, const char *value)
{
	set_path(&c->conf_file, value);
	return TRUE;
}

static gboolean set_state(struct cmdline *c, const char *value)
{
	set_path(&c->state_dir, value);
	return TRUE;
}

static gboolean set_pid(struct cmdline *c, const char *value)
{
	set_path(&c->pid_file, value);
	return TRUE;
}

/* "name=" takes a value. No set(): for mount(8) and systemd, not for us. */
static const struct mount_option {
	const char *name;
	gboolean (*set)(struct cmdline *c, const char *value);
} mount_options[] = {
	{ "uid=", set_uid },
	{ "gid=", set_gid },
	{ "umask=", set_umask },
	{ "cache=", set_cache },
	{ "config=", set_conf },
	{ "state_dir=", set_state },
	{ "pidfile=", set_pid },
	{ "defaults", NULL },
	{ "auto", NULL },
	{ "noauto", NULL },
	{ "nofail", NULL },
	{ "user", NULL },
	{ "users", NULL },
	{ "nouser", NULL },
	{ "_netdev", NULL },
	{ "default_permissions", NULL }, /* always on */
};

static const struct mount_option *find_option(const char *option)
{
	for (size_t i = 0; i < G_N_ELEMENTS(mount_options); i++) {
		const char *name = mount_options[i].name;
		size_t len = strlen(name);
		bool has_value = name[len - 1] == '=';

		if (has_value ? !strncmp(option, name, len) : !strcmp(option, name))
			return &mount_options[i];
	}
	return NULL;
}

static gboolean take_option(struct cmdline *c, const char *option, GError **err)
{
	const struct mount_option *o = find_option(option);

	if (!*option || g_ascii_strncasecmp(option, "x-", 2) == 0)
		return TRUE;
	if (!o) {
		g_string_append_printf(c->fuse_options, "%s%s", c->fuse_options->len ? "," : "",
				       option);
		return TRUE;
	}
	if (!o->set || o->set(c, option + strlen(o->name)))
		return TRUE;
	return bad_option(option, err);
}

static gboolean take_options(struct cmdline *c, const char *options, GError **err)
{
	g_auto(GStrv) words = g_strsplit(options, ",", -1);

	for (char **w = words; *w; w++)
		if (!take_option(c, *w, err))
			return FALSE;
	return TRUE;
}

/* --- the line --- */

static char *default_state_dir(void)
{
	if (geteuid() == 0)
		return g_strdup("/var/lib/iscsifs");
	/* $XDG_STATE_HOME, or ~/.local/state */
	return g_build_filename(g_get_user_state_dir(), "iscsifs", NULL);
}

/* One letter of getopt(). */
static gboolean take_letter(struct cmdline *c, int letter, GError **err)
{
	switch (letter) {
	case 'd':
		c->is_debug = true;
		c->is_foreground = true;
		return TRUE;
	case 'f':
		c->is_foreground = true;
		return TRUE;
	case 'c':
		return set_conf(c, optarg);
	case 's':
		return set_state(c, optarg);
	case 'p':
		return set_pid(c, optarg);
	case 'o':
		return take_options(c, optarg, err);
	case 'h':
		c->wants_help = true;
		return TRUE;
	case 'V':
		c->wants_version = true;
		return TRUE;
	case ':':
		error_set(err, ISDSC_INVALID_PARAMETER, "option -%c needs a value", optopt);
		return FALSE;
	default:
		error_set(err, ISDSC_INVALID_PARAMETER, "there is no option -%c", optopt);
		return FALSE;
	}
}

static gboolean take_operands(struct cmdline *c, int count, char **operands, GError **err)
{
	if (count < 1 || count > 2) {
		error_set(err, ISDSC_INVALID_PARAMETER,
			  count ? "too many arguments" : "no mount point given");
		return FALSE;
	}
	c->mountpoint = g_canonicalize_filename(operands[count - 1], NULL);
	return TRUE;
}

gboolean cmdline_parse(struct cmdline *c, int argc, char **argv, GError **err)
{
	int letter;

	*c = (struct cmdline){
		.uid = geteuid(),
		.gid = getegid(),
		.fuse_options = g_string_new(NULL),
		.state_dir = default_state_dir(),
	};
	opterr = 0;
	while ((letter = getopt(argc, argv, ":fdc:s:p:o:hV")) != -1)
		if (!take_letter(c, letter, err))
			return FALSE;
	if (c->wants_help || c->wants_version)
		return TRUE;
	return take_operands(c, argc - optind, argv + optind, err);
}

void cmdline_done(struct cmdline *c)
{
	g_free(c->mountpoint);
	g_free(c->conf_file);
	g_free(c->state_dir);
	g_free(c->pid_file);
	g_string_free(c->fuse_options, TRUE);
	*c = (struct cmdline){ 0 };
}

void cmdline_help(FILE *to)
{
	fputs(CMDLINE_USAGE
	      "\n"
	      "Shows iSCSI targets as a tree of files on MOUNTPOINT; its README tells more.\n"
	      "\n"
	      "  -f            stay in the foreground, log to stderr\n"
	      "  -d            the same, and log what is of use for debugging\n"
	      "  -c FILE       read this configuration, not " CONF_DEFAULT_FILE "\n"
	      "  -s STATE_DIR  keep state there\n"
	      "  -p PIDFILE    write the process id there\n"
	      "  -o OPTS       uid=N,gid=N,umask=OCTAL of the files; cache=none|through|back of\n"
	      "                the disks; allow_other, ro and what else mount.fuse3(8) lists\n"
	      "  -h            print this\n"
	      "  -V            print the version\n"
	      "\n"
	      "End it with umount or fusermount3 -u MOUNTPOINT. See iscsi-tree(7).\n",
	      to);
}
