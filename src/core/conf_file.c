/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the configuration file: the file and those that it includes become one text, which
 * libconfig takes apart, and each setting goes to the table of options (conf.c).
 *
 * Included files are put in here, not by libconfig 1.5: it reads whatever it is told to, without
 * a limit, relative to the working directory, ends the process when that is a directory, and
 * waits for good when it is a pipe. So where a line of the text came from is known here, too.
 *
 * A value goes from libconfig's type to text and then the way of a control file's value, so
 * that both have the same grammar and the same messages.
 *
 * Reads files and the user database: at start, and from a helper thread. No state. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "core/conf_table.h"
#include "core/options.h"

#define DEPTH_MAX 10 /* of files that include files */

#define REFUSE(err, ...) error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL, __VA_ARGS__)

/* Where a line of the text came from. */
struct origin {
	const char *file; /* in source.files */
	unsigned line;	  /* from 1 */
};

struct source {
	GString *text;
	GArray *origins;  /* of struct origin, of each line of @text */
	GPtrArray *files; /* names */
	bool is_in_comment; /* of the sort that goes over several lines */
	bool is_told;	    /* the error names file and line already */
};

static void source_init(struct source *s)
{
	s->text = g_string_new(NULL);
	s->origins = g_array_new(FALSE, FALSE, sizeof(struct origin));
	s->files = g_ptr_array_new_with_free_func(g_free);
	s->is_in_comment = s->is_told = false;
}

static void source_done(struct source *s)
{
	g_string_free(s->text, TRUE);
	g_array_free(s->origins, TRUE);
	g_ptr_array_free(s->files, TRUE);
}

static void add_line(struct source *s, const char *line, size_t len, const char *file,
		     unsigned number)
{
	struct origin o = { file, number };

	g_string_append_len(s->text, line, (gssize)len);
	g_string_append_c(s->text, '\n');
	g_array_append_val(s->origins, o);
}

/* Of line @number of the text, from 1; one past the end is the last. */
static const struct origin *origin_of(const struct source *s, unsigned number)
{
	unsigned i = number ? number - 1 : 0;

	if (i >= s->origins->len)
		i = s->origins->len - 1;
	return &g_array_index(s->origins, struct origin, i);
}

static void prefix_origin(GError **err, const struct origin *o)
{
	g_prefix_error(err, "%s:%u: ", o->file, o->line);
}

/* --- one file --- */

static gboolean refuse_file(GError **err, int errno_value, const char *name, const char *why)
{
	error_set_errno(err, ISDSC_INVALID_PARAMETER, errno_value, "%s: %s", name, why);
	return FALSE;
}

static bool is_file(const struct stat *st)
{
	/* /dev/null is a way to say: no configuration. */
	return S_ISREG(st->st_mode) ||
	       (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3));
}

/* What else there is may do something when it is opened. */
static int open_file(const char *name, GError **err)
{
	struct stat st;
	int fd;

	if (stat(name, &st) < 0) {
		refuse_file(err, errno, name, g_strerror(errno));
		return -1;
	}
	if (!is_file(&st)) {
		refuse_file(err, EINVAL, name,
			    S_ISDIR(st.st_mode) ? "a directory; name a file" :
						  "not a regular file");
		return -1;
	}
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		refuse_file(err, errno, name, g_strerror(errno));
	return fd;
}

/* @bytes are free at @to; -errno. */
static ssize_t read_whole(int fd, char *to, size_t bytes)
{
	size_t got = 0;

	while (got < bytes) {
		ssize_t n = read(fd, to + got, bytes - got);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)got;
}

/* The text of file @name, g_free(). NULL and @err. */
static char *read_file(const char *name, GError **err)
{
	int fd = open_file(name, err);
	g_autofree char *text = NULL;
	ssize_t n;

	if (fd < 0)
		return NULL;
	text = g_malloc(CONF_FILE_MAX + 2);
	n = read_whole(fd, text, CONF_FILE_MAX + 1);
	close(fd);
	if (n < 0) {
		refuse_file(err, (int)-n, name, g_strerror((int)-n));
		return NULL;
	}
	if (n > CONF_FILE_MAX) {
		refuse_file(err, EINVAL, name, "longer than 1 MiB");
		return NULL;
	}
	text[n] = '\0';
	if (strlen(text) < (size_t)n) {
		refuse_file(err, EINVAL, name, "a NUL byte in it");
		return NULL;
	}
	return g_steal_pointer(&text);
}

