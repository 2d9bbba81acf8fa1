/* SPDX-License-Identifier: BSD-2-Clause */
/* Initiator instances; the header is the manual. Interfaces and addresses are looked up when
 * somebody asks, by local calls that do not wait (if_nametoindex, getifaddrs). */
#include "core/initiator_instance.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "core/daemon.h"
#include "core/discovery.h"
#include "core/event.h"
#include "core/logins.h"
#include "core/resolve.h"
#include "core/statefile.h"
#include "core/target.h"

#define STATE_FILE "instances.conf"
#define NAME_BYTES_MAX 64
#define EVENT_NO_LOCAL_ADDRESS 5 /* of the guide */

/* ---- what names and ways may be ---- */

static gboolean refuse(GError **err, const char *what, const char *why)
{
	g_autofree char *shown = text_escape(what, strlen(what), 80);

	error_set(err, ISDSC_INVALID_PARAMETER, "instance %s: %s", shown, why);
	return FALSE;
}

static gboolean check_name(const char *name, GError **err)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789._-");

	if (!len || name[len] || len > NAME_BYTES_MAX || name[0] == '.')
		return refuse(err, name,
			      "a name is 1 to 64 of a-z A-Z 0-9 . _ -, and begins with no dot");
	return TRUE;
}

static gboolean check_interface(const char *name, const char *interface, GError **err)
{
	size_t len = strlen(interface);

	if (!len || len >= IF_NAMESIZE || strpbrk(interface, "/@ \t\n") ||
	    !g_utf8_validate(interface, -1, NULL))
		return refuse(err, name, "interface= is no name of a network interface");
	return TRUE;
}

static gboolean check_source(const char *name, const char *source, GError **err)
{
	if (!resolve_is_numeric(source) || strchr(source, '@'))
		return refuse(err, name, "source= is no numeric address");
	return TRUE;
}

static gboolean check_all(const char *name, const char *interface, const char *source,
			  GError **err)
{
	return check_name(name, err) &&
	       (!interface || check_interface(name, interface, err)) &&
	       (!source || check_source(name, source, err));
}

/* ---- the list ---- */

static void instance_free(struct object *o)
{
	struct initiator_instance *i = container_of(o, struct initiator_instance, obj);

	g_free(i->name);
	g_free(i->interface);
	g_free(i->source);
	object_done(o);
	g_free(i);
}

static struct initiator_instance *instance_new(struct daemon *d, const char *name,
					       const char *interface, const char *source)
{
	struct initiator_instance *i = g_new0(struct initiator_instance, 1);

	object_init(&i->obj, d->loop, OBJECT_INITIATOR_INSTANCE, instance_free);
	i->daemon = d;
	i->name = g_strdup(name);
	i->interface = g_strdup(interface);
	i->source = g_strdup(source);
	i->origin = INSTANCE_LIVE;
	d->instances = g_list_append(d->instances, i);
	return i;
}

static void instance_drop(struct initiator_instance *i)
{
	i->daemon->instances = g_list_remove(i->daemon->instances, i);
	object_gone(&i->obj);
}

void initiator_instances_free(struct daemon *d)
{
	while (d->instances)
		instance_drop(d->instances->data);
}

struct initiator_instance *initiator_instance_find(const struct daemon *d, const char *name)
{
	for (GList *l = d->instances; l; l = l->next)
		if (!strcmp(((struct initiator_instance *)l->data)->name, name))
			return l->data;
	return NULL;
}

/* ---- those of the configuration ---- */

/* "NAME=WAY", into words. */
static gboolean split(char *text, char **ret_name, char **ret_interface, char **ret_source,
		      GError **err)
{
	char *way = strchr(text, '='), *interface = NULL;

	if (!way)
		return refuse(err, text, "NAME=WAY is wanted");
	*way++ = '\0';
	g_strstrip(text);
	g_strstrip(way);
	interface = strchr(way, '@');
	if (interface)
		*interface++ = '\0';
	*ret_name = text;
	*ret_interface = interface;
	*ret_source = *way && strcmp(way, "any") ? way : NULL;
	if (!*ret_source && !interface && strcmp(way, "any"))
		return refuse(err, text, "an address, @INTERFACE, both, or any is wanted");
	return check_all(text, interface, *ret_source, err);
}

