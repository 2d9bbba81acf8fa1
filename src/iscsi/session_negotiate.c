/* SPDX-License-Identifier: BSD-2-Clause */
/* Negotiation in full feature phase (RFC 7143 6.4, 7.12): because a person asked for it, or the
 * target (11.9.1, event 4). One text exchange at a time a session; who comes second waits.
 *
 *   state      true in it                                                next
 *   WAITING    for the exchange of somebody else, or a while after a     ASKING, (freed)
 *              refusal; @timer runs
 *   ASKING     a text exchange is ours: our offer was sent               WAITING, (freed)
 *
 * What is agreed on counts when the exchange has ended well, and not before (6.4); until then data
 * are accepted in segments of the greater of both sizes, since the target may be there already. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "iscsi/conn_snack.h"
#include "iscsi/keys.h"
#include "iscsi/session.h"

#define TRIES_MAX 3 /* exchanges, and beginnings anew inside of one */
#define AGAIN_MS 200
#define BUSY_MS 20
#define ALIAS_BYTES_MAX 255
#define KEY_BYTES_MAX 63   /* 6.1 */
#define OWN_BYTES_MAX 1024 /* of a private key with its value */
#define ANSWERS_MAX 16384

struct negotiation {
	struct list link; /* session->negotiations */
	struct session *session; /* references, both */
	struct conn *conn;
	struct keys_wishes wishes;
	GList *rest;	     /* connections after this one, references */
	char *alias;	     /* NULL: is not told */
	GPtrArray *own;	     /* "X-...=...": private keys, of the first connection as the alias is */
	GString *answers;    /* to those */
	struct keys *keys; /* of this try */
	bool is_everywhere; /* every connection of the session is to have it */
	unsigned tries;
	int64_t limit_ms; /* for an answer */
	GError *error;	  /* of the last try */
	struct loop_timer timer;
	session_negotiated_fn *done; /* may be NULL */
	void *arg;
};

static void negotiation_expired(struct loop_timer *timer);

static struct negotiation *negotiation_new(struct session *s, struct conn *c)
{
	struct negotiation *n = g_new0(struct negotiation, 1);

	n->session = s;
	n->conn = c;
	object_ref(&s->obj);
	object_ref(&c->obj);
	n->wishes = s->config.wishes;
	n->wishes.max_recv_data_segment_length = c->values.max_recv_data_segment_length;
	n->limit_ms = s->config.timeouts.text_ms;
	n->own = g_ptr_array_new_with_free_func(g_free);
	n->answers = g_string_new(NULL);
	loop_timer_init(s->loop, &n->timer, negotiation_expired);
	list_push_tail(&s->negotiations, &n->link);
	return n;
}

static void conn_unref(void *c)
{
	object_unref(&((struct conn *)c)->obj);
}

static void negotiation_free(struct negotiation *n)
{
	list_remove(&n->link);
	g_list_free_full(n->rest, conn_unref);
	g_ptr_array_unref(n->own);
	g_string_free(n->answers, TRUE);
	loop_timer_done(&n->timer);
	keys_free(n->keys);
	g_clear_error(&n->error);
	g_free(n->alias);
	object_unref(&n->conn->obj);
	object_unref(&n->session->obj);
	g_free(n);
}

/* To the next connection, if there is one that still can. */
static bool goes_on(struct negotiation *n)
{
	while (!n->error && n->rest) {
		struct conn *before = n->conn;

		n->conn = n->rest->data;
		n->rest = g_list_delete_link(n->rest, n->rest);
		object_unref(&before->obj);
		if (!conn_is_usable(n->conn))
			continue; /* it logs in anew, and asks for the same then */
		n->tries = 0;
		g_clear_pointer(&n->alias, g_free);
		g_ptr_array_set_size(n->own, 0);
		loop_timer_start(&n->timer, 0);
		return true;
	}
	return false;
}

static void negotiation_end(struct negotiation *n)
{
	if (goes_on(n))
		return;
	if (n->error)
		log_warning("session %u %s: negotiation: %s", n->session->sid, n->conn->remote,
			    n->error->message);
	if (n->done)
		n->done(n->session, n->error, n->answers->str, n->arg);
	negotiation_free(n);
}

/* --- what is agreed on --- */

