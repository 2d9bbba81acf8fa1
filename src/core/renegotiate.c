/* SPDX-License-Identifier: BSD-2-Clause */
/* Changing a session that lives: renegotiate.h is the manual. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/renegotiate.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/lun.h"
#include "core/options.h"
#include "core/target.h"
#include "iscsi/keys.h"

#define ALIAS_MAX 255 /* 13.7 */

/* What only a login negotiates: our name for it, that of the RFC. */
static const struct {
	const char *option, *key, *why;
} at_login[] = {
#define LOGIN_ONLY(section) \
	"only a login can negotiate it (RFC 7143 " section "): log out, and in with it"
	{ "header_digest", "HeaderDigest", LOGIN_ONLY("13.1") },
	{ "data_digest", "DataDigest", LOGIN_ONLY("13.1") },
	{ "max_connections", "MaxConnections", LOGIN_ONLY("13.2") },
	{ "initial_r2t", "InitialR2T", LOGIN_ONLY("13.10") },
	{ "immediate_data", "ImmediateData", LOGIN_ONLY("13.11") },
	{ "max_burst_length", "MaxBurstLength", LOGIN_ONLY("13.13") },
	{ "first_burst_length", "FirstBurstLength", LOGIN_ONLY("13.14") },
	{ "time2wait", "DefaultTime2Wait", LOGIN_ONLY("13.15") },
	{ "time2retain", "DefaultTime2Retain", LOGIN_ONLY("13.16") },
	{ "max_outstanding_r2t", "MaxOutstandingR2T", LOGIN_ONLY("13.17") },
	{ "data_pdu_in_order", "DataPDUInOrder", LOGIN_ONLY("13.18") },
	{ "data_sequence_in_order", "DataSequenceInOrder", LOGIN_ONLY("13.19") },
	{ "erl", "ErrorRecoveryLevel", LOGIN_ONLY("13.20") },
	{ "auth", "AuthMethod", LOGIN_ONLY("12.1") },
	{ NULL, "InitiatorName", LOGIN_ONLY("13.5") },
	{ NULL, "TargetName", LOGIN_ONLY("13.4") },
	{ NULL, "SessionType", LOGIN_ONLY("13.21") },
	{ NULL, "TaskReporting", LOGIN_ONLY("13.23") },
	{ NULL, "iSCSIProtocolLevel", LOGIN_ONLY("13.24") },
	{ NULL, "X#NodeArchitecture", LOGIN_ONLY("13.26") },
	{ NULL, "SendTargets", "that is discovery: add-portal, or refresh, in discovery/ctl" },
	{ NULL, "TargetAlias", "the target tells it, and we do not (RFC 7143 13.6)" },
	{ NULL, "TargetAddress", "the target tells it, and we do not (RFC 7143 13.8)" },
	{ NULL, "TargetPortalGroupTag", "the target tells it, and we do not (RFC 7143 13.9)" },
	{ NULL, "MaxRecvDataSegmentLength", "write max_recv_data_segment_length=" },
	{ NULL, "InitiatorAlias", "write initiator_alias=" },
#undef LOGIN_ONLY
};

static const char *why_not(const char *key)
{
	for (size_t i = 0; i < G_N_ELEMENTS(at_login); i++)
		if (!g_strcmp0(at_login[i].option, key) || !strcmp(at_login[i].key, key))
			return at_login[i].why;
	return g_str_has_prefix(key, "X-") ? "write extension=KEY=VALUE" : NULL;
}

const struct command_key renegotiate_keys[] = {
	{ "connect_timeout", COMMAND_SECONDS, .help = "of a TCP connect; 0: no limit" },
	{ "login_timeout", COMMAND_SECONDS, .help = "of a login" },
	{ "logout_timeout", COMMAND_SECONDS, .help = "of a logout" },
	{ "text_timeout", COMMAND_SECONDS, .help = "of a text exchange" },
	{ "nop_interval", COMMAND_SECONDS, .help = "silence before we ping; 0: never" },
	{ "nop_timeout", COMMAND_SECONDS, .help = "of a ping" },
	{ "command_timeout", COMMAND_SECONDS, .help = "of a SCSI command, retries included" },
	{ "max_recv_data_segment_length", COMMAND_NUMBER, 512, 16777215,
	  .help = "bytes of data in a PDU that we accept: each connection negotiates it anew" },
	{ "initiator_alias", COMMAND_TEXT, .help = "InitiatorAlias, told to the target" },
	{ "extension", COMMAND_TEXT,
	  .help = "X-KEY=VALUE, a private key of the target; its answer is in the reply" },
	{ .why_not = why_not },
};

/* --- what is ours alone --- */

/* A ping makes a connection notice a new interval. */
static void apply_timeouts(struct nexus *n)
{
	for (GList *l = n->session->conns; l; l = l->next)
		conn_ping(l->data, NULL, NULL);
	for (GList *l = n->target->luns; l; l = l->next)
		if (lun_has_session(l->data, n->session))
			lun_take_timeout(l->data, n->session);
}

static void set_timeouts(struct nexus *n, const struct command *cmd)
{
	struct session_timeouts *t = &n->session->config.timeouts;
	const struct session_timeouts before = *t;

	t->connect_ms = command_ms(cmd, "connect_timeout", t->connect_ms);
	t->login_ms = command_ms(cmd, "login_timeout", t->login_ms);
	t->logout_ms = command_ms(cmd, "logout_timeout", t->logout_ms);
	t->text_ms = command_ms(cmd, "text_timeout", t->text_ms);
	t->nop_interval_ms = command_ms(cmd, "nop_interval", t->nop_interval_ms);
	t->nop_timeout_ms = command_ms(cmd, "nop_timeout", t->nop_timeout_ms);
	t->command_ms = command_ms(cmd, "command_timeout", t->command_ms);
	/* Not in vain: istgt ends a session in which a Text Request comes before the answers to
	 * what went before it. */
	if (t->nop_interval_ms != before.nop_interval_ms || t->command_ms != before.command_ms)
		apply_timeouts(n);
}