/* @d NULL: only look at it. */
static gboolean take_conf(struct daemon *d, const char *text, GError **err)
{
	g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_auto(GStrv) parts = g_strsplit(text, ",", -1);

	g_hash_table_add(names, g_strdup(INSTANCE_DEFAULT_NAME));
	for (char **p = parts; *p; p++) {
		char *name = NULL, *interface = NULL, *source = NULL;

		if (!split(g_strstrip(*p), &name, &interface, &source, err))
			return FALSE;
		if (!g_hash_table_add(names, g_strdup(name)))
			return refuse(err, name, "there twice");
		if (g_hash_table_size(names) > INITIATOR_INSTANCES_MAX)
			return refuse(err, name, "one too many");
		if (d)
			instance_new(d, name, interface, source)->origin = INSTANCE_CONF;
	}
	return TRUE;
}

gboolean initiator_instances_check(const char *text, GError **err)
{
	return take_conf(NULL, text, err);
}

/* ---- those that are kept ---- */

static void put_string(config_setting_t *group, const char *key, const char *value)
{
	if (value)
		config_setting_set_string(config_setting_add(group, key, CONFIG_TYPE_STRING),
					  value);
}

static void save(struct daemon *d, void (*done)(void *arg, const GError *err), void *arg)
{
	config_setting_t *list;
	config_t cfg;

	config_init(&cfg);
	list = config_setting_add(config_root_setting(&cfg), "instances", CONFIG_TYPE_LIST);
	for (GList *l = d->instances; l; l = l->next) {
		const struct initiator_instance *i = l->data;
		config_setting_t *group;

		if (!i->is_kept)
			continue;
		group = config_setting_add(list, NULL, CONFIG_TYPE_GROUP);
		put_string(group, "name", i->name);
		put_string(group, "interface", i->interface);
		put_string(group, "source", i->source);
	}
	statefile_save(d, STATE_FILE, &cfg, done, arg);
	config_destroy(&cfg);
}

/* *ret NULL: it is not there. */
static gboolean get_text(const config_setting_t *group, const char *key, const char **ret,
			 GError **err)
{
	const config_setting_t *s = config_setting_get_member(group, key);

	*ret = s ? config_setting_get_string(s) : NULL;
	return !s || *ret ? TRUE : refuse(err, key, "no text");
}

static gboolean load_one(struct daemon *d, const config_setting_t *group, GError **err)
{
	const char *name, *interface, *source;

	if (!config_setting_is_group(group))
		return refuse(err, "?", "not in braces");
	if (!get_text(group, "name", &name, err) ||
	    !get_text(group, "interface", &interface, err) ||
	    !get_text(group, "source", &source, err))
		return FALSE;
	if (!name || !check_all(name, interface, source, err))
		return name ? FALSE : refuse(err, "?", "without a name");
	/* The configuration's of that name goes before. */
	if (!initiator_instance_find(d, name))
		instance_new(d, name, interface, source)->is_kept = true;
	return TRUE;
}

static void unload(struct daemon *d)
{
	for (GList *l = d->instances, *next; l; l = next) {
		struct initiator_instance *i = l->data;

		next = l->next;
		if (i->is_kept)
			instance_drop(i);
	}
}

static gboolean load_all(struct daemon *d, const config_t *cfg, GError **err)
{
	const config_setting_t *list = config_lookup(cfg, "instances");
	int count = list ? config_setting_length(list) : 0;

	if (list && (!config_setting_is_list(list) || count > INITIATOR_INSTANCES_MAX))
		return refuse(err, "list", "none, or too long");
	for (int n = 0; n < count; n++)
		if (!load_one(d, config_setting_get_elem(list, (unsigned)n), err))
			return FALSE;
	return TRUE;
}

gboolean initiator_instances_load(struct daemon *d, GError **err)
{
	g_autoptr(GError) why = NULL;
	config_t cfg;

	instance_new(d, INSTANCE_DEFAULT_NAME, NULL, NULL)->origin = INSTANCE_BUILT_IN;
	if (d->conf.initiator_instances && !take_conf(d, d->conf.initiator_instances, err))
		return FALSE;
	config_init(&cfg);
	if (statefile_read(d, STATE_FILE, &cfg) == 0 && !load_all(d, &cfg, &why)) {
		unload(d);
		statefile_set_aside(d, STATE_FILE, why->message);
	}
	config_destroy(&cfg);
	return TRUE;
}