/* The lines of @now replace those of the same key in @params. */
static void update_params(GString *params, const GString *now)
{
	static const char *const keys[] = { "MaxRecvDataSegmentLength ",
					    "MaxXmitDataSegmentLength ",
					    "TargetAlias " };

	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		const char *from = strstr(now->str, keys[i]);
		char *to = strstr(params->str, keys[i]);
		size_t at = to ? (size_t)(to - params->str) : params->len;

		if (!from)
			continue;
		if (to)
			g_string_erase(params, (gssize)at, (gssize)(strcspn(to, "\n") + 1));
		g_string_insert_len(params, (gssize)at, from,
				    (gssize)(strcspn(from, "\n") + 1));
	}
}

static void take_effect(struct negotiation *n)
{
	struct keys_values *in_force = &n->conn->values, v;
	g_autoptr(GString) text = g_string_new(NULL);

	keys_values(n->keys, &v);
	if (v.max_recv_data_segment_length != in_force->max_recv_data_segment_length)
		n->conn->recv_changed_us = loop_now_us(n->session->loop);
	in_force->max_recv_data_segment_length = v.max_recv_data_segment_length;
	in_force->max_xmit_data_segment_length = v.max_xmit_data_segment_length;
	memcpy(in_force->target_alias, v.target_alias, sizeof(in_force->target_alias));
	keys_print(n->keys, text);
	if (n->conn->params)
		update_params(n->conn->params, text);
	session_event(n->session, n->conn, SESSION_EVENT_RENEGOTIATED,
		      "MaxRecvDataSegmentLength %u, the target's %u",
		      in_force->max_recv_data_segment_length,
		      in_force->max_xmit_data_segment_length);
}

/* --- one exchange --- */

static void offer(struct negotiation *n, GByteArray *out)
{
	keys_free(n->keys);
	n->keys = keys_new(n->session->config.type, &n->wishes, &n->conn->values);
	keys_set_stage(n->keys, KEYS_FULL_FEATURE);
	keys_offer(n->keys, out);
	if (n->alias)
		keys_append(out, "InitiatorAlias", n->alias);
	for (unsigned i = 0; i < n->own->len; i++) {
		const char *pair = n->own->pdata[i];

		g_byte_array_append(out, (const uint8_t *)pair, (guint)strlen(pair) + 1);
	}
	g_string_truncate(n->answers, 0);
}

/* An answer to a private key of ours. */
static bool is_own(const struct negotiation *n, const char *key)
{
	size_t bytes = strlen(key);

	for (unsigned i = 0; i < n->own->len; i++) {
		const char *pair = n->own->pdata[i];

		if (!strncmp(pair, key, bytes) && pair[bytes] == '=')
			return true;
	}
	return false;
}

struct turn {
	struct negotiation *n;
	GByteArray *reply; /* NULL: none is possible any more */
};

static gboolean take_key(void *arg, const char *key, const char *value, GError **err)
{
	struct turn *turn = arg;

	if (!is_own(turn->n, key))
		return keys_receive(turn->n->keys, key, value, turn->reply, err);
	if (turn->n->answers->len + strlen(key) + strlen(value) > ANSWERS_MAX) {
		error_set(err, ISDSC_INVALID_TEXT_KEY, "%s is answered too often", key);
		return FALSE;
	}
	g_string_append_printf(turn->n->answers, "%s=%s\n", key, value);
	return TRUE;
}

static enum text_turn on_turn(struct session *s, const GByteArray *text, bool is_final,
			      GByteArray *reply, void *arg, GError **err)
{
	struct negotiation *n = arg;
	struct turn turn = { .n = n, .reply = is_final ? NULL : reply };
	GError *wrong = NULL;

	(void)s;
	if (keys_split(text->data, text->len, take_key, &turn, &wrong)) {
		if (!is_final || keys_is_settled(n->keys))
			return TEXT_GO_ON;
		error_set_errno(&wrong, ISDSC_TARGET_ERROR, EPROTO,
				"the target did not answer %s", keys_unsettled(n->keys));
	}
	if (is_final || ++n->tries > TRIES_MAX) {
		g_propagate_error(err, wrong);
		return TEXT_FAIL;
	}
	g_error_free(wrong); /* 6.4: the negotiation is reset */
	g_byte_array_set_size(reply, 0);
	offer(n, reply);
	return TEXT_RESET;
}

/* The connection lives: the target only did not want to (7.12). */
static bool may_try_again(const struct negotiation *n)
{
	return n->tries < TRIES_MAX && conn_is_usable(n->conn) && !n->session->is_logging_out;
}

