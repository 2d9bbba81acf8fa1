/* SPDX-License-Identifier: BSD-2-Clause */
/* Names to addresses, in the helper thread. Numeric addresses need no thread but take the same
 * way. */
#ifndef ISCSIFS_RESOLVE_H
#define ISCSIFS_RESOLVE_H

#include <glib.h>
#include <stdint.h>

#include "base/worker.h"
#include "iscsi/conn.h"

struct resolve;

#define RESOLVE_MAX 8
/* @done runs later, once, unless cancelled: @count addresses in getaddrinfo's order (at most
 * RESOLVE_MAX), each once, or @err and no address (ISDSC_DNS_NAME_UNRESOLVED, ENOENT; a @source
 * that is not numeric: ISDSC_INVALID_PARAMETER; one of another family than a numeric
 * host: ISDSC_ADDRESS_TYPE_NOT_SUPPORTED). Both are borrowed. The handle is gone when
 * @done returns. @source: NULL, or "ADDR", "@INTERFACE", "ADDR@INTERFACE": a numeric address to
 * bind to (only addresses of its family count then), and the interface to go out by. */
struct resolve *resolve_start(struct worker *w, const char *host, uint16_t port,
			      const char *source,
			      void (*done)(void *arg, const struct conn_address *a,
					   unsigned count, const GError *err),
			      void *arg);
/* done() will not run; the handle is gone. */
void resolve_cancel(struct resolve *r);
/* Is @text a numeric address, with or without a scope (fe80::1%eth0)? Does not block. */
bool resolve_is_numeric(const char *text);

#endif