/* ---- what it has now ---- */

/* Numeric, without a scope; NULL: another family. */
static char *format_address(const struct sockaddr *a)
{
	char text[NI_MAXHOST];
	socklen_t bytes = a->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
			  : a->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						     : 0;

	if (!bytes || getnameinfo(a, bytes, text, sizeof(text), NULL, 0, NI_NUMERICHOST))
		return NULL;
	return g_strdup(text);
}

/* "fe80::1" is "fe80::1%eth0". */
static bool is_same_address(const char *a, const char *b)
{
	size_t len = strcspn(a, "%");

	return len == strcspn(b, "%") && !strncmp(a, b, len) &&
	       (!a[len] || !b[len] || !strcmp(a + len, b + len));
}

/* The spelling that format_address() has. */
static char *canonical(const char *source)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *list;
	char *text;

	if (getaddrinfo(source, NULL, &hints, &list))
		return g_strdup(source);
	text = format_address(list->ai_addr);
	freeaddrinfo(list);
	return text ? text : g_strdup(source);
}

/* An address may be ours that no interface lists: 127.0.0.2, a local route. */
static bool can_bind(const char *source)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *list;
	bool is_ours = false;
	int fd;

	if (getaddrinfo(source, "0", &hints, &list))
		return false;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		is_ours = bind(fd, list->ai_addr, list->ai_addrlen) == 0;
		close(fd);
	}
	freeaddrinfo(list);
	return is_ours;
}

GPtrArray *initiator_instance_ports(const struct initiator_instance *i)
{
	GPtrArray *ports = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *source = i->source ? canonical(i->source) : NULL;
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0) {
		event_emit(i->daemon, EVENT_LOCAL_ADDRESSES_FAILED,
			   "the addresses of this host cannot be listed: %s", g_strerror(errno));
		return ports;
	}
	for (const struct ifaddrs *a = all; a && ports->len < INITIATOR_PORTS_MAX; a = a->ifa_next) {
		g_autofree char *text = NULL;

		if (!a->ifa_addr || !(a->ifa_flags & IFF_UP) ||
		    (i->interface && strcmp(i->interface, a->ifa_name)))
			continue;
		text = format_address(a->ifa_addr);
		if (text && (!source || is_same_address(source, text)))
			g_ptr_array_add(ports, g_steal_pointer(&text));
	}
	freeifaddrs(all);
	if (!ports->len && source && !i->interface && can_bind(i->source))
		g_ptr_array_add(ports, g_steal_pointer(&source));
	return ports;
}

bool initiator_instance_is_away(const struct initiator_instance *i)
{
	g_autoptr(GPtrArray) ports = NULL;

	if (i->origin == INSTANCE_BUILT_IN)
		return false;
	ports = initiator_instance_ports(i);
	return !ports->len;
}

static bool is_its(const struct initiator_instance *i, const char *name)
{
	return !strcmp(name ? name : INSTANCE_DEFAULT_NAME, i->name);
}

unsigned initiator_instance_sessions(const struct initiator_instance *i)
{
	unsigned count = 0;

	for (GList *l = i->daemon->targets; l; l = l->next)
		for (GList *k = ((struct target *)l->data)->nexuses; k; k = k->next)
			count += is_its(i, ((struct nexus *)k->data)->instance);
	return count;
}

/* ---- ways ---- */

static char *way_of(const char *interface, const char *source)
{
	if (!interface)
		return g_strdup(source);
	return g_strdup_printf("%s@%s", source ? source : "", interface);
}

/* What to do about it belongs to the message. */
static void set_away(struct daemon *d, const struct initiator_instance *i, GError **err)
{
	GError *why = NULL;

	if (i->interface && !if_nametoindex(i->interface))
		error_set_errno(&why, ISDSC_CONNECTION_FAILED, ENODEV,
				"instance %s: this host has no interface %s: bring it up, or log in "
				"by another instance",
				i->name, i->interface);
	else
		error_set_errno(&why, ISDSC_CONNECTION_FAILED, EHOSTUNREACH,
				"instance %s: %s%s%s has no address%s%s: configure it, or log in by "
				"another instance",
				i->name, i->interface ? "interface " : "this host",
				i->interface ? i->interface : "", "", i->source ? " " : "",
				i->source ? i->source : "");
	event_emit(d, EVENT_NO_LOCAL_ADDRESS, "%s", why->message);
	g_propagate_error(err, why);
}