/* --- lines --- */

/* What libconfig would make of the line, as far as it matters whether the next one is in a
 * comment. FALSE and @err: a text that is not closed. */
static gboolean scan_line(struct source *s, const char *line, const char *end, GError **err)
{
	bool is_in_text = false;

	for (const char *c = line; c < end; c++) {
		if (s->is_in_comment) {
			if (c[0] == '*' && c[1] == '/') {
				s->is_in_comment = false;
				c++;
			}
		} else if (is_in_text) {
			if (*c == '\\' && c + 1 < end)
				c++;
			else if (*c == '"')
				is_in_text = false;
		} else if (*c == '"') {
			is_in_text = true;
		} else if (*c == '#' || (c[0] == '/' && c[1] == '/')) {
			return TRUE;
		} else if (c[0] == '/' && c[1] == '*') {
			s->is_in_comment = true;
			c++;
		}
	}
	if (!is_in_text)
		return TRUE;
	REFUSE(err, "a text that does not end on its line: a double quote is missing");
	return FALSE;
}

/* Behind the word @include at the begin of @line; NULL: there is none. */
static const char *after_include(const char *line)
{
	line += strspn(line, " \t");
	return g_str_has_prefix(line, "@include") ? line + strlen("@include") : NULL;
}

/* The path in double quotes at @c, up to @end, g_free(); *ret_rest is behind it. */
static char *take_path(const char *c, const char *end, const char **ret_rest)
{
	g_autoptr(GString) path = g_string_new(NULL);

	c += strspn(c, " \t");
	if (*c++ != '"')
		return NULL;
	for (; c < end && *c != '"'; c++) {
		if (*c == '\\' && c + 1 < end)
			c++;
		g_string_append_c(path, *c);
	}
	if (c >= end || !path->len)
		return NULL;
	*ret_rest = c + 1;
	return g_strdup(path->str);
}

static gboolean take_text(struct source *s, const char *name, const char *text, unsigned depth,
			  GError **err);

/* @c: behind the word, in a line of @file that ends at @end. */
static gboolean include(struct source *s, const char *file, unsigned number, const char *c,
			const char *end, unsigned depth, GError **err)
{
	g_autofree char *path = take_path(c, end, &c);
	g_autofree char *dir = NULL, *name = NULL, *text = NULL;

	if (!path) {
		REFUSE(err, "@include wants the name of a file in double quotes");
		return FALSE;
	}
	if (depth == DEPTH_MAX) {
		REFUSE(err, "@include: more than %d files deep", DEPTH_MAX);
		return FALSE;
	}
	dir = g_path_get_dirname(file);
	name = g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(dir, path, NULL);
	text = read_file(name, err);
	if (!text) {
		g_prefix_error(err, "@include: ");
		return FALSE;
	}
	if (!take_text(s, name, text, depth + 1, err))
		return FALSE;
	add_line(s, c, (size_t)(end - c), file, number);
	return scan_line(s, c, end, err);
}

static gboolean take_line(struct source *s, const char *file, unsigned number, const char *line,
			  const char *end, unsigned depth, GError **err)
{
	const char *c = s->is_in_comment ? NULL : after_include(line);

	if (c)
		return include(s, file, number, c, end, depth, err);
	if (s->text->len > CONF_FILE_MAX) {
		REFUSE(err, "with what it includes longer than 1 MiB");
		return FALSE;
	}
	add_line(s, line, (size_t)(end - line), file, number);
	return scan_line(s, line, end, err);
}

