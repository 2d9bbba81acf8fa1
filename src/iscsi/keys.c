/* SPDX-License-Identifier: BSD-2-Clause */
/* A negotiation of text keys (RFC 7143 section 6): which key may be offered or come when, and
 * the format of text. What the keys are and what their values mean is in keytable.c. Called by
 * login.c for each key of a login and by the session for a renegotiation.
 *
 *   a key is      true then                                          next
 *   fresh         neither side has named it: default in force         OFFERED, RECEIVED
 *   OFFERED       we proposed or declared it                          RECEIVED
 *   RECEIVED      the target answered, proposed or declared it        - (again is a protocol
 * error)
 *
 * Invariants: `values` only ever holds legal values; a session-wide (LO) key is never offered,
 * and its value never changes, where the session has agreed on it before. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "iscsi/keytable.h"

#define KEY_NAME_MAX 63
#define VALUE_MAX 8192
#define UNKNOWN_KEYS_MAX 128 /* each makes us answer: a bound to our reply */
#define DISCOVERY_RECV_MAX 65536

enum {
	STATE_OFFERED = 1,
	STATE_RECEIVED = 2,
	STATE_DECIDED = 4, /* with OFFERED: no answer is needed */
};

void keys_wishes_default(struct keys_wishes *w)
{
	*w = (struct keys_wishes){
		.header_digest = DIGEST_NO,
		.data_digest = DIGEST_NO,
		.max_recv_data_segment_length = 1 << 20,
		.max_burst_length = 1 << 20,
		.first_burst_length = 256 << 10,
		.max_connections = 1,
		.max_outstanding_r2t = 8,
		.time2wait = 0, /* the greater one counts: who needs a pause asks for it */
		.time2retain = 20,
		.immediate_data = true,
		.data_pdu_in_order = true,
		.data_sequence_in_order = true,
	};
}

static void set_presets(struct keys *k)
{
	for (const struct key_row *row = keytable; row < keytable + KEYTABLE_ROWS; row++) {
		if (row->kind->store == KEY_STORES_NUMBER)
			keytable_set_number(k, row, row->preset);
		else if (row->kind->store == KEY_STORES_FLAG)
			keytable_set_flag(k, row, row->preset);
	}
	k->values.max_xmit_data_segment_length = k->values.max_recv_data_segment_length;
}

/* Into the bounds of each key, and into those that keys set each other. */
static void limit_wishes(enum keys_session type, struct keys_wishes *w)
{
	for (const struct key_row *row = keytable; row < keytable + KEYTABLE_ROWS; row++) {
		uint32_t *number = keytable_wish_number(w, row);

		if (row->kind->store == KEY_STORES_NUMBER)
			*number = CLAMP(*number, row->min, row->max);
	}
	w->first_burst_length = MIN(w->first_burst_length, w->max_burst_length); /* 13.14 */
	if (type == KEYS_DISCOVERY) {
		w->max_recv_data_segment_length =
			MIN(w->max_recv_data_segment_length, DISCOVERY_RECV_MAX);
		w->error_recovery_level = 0; /* 7.4.1 */
		w->max_connections = 1;	     /* 13.21 */
	}
	if (w->error_recovery_level > 0 && w->data_sequence_in_order)
		w->max_outstanding_r2t = 1; /* 13.19 */
}

/* A further connection: the session's values are what we wish for, should the target ask. */
static void take_session(struct keys *k, const struct keys_values *session)
{
	k->session = *session;
	k->values = *session;
	for (const struct key_row *row = keytable; row < keytable + KEYTABLE_ROWS; row++) {
		if (!(row->flags & KEY_LEADING))
			continue;
		if (row->kind->store == KEY_STORES_NUMBER)
			*keytable_wish_number(&k->wishes, row) = keytable_number(session, row);
		else if (row->kind->store == KEY_STORES_FLAG)
			*keytable_wish_flag(&k->wishes, row) = keytable_flag(session, row);
	}
	k->has_session = true; /* from here on keytable_set_number() leaves these alone */
	k->values.header_digest = k->values.data_digest = false;
	set_presets(k); /* of what is not fixed */
}