static gboolean pick_port(const struct initiator_instance *i, const char *port, char **ret_source,
			  GError **err)
{
	g_autoptr(GPtrArray) ports = initiator_instance_ports(i);
	uint64_t n;

	if (text_parse_u64(port, 0, UINT32_MAX, &n) == 0 && n < ports->len) {
		*ret_source = g_strdup(ports->pdata[n]);
		return TRUE;
	}
	error_set(err, ISDSC_INVALID_PORT_NUMBER,
		  "instance %s has no port %s: it has %u now, numbered from 0, see `ports`",
		  i->name, port, ports->len);
	return FALSE;
}

gboolean initiator_way_of(struct daemon *d, const char *instance, const char *port,
			  const char *source, char **ret_way, GError **err)
{
	const struct initiator_instance *i = initiator_instance_find(
		d, instance ? instance : INSTANCE_DEFAULT_NAME);
	g_autofree char *from = NULL;

	if (!i) {
		error_set_errno(err, ISDSC_INITIATOR_INSTANCE_NOT_FOUND, ENOENT,
				"there is no initiator instance \"%s\": see initiator/instances",
				instance);
		return FALSE;
	}
	if (source && (port || i->source))
		return refuse(err, i->name,
			      port ? "source= and port= contradict each other"
				   : "it has a source of its own: leave source= out");
	if (initiator_instance_is_away(i)) {
		set_away(d, i, err);
		return FALSE;
	}
	if (port && !pick_port(i, port, &from, err))
		return FALSE;
	if (!from)
		from = g_strdup(source ? source : i->source);
	*ret_way = way_of(i->interface, from);
	return TRUE;
}

gboolean initiator_way(struct daemon *d, const struct login_options *o, char **ret_way,
		       GError **err)
{
	return initiator_way_of(d, login_option(o, "instance"), login_option(o, "port"),
				login_option(o, "source"), ret_way, err);
}

char *initiator_way_anyhow(struct daemon *d, const struct login_options *o)
{
	const char *name = login_option(o, "instance"), *port = login_option(o, "port");
	const char *source = login_option(o, "source");
	const struct initiator_instance *i =
		initiator_instance_find(d, name ? name : INSTANCE_DEFAULT_NAME);
	g_autofree char *from = NULL;

	if (i && port)
		pick_port(i, port, &from, NULL);
	if (!from)
		from = g_strdup(source || !i ? source : i->source);
	return way_of(i ? i->interface : NULL, from);
}

/* ---- the verbs ---- */

struct change {
	struct daemon *daemon;
	struct initiator_instance *instance;
	struct operation *op;
	bool is_removal;
};

static void on_saved(void *arg, const GError *err)
{
	struct change *c = arg;
	struct initiator_instance *i = c->instance;

	if (err)
		i->is_kept = c->is_removal;
	if (!i->obj.is_gone && c->is_removal != (err != NULL))
		instance_drop(i); /* removed, or an addition that cannot be kept */
	if (err) /* a file that another change had written meanwhile may tell otherwise */
		save(c->daemon, NULL, NULL);
	operation_finish(c->op, err ? g_error_copy(err) : NULL);
	operation_unref(c->op);
	object_unref(&i->obj);
	g_free(c);
}

static void save_change(struct initiator_instance *i, bool is_removal, struct operation *op)
{
	struct change *c = g_new0(struct change, 1);

	c->daemon = i->daemon;
	c->instance = i;
	object_ref(&i->obj);
	c->op = operation_ref(op);
	c->is_removal = is_removal;
	i->is_kept = !is_removal;
	save(i->daemon, on_saved, c);
}