/* Adds @text, of the file @name, and what it includes. FALSE with @err ("FILE:LINE: ..."). */
static gboolean take_text(struct source *s, const char *name, const char *text, unsigned depth,
			  GError **err)
{
	char *file = g_strdup(name);
	unsigned number = 0;

	g_ptr_array_add(s->files, file);
	for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		if (take_line(s, file, ++number, line, end, depth, err))
			continue;
		if (!s->is_told)
			prefix_origin(err, &(struct origin){ file, number });
		s->is_told = true;
		return FALSE;
	}
	if (!number)
		add_line(s, "", 0, file, 1);
	if (!s->is_in_comment)
		return TRUE;
	REFUSE(err, "%s:%u: a comment that does not end: */ is missing", file, number);
	s->is_told = true;
	return FALSE;
}

/* --- settings --- */

static const char *line_of(const struct source *s, unsigned number)
{
	const char *line = s->text->str;

	while (--number > 0 && strchr(line, '\n'))
		line = strchr(line, '\n') + 1;
	return line;
}

/* The decimal number in the line of @s; NULL: none. g_free(). */
static char *number_of(const struct source *src, const config_setting_t *s)
{
	const char *name = config_setting_name(s);
	const char *line = line_of(src, config_setting_source_line(s));
	g_autofree char *text = g_strndup(line, strcspn(line, "\n"));
	size_t digits;

	for (const char *p = strstr(text, name); p; p = strstr(p + 1, name)) {
		const char *value = p + strlen(name);

		value += strspn(value, " \t");
		if ((p > text && (g_ascii_isalnum(p[-1]) || p[-1] == '_')) ||
		    (*value != '=' && *value != ':'))
			continue;
		value += 1 + strspn(value + 1, " \t");
		digits = strspn(value, "+-0123456789");
		return digits && !g_ascii_isalnum(value[digits]) && value[digits] != '.'
			       ? g_strndup(value, digits)
			       : NULL;
	}
	return NULL;
}

/* libconfig cuts numbers to 32 bits without a word: then as it is written. */
static char *text_of_int(const struct source *src, const config_setting_t *s)
{
	long long value = config_setting_get_int64(s);
	char *written = number_of(src, s);

	if (written && g_ascii_strtoll(written, NULL, 10) != value)
		return written;
	g_free(written);
	return g_strdup_printf("%lld", value);
}

