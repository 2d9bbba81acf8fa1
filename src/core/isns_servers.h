/* SPDX-License-Identifier: BSD-2-Clause */
/* All iSNS servers (isns.h): added, removed, refreshed by people; the port that they reach us at,
 * and which of them is meant by what comes there. */
#ifndef ISCSIFS_ISNS_SERVERS_H
#define ISCSIFS_ISNS_SERVERS_H

#include "core/discovery.h"
#include "core/isns_pdu.h"

struct isns_server;

struct isns_server *isns_servers_find(struct discovery *d, const char *name);
/* The verbs: add-isns (the server stays only if it registered us and answered), remove-isns (ends
 * when it has forgotten us, or a short time has passed), refresh-isns (one, or all: when some fail,
 * so does @op, after all have ended). */
void isns_servers_add(struct discovery *d, const struct command *cmd, struct operation *op);
void isns_servers_remove(struct discovery *d, const struct command *cmd, struct operation *op);
void isns_servers_refresh(struct discovery *d, const struct command *cmd, struct operation *op);
/* The verb `remove` of one. */
void isns_servers_forget(struct isns_server *s, struct operation *op);
extern const struct verb isns_verbs[];

/* --- for the rest of core --- */

/* ADDR[:PORT], as a person writes it; outputs are g_free()d. FALSE and @err. */
gboolean isns_servers_parse(const char *text, char **ret_host, uint16_t *ret_port, char **ret_name,
			    GError **err);
/* Takes @options. It is asked in the background, soon, and again until it answers. */
struct isns_server *isns_servers_load(struct discovery *d, const char *host, uint16_t port,
				      const struct login_options *options);
/* Its targets lose their instance; it is left. @op may be NULL. */
void isns_servers_take_away(struct isns_server *s, struct operation *op);
/* @s is GONE. */
void isns_servers_left(struct isns_server *s);
/* Name, alias or entity have changed. @d NULL is fine. */
void isns_servers_initiator_changed(struct discovery *d);
/* Make the port if it is not there; a failure is logged. */
void isns_servers_listen(struct discovery *d);
uint16_t isns_servers_port(const struct discovery *d); /* 0: there is none */
/* An ESI or SCN: the answer to be sent, or NULL: it is not for us. */
GByteArray *isns_servers_told(struct discovery *d, const struct isns_message *m,
			      const struct sockaddr_storage *peer);
/* Deregister everywhere; the daemon waits for it. */
void isns_servers_shutdown(struct discovery *d);
/* At the end: all at once, without a word. */
void isns_servers_drop(struct discovery *d);

#endif