struct keys *keys_new(enum keys_session type, const struct keys_wishes *wishes,
		      const struct keys_values *session_values)
{
	struct keys *k = g_new0(struct keys, 1);

	k->type = type;
	k->stage = KEYS_OPERATIONAL;
	k->wishes = *wishes;
	limit_wishes(type, &k->wishes);
	if (session_values)
		take_session(k, session_values);
	else
		set_presets(k);
	if (!session_values)
		k->values.target_portal_group_tag = -1;
	k->unknown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	return k;
}

void keys_free(struct keys *k)
{
	if (!k)
		return;
	g_hash_table_unref(k->unknown);
	g_free(k);
}

void keys_set_stage(struct keys *k, enum keys_stage stage)
{
	if (stage == KEYS_FULL_FEATURE && k->has_session)
		k->values = k->session;
	k->stage = stage;
}

unsigned keys_event(const struct keys *k)
{
	return k->event;
}

unsigned keys_warning(const struct keys *k)
{
	return k->values.first_burst_length > k->values.max_burst_length ? 4 : 0;
}

void keys_bursts(const struct keys *k, uint32_t *ret_first, uint32_t *ret_max)
{
	*ret_first = k->values.first_burst_length;
	*ret_max = k->values.max_burst_length;
}

static bool is_offered_here(const struct keys *k, const struct key_row *row)
{
	unsigned where = k->type == KEYS_DISCOVERY ? KEY_OFFER_DISCOVERY : KEY_OFFER;

	if (!(row->flags & where) || keytable_is_fixed(k, row))
		return false;
	return k->stage == KEYS_OPERATIONAL ||
	       (k->stage == KEYS_FULL_FEATURE && (row->flags & KEY_ALL));
}

/* What an offer settles by itself: a declaration, a boolean that allows no other answer. */
static bool is_decided_by_offer(const struct key_row *row, const char *offer)
{
	return !row->kind->accept || (row->kind->decides && !strcmp(offer, row->kind->decides));
}

static void take_own_wish(struct keys *k, const struct key_row *row)
{
	if (row->kind->store == KEY_STORES_NUMBER)
		keytable_set_number(k, row, *keytable_wish_number(&k->wishes, row));
	else
		keytable_set_flag(k, row, *keytable_wish_flag(&k->wishes, row));
}

void keys_offer(struct keys *k, GByteArray *out)
{
	for (size_t i = 0; i < KEYTABLE_ROWS; i++) {
		g_autoptr(GString) text = NULL;

		if (k->state[i] || !is_offered_here(k, &keytable[i]))
			continue;
		text = g_string_new(NULL);
		keytable[i].kind->offer(k, &keytable[i], text);
		keys_append(out, keytable[i].name, text->str);
		k->state[i] |= STATE_OFFERED;
		if (!is_decided_by_offer(&keytable[i], text->str))
			continue;
		k->state[i] |= STATE_DECIDED;
		take_own_wish(k, &keytable[i]);
	}
}

static bool is_reserved_word(const char *value)
{
	return !strcmp(value, "NotUnderstood") || !strcmp(value, "Reject") ||
	       !strcmp(value, "Irrelevant");
}

/* A proposal in the response that ends the stage can have no answer (11.13.6). */
static gboolean give_answer(GByteArray *reply, const char *key, const char *value,
			    const char *answer, GError **err)
{
	if (!reply)
		return keytable_wrong(err, key, value,
				      "proposed in a response that ends the stage");
	keys_append(reply, key, answer);
	return TRUE;
}

/* Private keys, and those of later RFCs. Without @reply our answer is forgone: the key has no
 * effect either way, and the target has closed the stage itself. */
