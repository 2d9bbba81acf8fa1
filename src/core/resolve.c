/* SPDX-License-Identifier: BSD-2-Clause */
/* getaddrinfo in the helper thread. A request is a worker job from resolve_start() until its
 * done() has run in the loop thread: a cancelled one stays until then, since a helper may be
 * inside of it, and then goes quietly.
 *
 * Invariant: between submit and done() the loop thread touches only is_cancelled. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

struct resolve {
	struct worker_job job;
	char *host, *source, *interface; /* both may be NULL */
	char port[sizeof("65535")];
	bool is_cancelled;
	bool has_run; /* false in done(): the daemon ends */
	struct conn_address found[RESOLVE_MAX];
	unsigned count;
	int host_error, source_error; /* EAI_..., 0 */
	int system_errno;	      /* of EAI_SYSTEM */
	void (*done)(void *arg, const struct conn_address *a, unsigned count,
		     const GError *err);
	void *arg;
};

/* getaddrinfo() of TCP; ret_list NULL on error. */
static int look_up(const char *host, const char *port, int family, int flags,
		   struct addrinfo **ret_list)
{
	const struct addrinfo hints = {
		.ai_family = family,
		.ai_socktype = SOCK_STREAM,
		.ai_protocol = IPPROTO_TCP,
		.ai_flags = flags | (port ? AI_NUMERICSERV : 0),
	};
	int error = getaddrinfo(host, port, &hints, ret_list);

	if (error)
		*ret_list = NULL;
	return error;
}

/* --- in the helper thread --- */

static bool is_known(const struct resolve *r, const struct addrinfo *a)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->found[i].addr_bytes == a->ai_addrlen &&
		    !memcmp(&r->found[i].addr, a->ai_addr, a->ai_addrlen))
			return true;
	return false;
}

static void keep(struct resolve *r, const struct addrinfo *a, const struct addrinfo *source)
{
	struct conn_address *to;

	if (r->count == RESOLVE_MAX || a->ai_addrlen > sizeof(to->addr) || is_known(r, a))
		return;
	to = &r->found[r->count++];
	memcpy(&to->addr, a->ai_addr, a->ai_addrlen);
	to->addr_bytes = a->ai_addrlen;
	if (r->interface)
		g_strlcpy(to->interface, r->interface, sizeof(to->interface));
	if (!source)
		return;
	memcpy(&to->source, source->ai_addr, source->ai_addrlen);
	to->source_bytes = source->ai_addrlen;
}

static void resolve_host(struct resolve *r, const struct addrinfo *source)
{
	int family = source ? source->ai_family : AF_UNSPEC;
	struct addrinfo *list;

	/* A numeric address first, so that it works whatever addresses this host has. */
	r->host_error = look_up(r->host, r->port, family, AI_NUMERICHOST, &list);
	if (r->host_error)
		r->host_error = look_up(r->host, r->port, family, AI_ADDRCONFIG, &list);
	r->system_errno = errno;
	for (const struct addrinfo *a = list; a; a = a->ai_next)
		keep(r, a, source);
	if (list)
		freeaddrinfo(list);
}

static void run(struct worker_job *job)
{
	struct resolve *r = container_of(job, struct resolve, job);
	struct addrinfo *source = NULL;

	r->has_run = true;
	if (r->source)
		r->source_error = look_up(r->source, NULL, AF_UNSPEC, AI_NUMERICHOST, &source);
	if (!r->source_error)
		resolve_host(r, source);
	if (source)
		freeaddrinfo(source);
}

/* --- in the loop thread --- */

static void resolve_free(struct resolve *r)
{
	g_free(r->host);
	g_free(r->source);
	g_free(r->interface);
	g_free(r);
}

/* Why there is no address. */
static void set_error(const struct resolve *r, GError **err)
{
	g_autofree char *host = text_escape(r->host, strlen(r->host), 256);

	if (!r->has_run)
		error_set_errno(err, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
				"cannot resolve %s: the daemon is shutting down", host);
	else if (r->source_error)
		error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL,
				"source: not a numeric address");
	else if (resolve_is_numeric(r->host) && r->source)
		error_set_errno(err, ISDSC_ADDRESS_TYPE_NOT_SUPPORTED, EOPNOTSUPP,
				"%s: not an address of the family of the one that instance= or "
				"source= asks for",
				host);
	else
		error_set_errno(err, ISDSC_DNS_NAME_UNRESOLVED, ENOENT,
				"cannot resolve %s: %s%s", host,
				r->host_error == EAI_SYSTEM ? g_strerror(r->system_errno)
				: r->host_error		    ? gai_strerror(r->host_error)
							    : "no address",
				r->source ? " (of the family of source=)" : "");
}

static void done(struct worker_job *job)
{
	struct resolve *r = container_of(job, struct resolve, job);
	g_autoptr(GError) err = NULL;

	if (!r->is_cancelled) {
		if (!r->count)
			set_error(r, &err);
		r->done(r->arg, r->found, r->count, err);
	}
	resolve_free(r);
}

/* Each is NULL when @way does not have it. */
static void split_way(const char *way, char **ret_source, char **ret_interface)
{
	const char *at = strchr(way, '@');
	size_t len = at ? (size_t)(at - way) : strlen(way);

	*ret_source = len ? g_strndup(way, len) : NULL;
	*ret_interface = at ? g_strdup(at + 1) : NULL;
}

struct resolve *resolve_start(struct worker *w, const char *host, uint16_t port,
			      const char *source,
			      void (*done_cb)(void *arg, const struct conn_address *a,
					      unsigned count, const GError *err),
			      void *arg)
{
	struct resolve *r = g_new0(struct resolve, 1);

	r->host = g_strdup(host);
	if (source)
		split_way(source, &r->source, &r->interface);
	snprintf(r->port, sizeof(r->port), "%u", port);
	r->done = done_cb;
	r->arg = arg;
	r->job.run = run;
	r->job.done = done;
	worker_submit(w, &r->job);
	return r;
}

void resolve_cancel(struct resolve *r)
{
	r->is_cancelled = true;
}

bool resolve_is_numeric(const char *text)
{
	struct addrinfo *list;
	bool is_numeric = look_up(text, NULL, AF_UNSPEC, AI_NUMERICHOST, &list) == 0;

	if (is_numeric)
		freeaddrinfo(list);
	return is_numeric;
}