static void on_exchange_end(struct session *s, const GByteArray *answer, const GError *err,
			    void *arg)
{
	struct negotiation *n = arg;
	struct conn *c = n->conn;

	(void)s;
	(void)answer;
	g_clear_error(&n->error);
	if (!err && c->state != CONN_CLEANUP)
		take_effect(n);
	c->rx.max_data_bytes = c->values.max_recv_data_segment_length;
	if (err)
		n->error = g_error_copy(err);
	if (err && may_try_again(n))
		loop_timer_start(&n->timer, AGAIN_MS);
	else
		negotiation_end(n);
}

static int ask(struct negotiation *n)
{
	g_autoptr(GByteArray) request = g_byte_array_new();
	uint32_t *max_bytes = &n->conn->rx.max_data_bytes;
	int r;

	offer(n, request);
	r = session_text_talk(n->session, n->conn, request, n->limit_ms, on_turn, on_exchange_end,
			      n);
	if (r < 0)
		return r;
	n->tries++;
	*max_bytes = MAX(*max_bytes, n->wishes.max_recv_data_segment_length);
	return 0;
}

static void begin(struct negotiation *n)
{
	int r = ask(n);

	if (r == 0)
		return;
	if (r == -EBUSY) {
		loop_timer_start(&n->timer, BUSY_MS);
		return;
	}
	if (!n->error)
		error_set_errno(&n->error, ISDSC_CONNECTION_FAILED, -r,
				"the connection cannot be used");
	negotiation_end(n);
}

static void negotiation_expired(struct loop_timer *timer)
{
	begin(container_of(timer, struct negotiation, timer));
}

/* --- who asks for it --- */

/* 13.22, and the characters of 6.1 */
static bool is_private(const char *pair, const char *equals)
{
	size_t bytes = (size_t)(equals - pair);

	for (const char *c = equals; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return false;
	return g_str_has_prefix(pair, "X-") && bytes > 2 && bytes <= KEY_BYTES_MAX &&
	       strspn(pair, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
			    ".-+@_") == bytes &&
	       strlen(pair) <= OWN_BYTES_MAX;
}

/* One "Key=value" of session_negotiate(). */
static bool take_pair(struct negotiation *n, const char *pair)
{
	const char *value = strchr(pair, '=');
	uint64_t number;

	if (!value)
		return false;
	if (is_private(pair, value++)) {
		g_ptr_array_add(n->own, g_strdup(pair));
		return n->own->len <= SESSION_OWN_KEYS;
	}
	if (g_str_has_prefix(pair, "InitiatorAlias=")) {
		g_free(n->alias);
		n->alias = g_strdup(value);
		return strlen(value) <= ALIAS_BYTES_MAX;
	}
	if (!g_str_has_prefix(pair, "MaxRecvDataSegmentLength=") ||
	    text_parse_u64(value, 512, ISCSI_DSL_MAX, &number) < 0)
		return false;
	n->wishes.max_recv_data_segment_length = (uint32_t)number;
	n->is_everywhere = true;
	return true;
}

int session_negotiate(struct session *s, const char *const *pairs, session_negotiated_fn *done,
		      void *arg)
{
	struct conn *c = session_any_conn(s);
	struct negotiation *n;

	if (!c || !session_is_usable(s))
		return -ENOTCONN;
	n = negotiation_new(s, c);
	for (; pairs && *pairs; pairs++)
		if (!take_pair(n, *pairs)) {
			negotiation_free(n);
			return -EINVAL;
		}
	for (GList *l = s->conns; n->is_everywhere && l; l = l->next)
		if (l->data != c && conn_is_usable(l->data)) {
			object_ref(&((struct conn *)l->data)->obj);
			n->rest = g_list_append(n->rest, l->data);
		}
	n->done = done;
	n->arg = arg;
	loop_timer_start(&n->timer, 0);
	return 0;
}

void session_negotiation_requested(struct session *s, struct conn *c, unsigned seconds)
{
	struct negotiation *n;

	if (!conn_is_usable(c) || s->is_logging_out || s->text.conn == c) /* one is pending */
		return;
	list_for_each(pos, &s->negotiations)
		if (list_entry(pos, struct negotiation, link)->conn == c)
			return;
	n = negotiation_new(s, c);
	if (seconds)
		n->limit_ms = seconds * INT64_C(1000);
	begin(n);
}

void session_negotiate_drop(struct session *s)
{
	list_for_each(pos, &s->negotiations) {
		struct negotiation *n = list_entry(pos, struct negotiation, link);

		if (loop_timer_is_running(&n->timer))
			loop_timer_start(&n->timer, 0);
	}
}