static gboolean receive_unknown(struct keys *k, const char *key, const char *value,
				GByteArray *reply, GError **err)
{
	if (is_reserved_word(value))
		return keytable_wrong(err, key, value, "answers a key that we did not send");
	if (g_hash_table_size(k->unknown) >= UNKNOWN_KEYS_MAX)
		return keytable_wrong(err, key, value, "too many unknown keys");
	if (!g_hash_table_add(k->unknown, g_strdup(key)))
		return keytable_wrong(err, key, value, "given twice");
	return !reply || give_answer(reply, key, value, "NotUnderstood", err);
}

/* Reject and Irrelevant leave the value as it is, NotUnderstood is none for a key of the RFC
 * (6.2). */
static gboolean receive_refusal(struct keys *k, const struct key_row *row, const char *value,
				GError **err)
{
	if (!strcmp(value, "NotUnderstood"))
		return keytable_wrong(err, row->name, value,
				      "every key of RFC 7143 must be understood");
	if (!row->kind->accept &&
	    (strcmp(value, "Irrelevant") || k->stage == KEYS_FULL_FEATURE))
		return keytable_wrong(err, row->name, value,
				      "the target refuses what we declared");
	return !row->kind->refused || row->kind->refused(k, row, value, err);
}

static gboolean receive_proposal(struct keys *k, const struct key_row *row, const char *value,
				 GByteArray *reply, GError **err)
{
	g_autoptr(GString) answer = NULL;

	if (k->type == KEYS_DISCOVERY && (row->flags & KEY_IRRELEVANT))
		return give_answer(reply, row->name, value, "Irrelevant", err);
	answer = g_string_new(NULL);
	if (!row->kind->answer(k, row, value, answer, err))
		return FALSE;
	if (!answer->len)
		return TRUE;
	if (!reply && row->kind->decides && !strcmp(value, row->kind->decides))
		return TRUE;
	return give_answer(reply, row->name, value, answer->str, err);
}

static gboolean check_place(const struct keys *k, const struct key_row *row, const char *value,
			    GError **err)
{
	if (row->flags & KEY_NOT_HERE)
		return keytable_wrong(err, row->name, value,
				      "not a key that a target may send here");
	if (k->stage == KEYS_SECURITY && !(row->flags & KEY_ANY_STAGE))
		return keytable_wrong(err, row->name, value,
				      "not allowed in the security stage");
	if (k->stage == KEYS_FULL_FEATURE && !(row->flags & KEY_ALL))
		return keytable_wrong(err, row->name, value,
				      "not allowed in full feature phase");
	return TRUE;
}

gboolean keys_receive(struct keys *k, const char *key, const char *value, GByteArray *reply,
		      GError **err)
{
	size_t i = 0;
	bool is_answer;

	while (i < KEYTABLE_ROWS && strcmp(keytable[i].name, key))
		i++;
	if (i == KEYTABLE_ROWS)
		return receive_unknown(k, key, value, reply, err);
	if ((keytable[i].flags & KEY_REFUSABLE) && is_reserved_word(value))
		return TRUE;
	if (!check_place(k, &keytable[i], value, err))
		return FALSE;
	if ((k->state[i] & STATE_RECEIVED) && !(keytable[i].flags & KEY_REPEATS))
		return keytable_wrong(err, key, value, "given twice");
	is_answer = k->state[i] & STATE_OFFERED;
	k->state[i] |= STATE_RECEIVED;
	if (is_reserved_word(value))
		return is_answer ? receive_refusal(k, &keytable[i], value, err)
				 : keytable_wrong(err, key, value,
						  "a reserved word as a proposal");
	if (is_answer && keytable[i].kind->accept)
		return keytable[i].kind->accept(k, &keytable[i], value, err);
	return receive_proposal(k, &keytable[i], value, reply, err);
}

const char *keys_unsettled(const struct keys *k)
{
	for (size_t i = 0; i < KEYTABLE_ROWS; i++)
		if (k->state[i] == STATE_OFFERED)
			return keytable[i].name;
	return NULL;
}

gboolean keys_is_settled(const struct keys *k)
{
	return !keys_unsettled(k);
}