void initiator_instance_add(struct daemon *d, const struct command *cmd, struct operation *op)
{
	const char *name = cmd->args[0], *interface = command_key(cmd, "interface");
	const char *source = command_key(cmd, "source");
	struct initiator_instance *i;
	GError *err = NULL;

	if (!check_all(name, interface, source, &err)) {
	} else if (initiator_instance_find(d, name)) {
		error_set_errno(&err, ISDSC_INVALID_PARAMETER, EEXIST,
				"instance %s is there already", name);
	} else if (g_list_length(d->instances) >= INITIATOR_INSTANCES_MAX) {
		error_set(&err, ISDSC_OUT_OF_RESOURCES, "instance %s: there are %d already", name,
			  INITIATOR_INSTANCES_MAX);
	}
	if (err) {
		operation_finish(op, err);
		return;
	}
	i = instance_new(d, name, interface, source);
	event_emit(d, EVENT_INITIATOR_CHANGED, "initiator: instance %s was added", name);
	if (command_bool(cmd, "persist", true))
		save_change(i, false, op);
	else
		operation_finish(op, NULL);
}

static bool names_it(const struct login_options *o, const struct initiator_instance *i)
{
	const char *name = login_option(o, "instance");

	return name && is_its(i, name);
}

/* NULL: nothing. */
static const char *user_of(const struct initiator_instance *i)
{
	struct daemon *d = i->daemon;

	if (initiator_instance_sessions(i))
		return "a session is by it: log out first";
	for (GList *l = d->discovery->portals; l; l = l->next)
		if (names_it(&((struct portal *)l->data)->options, i))
			return "a discovery portal names it";
	for (GList *l = d->logins ? logins_all(d->logins) : NULL; l; l = l->next)
		if (names_it(&((struct saved_login *)l->data)->options, i))
			return "a saved login names it";
	for (GList *l = d->targets; l; l = l->next) {
		const struct instance *fixed =
			target_find_instance(l->data, INSTANCE_STATIC_NAME);

		if (fixed && names_it(&fixed->options, i))
			return "a target entered by hand names it";
	}
	return NULL;
}

void initiator_instance_remove(struct daemon *d, const char *name, struct operation *op)
{
	struct initiator_instance *i = initiator_instance_find(d, name);
	const char *user = i ? user_of(i) : NULL;
	GError *err = NULL;

	if (!i)
		error_set_errno(&err, ISDSC_INITIATOR_INSTANCE_NOT_FOUND, ENOENT,
				"there is no initiator instance \"%s\"", name);
	else if (i->origin != INSTANCE_LIVE)
		error_set(&err, ISDSC_REQUEST_NOT_SUPPORTED, "instance %s: %s", name,
			  i->origin == INSTANCE_BUILT_IN
				  ? "it is always there"
				  : "it is in the configuration file: remove it there");
	else if (user)
		error_set_errno(&err, ISDSC_SESSION_BUSY, EBUSY, "instance %s: %s", name, user);
	if (err || !i->is_kept) {
		if (!err)
			instance_drop(i);
		operation_finish(op, err);
		return;
	}
	save_change(i, true, op);
}

static void run_add(struct object *obj, const struct command *cmd, struct operation *op)
{
	initiator_instance_add(container_of(obj, struct initiator, obj)->daemon, cmd, op);
}

static void run_remove(struct object *obj, const struct command *cmd, struct operation *op)
{
	initiator_instance_remove(container_of(obj, struct initiator, obj)->daemon, cmd->args[0],
				  op);
}

static void run_remove_this(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct initiator_instance *i = container_of(obj, struct initiator_instance, obj);

	(void)cmd;
	initiator_instance_remove(i->daemon, i->name, op);
}

static const struct command_key add_keys[] = {
	{ "interface", COMMAND_TEXT, .help = "network interface; default: any" },
	{ "source", COMMAND_TEXT, .help = "numeric address of ours; default: any" },
	{ "persist", COMMAND_BOOL, .help = "no: until the daemon ends; default: yes" },
	{ 0 },
};

const struct verb initiator_verbs[] = {
	{ "add-instance", "NAME", 1, 1, add_keys, NULL, run_add, "a way out of this host" },
	{ "remove-instance", "NAME", 1, 1, NULL, NULL, run_remove, "forget it" },
	{ 0 },
};

const struct verb initiator_instance_verbs[] = {
	{ "remove", "", 0, 0, NULL, NULL, run_remove_this, "forget it" },
	{ 0 },
};
