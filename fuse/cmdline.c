/* SPDX-License-Identifier: BSD-2-Clause */
/* Command line and mount options; cmdline.h says which. Called by main.c first of
 * all. */
#include "fuse/cmdline.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/conf.h"

/* --- mount options --- */

static gboolean set_uid(struct cmdline *c, const char *value, GError **err)
{
	c->has_uid = conf_user_id(value, &c->permissions.uid, err);
	return c->has_uid;
}

static gboolean set_gid(struct cmdline *c, const char *value, GError **err)
{
	c->has_gid = conf_group_id(value, &c->permissions.gid, err);
	return c->has_gid;
}

static gboolean set_umask(struct cmdline *c, const char *value, GError **err)
{
	c->has_umask = conf_umask(value, &c->permissions.umask, err);
	return c->has_umask;
}

static gboolean set_cache(struct cmdline *c, const char *value, GError **err)
{
	c->has_cache = cache_mode_parse(value, &c->cache);
	if (!c->has_cache)
		error_set(err, ISDSC_INVALID_PARAMETER, "it takes " CACHE_MODES);
	return c->has_cache;
}

static void set_path(char **path, const char *value)
{
	g_free(*path);
	*path = g_canonicalize_filename(value, NULL);
}

static gboolean set_conf(struct cmdline *c, const char *value, GError **err)
{
	(void)err;
	set_path(&c->conf_file, value);
	return TRUE;
}

static gboolean set_state(struct cmdline *c, const char *value, GError **err)
{
	(void)err;
	set_path(&c->state_dir, value);
	return TRUE;
}

static gboolean set_pid(struct cmdline *c, const char *value, GError **err)
{
	(void)err;
	set_path(&c->pid_file, value);
	return TRUE;
}

/* "name=" takes a value. No set(): for mount(8) and systemd, not for us. */
static const struct mount_option {
	const char *name;
	gboolean (*set)(struct cmdline *c, const char *value, GError **err);
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

/* To libfuse. */
static void pass_option(struct cmdline *c, const char *option)
{
	g_string_append_printf(c->fuse_options, "%s%s", c->fuse_options->len ? "," : "",
			       option);
	c->has_other |= !strcmp(option, "allow_other");
	c->has_root |= !strcmp(option, "allow_root");
}

static gboolean take_option(struct cmdline *c, const char *option, GError **err)
{
	const struct mount_option *o = find_option(option);

	if (!*option || g_ascii_strncasecmp(option, "x-", 2) == 0)
		return TRUE;
	if (!o) {
		pass_option(c, option);
		return TRUE;
	}
	if (!o->set || o->set(c, option + strlen(o->name), err))
		return TRUE;
	g_prefix_error(err, "option -o %s: ", option);
	return FALSE;
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
		return set_conf(c, optarg, err);
	case 's':
		return set_state(c, optarg, err);
	case 'p':
		return set_pid(c, optarg, err);
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
		.fuse_options = g_string_new(NULL),
	};
	opterr = 0;
	while ((letter = getopt(argc, argv, ":fdc:s:p:o:hV")) != -1)
		if (!take_letter(c, letter, err))
			return FALSE;
	if (c->wants_help || c->wants_version)
		return TRUE;
	return take_operands(c, argc - optind, argv + optind, err);
}

/* --- what was not given --- */

static char *default_state_dir(void)
{
	if (geteuid() == 0)
		return g_strdup("/var/lib/iscsifs");
	/* $XDG_STATE_HOME, or ~/.local/state */
	return g_build_filename(g_get_user_state_dir(), "iscsifs", NULL);
}

static void fill_path(char **path, const char *conf)
{
	if (!*path && conf)
		*path = g_canonicalize_filename(conf, NULL);
}

/* A number that conf.c made. */
static uint32_t id_of(const char *conf, uint32_t otherwise)
{
	return conf ? (uint32_t)g_ascii_strtoull(conf, NULL, 10) : otherwise;
}

static gboolean fill_permissions(struct cmdline *c, const struct conf *conf, GError **err)
{
	struct permissions *p = &c->permissions;

	if (!c->has_uid)
		p->uid = id_of(conf->uid, geteuid());
	if (!c->has_gid)
		p->gid = id_of(conf->gid, getegid());
	if (!c->has_umask && conf->umask && !conf_umask(conf->umask, &p->umask, err))
		return FALSE;
	if (conf->allow_other && !c->has_other && !c->has_root)
		pass_option(c, "allow_other");
	p->operators = id_of(conf->operators, PERMISSIONS_NOBODY);
	p->disk_group = id_of(conf->disk_group, PERMISSIONS_NOBODY);
	p->closes_disks = c->has_other && !c->has_umask && !conf->umask;
	return TRUE;
}

gboolean cmdline_fill(struct cmdline *c, const struct conf *conf, GError **err)
{
	fill_path(&c->state_dir, conf->state_dir);
	fill_path(&c->pid_file, conf->pid_file);
	if (!c->state_dir)
		c->state_dir = default_state_dir();
	if (conf->log_target == LOG_TARGET_STDERR && !c->is_foreground) {
		error_set(err, ISDSC_INVALID_PARAMETER,
			  "log_target = \"stderr\" needs -f: in the background nobody would "
			  "read it");
		return FALSE;
	}
	c->wants_syslog = conf->log_target == LOG_TARGET_AUTO ?
				  !c->is_foreground :
				  conf->log_target == LOG_TARGET_SYSLOG;
	return fill_permissions(c, conf, err);
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
	      "  -o OPTS       uid=,gid=,umask=OCTAL of the files; cache=none|through|back of\n"
	      "                the disks; allow_other, ro and what else mount.fuse3(8) lists\n"
	      "  -h            print this\n"
	      "  -V            print the version\n"
	      "\n"
	      "End it with umount or fusermount3 -u MOUNTPOINT. See iscsi-tree(7).\n",
	      to);
}