void keys_values(const struct keys *k, struct keys_values *ret_values)
{
	struct keys_values *v = ret_values;

	*v = k->values;
	v->first_burst_length = MIN(v->first_burst_length, v->max_burst_length); /* 13.14 */
	if (v->error_recovery_level > 0 && v->data_sequence_in_order)
		v->max_outstanding_r2t = 1; /* 13.19 */
}

void keys_print(const struct keys *k, GString *out)
{
	struct keys_values v;

	keys_values(k, &v);
	for (size_t i = 0; i < KEYTABLE_ROWS; i++) {
		const struct key_row *row = &keytable[i];
		g_autoptr(GString) asked = g_string_new(NULL);
		g_autoptr(GString) got = g_string_new(NULL);

		if (!row->kind->show)
			continue;
		if (k->type == KEYS_DISCOVERY && (row->flags & KEY_IRRELEVANT))
			continue;
		if (k->state[i] & STATE_OFFERED)
			row->kind->offer(k, row, asked);
		row->kind->show(&v, row, got);
		g_string_append_printf(out, "%s %s %s\n", row->name,
				       asked->len ? asked->str : "-",
				       got->len ? got->str : "-");
		if (row->kind->store == KEY_STORES_NUMBER && !row->kind->accept)
			g_string_append_printf(out, "MaxXmitDataSegmentLength - %" PRIu32 "\n",
					       v.max_xmit_data_segment_length);
	}
}

/* --- text --- */

static bool is_key_char(char c)
{
	return g_ascii_isalnum(c) ||
	       (c && strchr(".-+@_#", c)); /* 6.1; # for X#NodeArchitecture */
}

/* One "key=value" of @len bytes without its NUL. */
static gboolean split_pair(const char *pair, size_t len,
			   gboolean (*each)(void *arg, const char *key, const char *value,
					    GError **err),
			   void *arg, GError **err)
{
	char key[KEY_NAME_MAX + 1];
	size_t key_len = 0;
	g_autofree char *shown = NULL;

	while (key_len < KEY_NAME_MAX && is_key_char(pair[key_len]))
		key_len++;
	if (key_len && pair[key_len] == '=' && len - key_len - 1 <= VALUE_MAX) {
		memcpy(key, pair, key_len);
		key[key_len] = '\0';
		return each(arg, key, pair + key_len + 1, err);
	}
	shown = text_escape(pair, len, KEY_NAME_MAX + 1);
	error_set(err, ISDSC_INVALID_TEXT_KEY, "\"%s\" is not a key=value pair", shown);
	return FALSE;
}

gboolean keys_split(const uint8_t *text, size_t len,
		    gboolean (*each)(void *arg, const char *key, const char *value,
				     GError **err),
		    void *arg, GError **err)
{
	const char *pair = (const char *)text, *end;

	if (!len)
		return TRUE;
	end = pair + len;
	if (end[-1]) {
		error_set(err, ISDSC_INVALID_TEXT_KEY, "text does not end in a NUL");
		return FALSE;
	}
	while (pair < end) {
		size_t pair_len = strlen(pair); /* ends at the latest at the last byte */

		if (pair_len && !split_pair(pair, pair_len, each, arg, err))
			return FALSE;
		pair += pair_len + 1;
	}
	return TRUE;
}

void keys_append(GByteArray *out, const char *key, const char *value)
{
	g_byte_array_append(out, (const guint8 *)key, (guint)strlen(key));
	g_byte_array_append(out, (const guint8 *)"=", 1);
	g_byte_array_append(out, (const guint8 *)value, (guint)strlen(value) + 1);
}

gboolean keys_info_at(size_t index, struct keys_info *ret_info)
{
	const struct key_row *row;

	if (index >= KEYTABLE_ROWS)
		return FALSE;
	row = &keytable[index];
	*ret_info = (struct keys_info){
		.name = row->name,
		.result = row->kind->result,
		.rfc = row->rfc,
		.is_offered = row->flags & KEY_OFFER,
		.is_session_wide = row->flags & KEY_LEADING,
		.min = row->min,
		.max = row->max,
		.preset = row->preset,
	};
	return TRUE;
}