/* @s as a control file would have it; NULL for an array, a list or a group. */
static char *text_of(const struct source *src, const config_setting_t *s)
{
	char number[512]; /* %f of the largest double has 310 digits */

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return text_of_int(src, s);
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

/* How many letters must be taken, put in or changed to make @b of @a; more than a few do not
 * matter. */
static size_t distance(const char *a, const char *b)
{
	size_t columns = strlen(b) + 1, last = 0;
	g_autofree size_t *row = g_new(size_t, columns);

	for (size_t j = 0; j < columns; j++)
		row[j] = j;
	for (size_t i = 1; *a; i++, a++) {
		last = row[0];
		row[0] = i;
		for (size_t j = 1; j < columns; j++) {
			size_t changed = last + (*a != b[j - 1]);

			last = row[j];
			row[j] = MIN(changed, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[columns - 1];
}

/* The option that was meant; NULL: no idea. */
static const char *nearest(const char *name)
{
	size_t least = strlen(name) / 3 + 1;
	const char *found = NULL;

	if (strlen(name) > 64)
		return NULL;
	for (const struct conf_option *o = conf_options; o->key.name; o++) {
		size_t d = distance(name, o->key.name);

		if (d > least || (found && d == least))
			continue;
		least = d;
		found = o->key.name;
	}
	return found;
}

static gboolean refuse_unknown(const char *name, GError **err)
{
	const char *meant = nearest(name);

	if (meant)
		REFUSE(err, "unknown option %s: is %s meant?", name, meant);
	else if (login_key(name))
		REFUSE(err, "unknown option %s: it is a key of login, for the tree", name);
	else
		REFUSE(err, "unknown option %s; iscsifs.conf(5) lists all", name);
	return FALSE;
}

static gboolean check_type(const struct conf_option *o, const config_setting_t *s, GError **err)
{
	if (config_setting_is_aggregate(s)) {
		REFUSE(err, "%s: a single value is wanted", o->key.name);
		return FALSE;
	}
	if (conf_option_key(o)->type == COMMAND_TEXT && !o->takes_number &&
	    config_setting_type(s) != CONFIG_TYPE_STRING) {
		REFUSE(err, "%s: a text in double quotes is wanted", o->key.name);
		return FALSE;
	}
	return TRUE;
}

static gboolean read_setting(struct conf *c, const struct source *src,
			     const config_setting_t *s, GError **err)
{
	const struct conf_option *o = conf_option_find(config_setting_name(s));
	g_autofree char *value = NULL;

	if (!o)
		return refuse_unknown(config_setting_name(s), err);
	if (!check_type(o, s, err))
		return FALSE;
	value = text_of(src, s);
	if (!command_check(conf_option_key(o), value, err))
		return FALSE;
	if (o->check && !o->check(&value, err)) {
		g_prefix_error(err, "%s: ", o->key.name);
		return FALSE;
	}
	conf_option_set(o, c, value);
	return TRUE;
}

static gboolean read_settings(struct conf *c, const struct source *src, const config_t *cfg,
			      GError **err)
{
	const config_setting_t *root = config_root_setting(cfg);
	const config_setting_t *first_burst = config_lookup(cfg, "first_burst_length");
	int count = config_setting_length(root);

	for (int i = 0; i < count; i++) {
		const config_setting_t *s = config_setting_get_elem(root, (unsigned)i);

		if (!read_setting(c, src, s, err)) {
			prefix_origin(err, origin_of(src, config_setting_source_line(s)));
			return FALSE;
		}
	}
	if (conf_check_bursts(c, first_burst, err))
		return TRUE;
	prefix_origin(err, origin_of(src, config_setting_source_line(first_burst)));
	return FALSE;
}

/* --- what libconfig did not understand --- */

/* The option in line @number that is set already, in another line if there is such a one;
 * libconfig does not tell which. */
static const config_setting_t *find_first(const struct source *s, const config_t *cfg,
					  unsigned number)
{
	const char *line = line_of(s, number);
	g_autofree char *text = g_strndup(line, strcspn(line, "\n"));
	g_auto(GStrv) words = g_strsplit_set(text, " \t=:;,", -1);

	for (char **w = words; *w; w++) {
		const config_setting_t *first =
			conf_option_find(*w) ? config_lookup(cfg, *w) : NULL;

		if (first && (config_setting_source_line(first) != number ||
			      g_strv_contains((const char *const *)w + 1, *w)))
			return first;
	}
	return NULL;
}

static gboolean refuse_syntax(const struct source *src, const config_t *cfg, GError **err)
{
	const char *why = config_error_text(cfg);
	unsigned number = (unsigned)config_error_line(cfg);
	const config_setting_t *first = NULL;

	if (!strncmp(why, "duplicate", strlen("duplicate")))
		first = find_first(src, cfg, number);
	if (first) {
		const struct origin *o = origin_of(src, config_setting_source_line(first));

		REFUSE(err, "duplicate setting %s: it is set in %s:%u, too",
		       config_setting_name(first), o->file, o->line);
	} else {
		REFUSE(err, "%s; a setting is: name = value; with texts in double quotes", why);
	}
	prefix_origin(err, origin_of(src, number));
	return FALSE;
}

/* --- for the daemon --- */

gboolean conf_read_text(struct conf *c, const char *name, const char *text, GError **err)
{
	gboolean is_ok = FALSE;
	struct source src;
	config_t cfg;

	source_init(&src);
	if (take_text(&src, name, text, 1, err)) {
		config_init(&cfg);
		if (config_read_string(&cfg, src.text->str))
			is_ok = read_settings(c, &src, &cfg, err);
		else
			is_ok = refuse_syntax(&src, &cfg, err);
		config_destroy(&cfg);
	}
	source_done(&src);
	return is_ok;
}

gboolean conf_read(struct conf *c, const char *path, GError **err)
{
	const char *name = path ? path : CONF_DEFAULT_FILE;
	g_autoptr(GError) why = NULL;
	g_autofree char *text = read_file(name, &why);

	if (text)
		return conf_read_text(c, name, text, err);
	if (!path && error_errno(why) == ENOENT)
		return TRUE;
	g_propagate_error(err, g_steal_pointer(&why));
	return FALSE;
}
