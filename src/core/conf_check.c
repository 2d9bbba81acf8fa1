/* SPDX-License-Identifier: BSD-2-Clause */
/* What a value of the configuration must be besides its type: names of initiators, users and
 * groups, modes, paths. Called for the file (conf_file.c) and for mount options that mean the
 * same. Asks the user database, which may take time: never in the loop thread. */
#include "core/conf_table.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/initiator_instance.h"

#define ALIAS_MAX 255	 /* RFC 7143 6.1: a text value */
#define DATABASE_BYTES 65536 /* an entry of passwd or group: a group has many members */

#define REFUSE(err, ...) error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL, __VA_ARGS__)

/* Takes @to. */
static gboolean replace(char **value, char *to)
{
	g_free(*value);
	*value = to;
	return TRUE;
}

gboolean conf_check_name(char **value, GError **err)
{
	char *name = text_iscsi_name(*value, err);

	return name && replace(value, name);
}

gboolean conf_check_alias(char **value, GError **err)
{
	const char *c = *value;

	if (strlen(c) > ALIAS_MAX || !g_utf8_validate(c, -1, NULL)) {
		REFUSE(err, "not UTF-8 of at most %d bytes", ALIAS_MAX);
		return FALSE;
	}
	for (; *c; c = g_utf8_next_char(c))
		if (g_unichar_iscntrl(g_utf8_get_char(c))) {
			REFUSE(err, "an alias has no control characters");
			return FALSE;
		}
	return TRUE;
}

/* RFC 4171 6.2.1 */
gboolean conf_check_entity(char **value, GError **err)
{
	if (!**value) {
		REFUSE(err, "an empty name");
		return FALSE;
	}
	return conf_check_alias(value, err);
}

gboolean conf_check_path(char **value, GError **err)
{
	if (g_path_is_absolute(*value))
		return TRUE;
	REFUSE(err, "not an absolute path");
	return FALSE;
}

gboolean conf_check_auth(char **value, GError **err)
{
	const char *const methods[] = { "none", "chap", "mutual", NULL };

	if (g_strv_contains(methods, *value))
		return TRUE;
	REFUSE(err, "none, chap or mutual is wanted");
	return FALSE;
}

gboolean conf_check_instances(char **value, GError **err)
{
	return initiator_instances_check(*value, err);
}

/* --- who --- */

/* A number that is an id; -1 means "leave it" to chown(2) and is none. */
static bool parse_id(const char *text, uint32_t *ret_id)
{
	uint64_t n;

	if (text_parse_u64(text, 0, UINT32_MAX - 1, &n) < 0)
		return false;
	*ret_id = (uint32_t)n;
	return true;
}

/* @r: what getpwnam_r() or getgrnam_r() returned without finding @name. */
static gboolean refuse_who(GError **err, int r, const char *what, const char *name)
{
	g_autofree char *shown = text_escape(name, strlen(name), 64);

	if (r)
		error_set_errno(err, ISDSC_INVALID_PARAMETER, r, "looking for %s %s failed: %s",
				what, shown, g_strerror(r));
	else
		REFUSE(err, "there is no %s %s", what, shown);
	return FALSE;
}

gboolean conf_user_id(const char *text, uint32_t *ret_id, GError **err)
{
	g_autofree char *buf = NULL;
	struct passwd entry, *found = NULL;
	int r;

	if (parse_id(text, ret_id))
		return TRUE;
	buf = g_malloc(DATABASE_BYTES);
	r = getpwnam_r(text, &entry, buf, DATABASE_BYTES, &found);
	if (!found)
		return refuse_who(err, r, "user", text);
	*ret_id = found->pw_uid;
	return TRUE;
}

gboolean conf_group_id(const char *text, uint32_t *ret_id, GError **err)
{
	g_autofree char *buf = NULL;
	struct group entry, *found = NULL;
	int r;

	if (parse_id(text, ret_id))
		return TRUE;
	buf = g_malloc(DATABASE_BYTES);
	r = getgrnam_r(text, &entry, buf, DATABASE_BYTES, &found);
	if (!found)
		return refuse_who(err, r, "group", text);
	*ret_id = found->gr_gid;
	return TRUE;
}

gboolean conf_umask(const char *text, mode_t *ret_umask, GError **err)
{
	size_t digits = strspn(text, "01234567");
	guint64 n = digits && digits <= 4 ? g_ascii_strtoull(text, NULL, 8) : UINT64_MAX;

	if (text[digits] || n > 0777) {
		REFUSE(err, "an octal number is wanted, 000 to 777");
		return FALSE;
	}
	*ret_umask = (mode_t)n;
	return TRUE;
}

gboolean conf_check_user(char **value, GError **err)
{
	uint32_t id;

	return conf_user_id(*value, &id, err) && replace(value, g_strdup_printf("%u", id));
}

gboolean conf_check_group(char **value, GError **err)
{
	uint32_t id;

	return conf_group_id(*value, &id, err) && replace(value, g_strdup_printf("%u", id));
}

gboolean conf_check_umask(char **value, GError **err)
{
	mode_t mask;

	return conf_umask(*value, &mask, err) && replace(value, g_strdup_printf("%03o", mask));
}