/* --- what the target has a say in --- */

struct renegotiation {
	struct operation *op;
	uint32_t segment_bytes; /* 0: not asked for */
	char *alias;		/* NULL: the same */
};

static void renegotiation_free(struct renegotiation *r)
{
	operation_unref(r->op);
	g_free(r->alias);
	g_free(r);
}

static void keep(struct session *s, struct renegotiation *r)
{
	if (r->segment_bytes)
		s->config.wishes.max_recv_data_segment_length = r->segment_bytes;
	if (!r->alias)
		return;
	g_free(s->config.initiator_alias);
	s->config.initiator_alias = g_steal_pointer(&r->alias);
}

/* What LIO and tgtd do at every such request. */
static GError *explain(const GError *err)
{
	GError *ret = NULL;

	enum isdsc code = error_info_of(err)->code;

	if (code != ISDSC_CONNECTION_FAILED && code != ISDSC_TRANSPORT_ERROR)
		return g_error_copy(err);
	error_set_errno(&ret, code, error_errno(err),
			"%s; a target may end the connection because it negotiates only in a "
			"login: then log out, and in with the key",
			err->message);
	return ret;
}

static void on_negotiated(struct session *s, const GError *err, const char *answers, void *arg)
{
	struct renegotiation *r = arg;
	g_auto(GStrv) lines = g_strsplit(answers, "\n", -1);

	if (!err)
		keep(s, r);
	for (char **l = lines; *l; l++)
		if (**l)
			operation_result(r->op, "answer", "%s", *l);
	operation_finish(r->op, err ? explain(err) : NULL);
	renegotiation_free(r);
}

/* "Key=value" of what is to be negotiated, NULL at the end. */
static char **pairs_of(const struct command *cmd)
{
	g_autoptr(GPtrArray) pairs = g_ptr_array_new();
	uint64_t bytes = command_number(cmd, "max_recv_data_segment_length", 0);
	const char *alias = command_key(cmd, "initiator_alias");
	const char *extension = command_key(cmd, "extension");

	if (bytes)
		g_ptr_array_add(pairs, g_strdup_printf("MaxRecvDataSegmentLength=%u",
						       (unsigned)bytes));
	if (alias)
		g_ptr_array_add(pairs, g_strconcat("InitiatorAlias=", alias, NULL));
	if (extension)
		g_ptr_array_add(pairs, g_strdup(extension));
	g_ptr_array_add(pairs, NULL);
	return (char **)g_ptr_array_free(g_steal_pointer(&pairs), FALSE);
}

static void negotiate(struct nexus *n, const struct command *cmd, char **pairs,
		      struct operation *op)
{
	struct renegotiation *r = g_new0(struct renegotiation, 1);
	GError *err = NULL;
	int rc;

	r->op = operation_ref(op);
	r->segment_bytes = (uint32_t)command_number(cmd, "max_recv_data_segment_length", 0);
	r->alias = g_strdup(command_key(cmd, "initiator_alias"));
	rc = session_negotiate(n->session, (const char *const *)pairs, on_negotiated, r);
	if (rc == 0)
		return;
	error_set_errno(&err,
			rc == -EINVAL ? ISDSC_INVALID_PARAMETER : ISDSC_CONNECTION_FAILED,
			rc == -EINVAL ? EINVAL : EIO, "%s: session %u: %s", n->target->name,
			n->session->sid,
			rc == -EINVAL ? "extension: X-KEY=VALUE is wanted, with letters, digits "
					"and .-+@_ in a KEY of at most 63 bytes, 1024 in all"
				      : "it has no connection; it is being brought back");
	operation_finish(op, err);
	renegotiation_free(r);
}

static gboolean check_alias(const char *alias, GError **err)
{
	bool is_text = alias && strlen(alias) <= ALIAS_MAX && g_utf8_validate(alias, -1, NULL);

	for (const char *c = alias; is_text && *c; c = g_utf8_next_char(c))
		is_text = !g_unichar_iscntrl(g_utf8_get_char(c));
	if (!alias || is_text)
		return TRUE;
	error_set(err, ISDSC_INVALID_PARAMETER,
		  "initiator_alias: at most %d bytes of UTF-8 without control characters are "
		  "allowed (RFC 7143 13.7)",
		  ALIAS_MAX);
	return FALSE;
}

void renegotiate_run(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct nexus *n = nexus_of_session(container_of(obj, struct session, obj));
	g_auto(GStrv) pairs = NULL;
	GError *err = NULL;

	if (!n)
		error_set_errno(&err, ISDSC_INVALID_SESSION_ID, ENODEV, "the session has ended");
	else if (!g_hash_table_size(cmd->keys))
		error_set(&err, ISDSC_MISSING_PARAMETER, "set: nothing to set");
	else
		check_alias(command_key(cmd, "initiator_alias"), &err);
	if (err) {
		operation_finish(op, err);
		return;
	}
	set_timeouts(n, cmd);
	pairs = pairs_of(cmd);
	if (*pairs)
		negotiate(n, cmd, pairs, op);
	else
		operation_finish(op, NULL);
}
