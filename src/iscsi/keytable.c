/* SPDX-License-Identifier: BSD-2-Clause */
/* The text keys of RFC 7143 section 13: one row a key, one set of functions a kind of key. What
 * a negotiation is and in which order things may come is in keys.c; here is only what a value
 * means.
 *
 * Invariant: a function that returns FALSE has changed no value, and a value that is stored is
 * legal for its key. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "iscsi/keytable.h"

#define PROTOCOL_LEVEL 1u /* 13.24 */

gboolean keytable_wrong(GError **err, const char *key, const char *value, const char *why)
{
	g_autofree char *shown = text_escape(value, strlen(value), 64);

	error_set(err, ISDSC_INVALID_TEXT_KEY, "%s=%s: %s", key, shown, why);
	return FALSE;
}

static uint32_t wish_number(const struct keys *k, const struct key_row *row)
{
	return *(const uint32_t *)((const char *)&k->wishes + row->wish);
}

static bool wish_flag(const struct keys *k, const struct key_row *row)
{
	return *(const bool *)((const char *)&k->wishes + row->wish);
}

static enum digest_wish wish_digest(const struct keys *k, const struct key_row *row)
{
	return *(const enum digest_wish *)((const char *)&k->wishes + row->wish);
}

void keytable_set_number(struct keys *k, const struct key_row *row, uint32_t number)
{
	if (!keytable_is_fixed(k, row))
		*(uint32_t *)((char *)&k->values + row->value) = number;
}

void keytable_set_flag(struct keys *k, const struct key_row *row, bool flag)
{
	if (!keytable_is_fixed(k, row))
		*(bool *)((char *)&k->values + row->value) = flag;
}

static const char *yes_no(bool flag)
{
	return flag ? "Yes" : "No";
}

/* --- numbers: MINIMUM, MAXIMUM, and the declared MaxRecvDataSegmentLength --- */

static gboolean parse_number(const struct key_row *row, const char *value, uint32_t *ret_number,
			     GError **err)
{
	uint64_t number;
	int r = text_parse_u64(value, row->min, row->max, &number);

	if (r < 0)
		return keytable_wrong(err, row->name, value,
				      r == -ERANGE ? "out of range" : "not a number");
	*ret_number = (uint32_t)number;
	return TRUE;
}

static void number_offer(const struct keys *k, const struct key_row *row, GString *text)
{
	g_string_append_printf(text, "%" PRIu32, wish_number(k, row));
}

static void number_show(const struct keys_values *v, const struct key_row *row, GString *text)
{
	g_string_append_printf(text, "%" PRIu32, keytable_number(v, row));
}

static gboolean minimum_accept(struct keys *k, const struct key_row *row, const char *value,
			       GError **err)
{
	uint32_t number;

	if (!parse_number(row, value, &number, err))
		return FALSE;
	if (number > wish_number(k, row))
		return keytable_wrong(err, row->name, value, "greater than our offer");
	keytable_set_number(k, row, number);
	return TRUE;
}

static gboolean minimum_answer(struct keys *k, const struct key_row *row, const char *value,
			       GString *answer, GError **err)
{
	uint32_t number;

	if (!parse_number(row, value, &number, err))
		return FALSE;
	number = MIN(number, wish_number(k, row));
	keytable_set_number(k, row, number);
	g_string_append_printf(answer, "%" PRIu32, number);
	return TRUE;
}

static gboolean maximum_accept(struct keys *k, const struct key_row *row, const char *value,
			       GError **err)
{
	uint32_t number;

	if (!parse_number(row, value, &number, err))
		return FALSE;
	if (number < wish_number(k, row))
		return keytable_wrong(err, row->name, value, "less than our offer");
	keytable_set_number(k, row, number);
	return TRUE;
}

static gboolean maximum_answer(struct keys *k, const struct key_row *row, const char *value,
			       GString *answer, GError **err)
{
	uint32_t number;

	if (!parse_number(row, value, &number, err))
		return FALSE;
	number = MAX(number, wish_number(k, row));
	keytable_set_number(k, row, number);
	g_string_append_printf(answer, "%" PRIu32, number);
	return TRUE;
}

/* The target's declaration: what it accepts is what we may send. No answer is due. */
static gboolean declared_answer(struct keys *k, const struct key_row *row, const char *value,
				GString *answer, GError **err)
{
	(void)answer;
	return parse_number(row, value, &k->values.max_xmit_data_segment_length, err);
}

/* --- booleans: AND, OR --- */

static gboolean parse_flag(const struct key_row *row, const char *value, bool *ret_flag,
			   GError **err)
{
	bool is_yes = !strcmp(value, "Yes");

	if (!is_yes && strcmp(value, "No"))
		return keytable_wrong(err, row->name, value, "neither Yes nor No");
	*ret_flag = is_yes;
	return TRUE;
}

static void flag_offer(const struct keys *k, const struct key_row *row, GString *text)
{
	g_string_append(text, yes_no(wish_flag(k, row)));
}

static void flag_show(const struct keys_values *v, const struct key_row *row, GString *text)
{
	g_string_append(text, yes_no(keytable_flag(v, row)));
}

/* Common to AND and OR: an offer of the deciding value allows no other answer. */
static gboolean flag_accept(struct keys *k, const struct key_row *row, const char *value,
			    GError **err)
{
	const char *offered = yes_no(wish_flag(k, row));
	bool flag;

	if (!parse_flag(row, value, &flag, err))
		return FALSE;
	if (!strcmp(offered, row->kind->decides) && strcmp(value, offered)) {
		k->event = row->event;
		return keytable_wrong(err, row->name, value,
				      "not a possible answer to our offer");
	}
	keytable_set_flag(k, row, flag);
	return TRUE;
}

static gboolean and_answer(struct keys *k, const struct key_row *row, const char *value,
			   GString *answer, GError **err)
{
	bool flag;

	if (!parse_flag(row, value, &flag, err))
		return FALSE;
	flag = flag && wish_flag(k, row);
	keytable_set_flag(k, row, flag);
	g_string_append(answer, yes_no(flag));
	return TRUE;
}

static gboolean or_answer(struct keys *k, const struct key_row *row, const char *value,
			  GString *answer, GError **err)
{
	bool flag;

	if (!parse_flag(row, value, &flag, err))
		return FALSE;
	flag = flag || wish_flag(k, row);
	keytable_set_flag(k, row, flag);
	g_string_append(answer, yes_no(flag));
	return TRUE;
}

/* --- lists --- */

static const char *const digest_offers[] = {
	[DIGEST_NO] = "None",
	[DIGEST_YES] = "CRC32C",
	[DIGEST_PREFER] = "CRC32C,None",
};

/* @value is one of the values of the list @list. */
static bool list_has(const char *list, const char *value)
{
	size_t len = strlen(value);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, value, len) && (at[len] == ',' || !at[len]))
			return len > 0;
	}
	return false;
}

static void digest_offer(const struct keys *k, const struct key_row *row, GString *text)
{
	g_string_append(text, digest_offers[wish_digest(k, row)]);
}

static void digest_show(const struct keys_values *v, const struct key_row *row, GString *text)
{
	g_string_append(text, keytable_flag(v, row) ? "CRC32C" : "None");
}

/* No digest is what comes of a refusal. */
static gboolean digest_refused(struct keys *k, const struct key_row *row, const char *value,
			       GError **err)
{
	if (wish_digest(k, row) != DIGEST_YES)
		return TRUE;
	k->event = row->event;
	return keytable_wrong(err, row->name, value,
			      "CRC32C is required here and the target refuses it");
}

static gboolean digest_accept(struct keys *k, const struct key_row *row, const char *value,
			      GError **err)
{
	if (!strchr(value, ',') && list_has(digest_offers[wish_digest(k, row)], value)) {
		keytable_set_flag(k, row, !strcmp(value, "CRC32C"));
		return TRUE;
	}
	if (!strcmp(value, "None")) /* so we wish for CRC32C and nothing else */
		return digest_refused(k, row, value, err);
	return keytable_wrong(err, row->name, value, "a value that we did not offer");
}

/* The first value of the target's list that we may use (6.2.1), or Reject. */
static gboolean digest_answer(struct keys *k, const struct key_row *row, const char *value,
			      GString *answer, GError **err)
{
	const char *ours = digest_offers[wish_digest(k, row)];
	g_auto(GStrv) list = g_strsplit(value, ",", -1);

	for (char **v = list; *v; v++) {
		if (!list_has(ours, *v))
			continue;
		keytable_set_flag(k, row, !strcmp(*v, "CRC32C"));
		g_string_append(answer, *v);
		return TRUE;
	}
	g_string_append(answer, "Reject");
	return digest_refused(k, row, value, err);
}

/* RFC 7144 7.1.1, function Minimum; ours is that of RFC 7143 alone (13.24). */
static gboolean level_answer(struct keys *k, const struct key_row *row, const char *value,
			     GString *answer, GError **err)
{
	uint32_t number;

	(void)k;
	if (!parse_number(row, value, &number, err))
		return FALSE;
	g_string_append_printf(answer, "%" PRIu32, MIN(number, PROTOCOL_LEVEL));
	return TRUE;
}

/* A list of which we can do one value only. */
static gboolean choice_answer(struct keys *k, const struct key_row *row, const char *value,
			      GString *answer, GError **err)
{
	(void)k, (void)err;
	g_string_append(answer, list_has(value, row->text) ? row->text : "Reject");
	return TRUE;
}

/* --- what the target declares --- */

/* A 16-bit binary-value: decimal, hex or base64 (6.1). */
static gboolean tag_answer(struct keys *k, const struct key_row *row, const char *value,
			   GString *answer, GError **err)
{
	bool is_base64 = value[0] == '0' && (value[1] == 'b' || value[1] == 'B');
	uint64_t tag = 0;

	(void)answer;
	if (is_base64) {
		size_t len;
		int r;
		g_autofree uint8_t *bytes = text_decode_binary(value, 2, &len, &r);

		if (!bytes)
			return keytable_wrong(err, row->name, value,
					      "not a 16-bit binary value");
		for (size_t i = 0; i < len; i++)
			tag = tag << 8 | bytes[i];
	} else if (text_parse_u64(value, row->min, row->max, &tag) < 0) {
		return keytable_wrong(err, row->name, value, "not a 16-bit binary value");
	}
	if (k->has_session && k->session.target_portal_group_tag >= 0 &&
	    k->session.target_portal_group_tag != (int32_t)tag)
		return keytable_wrong(
			err, row->name, value,
			"another portal group than the session's"); /* appendix C */
	k->values.target_portal_group_tag = (int32_t)tag;
	return TRUE;
}

static void tag_show(const struct keys_values *v, const struct key_row *row, GString *text)
{
	(void)row;
	if (v->target_portal_group_tag >= 0)
		g_string_append_printf(text, "%" PRIi32, v->target_portal_group_tag);
}

static gboolean alias_answer(struct keys *k, const struct key_row *row, const char *value,
			     GString *answer, GError **err)
{
	size_t len = strlen(value);

	(void)answer;
	if (len >= sizeof(k->values.target_alias))
		return keytable_wrong(err, row->name, value, "longer than 255 bytes");
	memcpy(k->values.target_alias, value, len + 1);
	return TRUE;
}

static void alias_show(const struct keys_values *v, const struct key_row *row, GString *text)
{
	g_autofree char *shown = NULL;

	(void)row;
	shown = text_escape(v->target_alias, strlen(v->target_alias), sizeof(v->target_alias));
	g_string_append(text, shown);
}

/* Declared, and nothing here depends on it. */
static gboolean told_answer(struct keys *k, const struct key_row *row, const char *value,
			    GString *answer, GError **err)
{
	(void)k, (void)answer;
	if (strlen(value) > row->max)
		return keytable_wrong(err, row->name, value, "too long");
	return TRUE;
}

/* Obsolete keys have one answer, whatever the value (13.25). */
static gboolean fixed_answer(struct keys *k, const struct key_row *row, const char *value,
			     GString *answer, GError **err)
{
	(void)k, (void)value, (void)err;
	g_string_append(answer, row->text);
	return TRUE;
}

static const struct key_kind kind_declared = {
	"declared",
	KEY_STORES_NUMBER,
	.offer = number_offer,
	.answer = declared_answer,
	.show = number_show,
};
static const struct key_kind kind_minimum = {
	"minimum",
	KEY_STORES_NUMBER,
	.offer = number_offer,
	.accept = minimum_accept,
	.answer = minimum_answer,
	.show = number_show,
};
static const struct key_kind kind_maximum = {
	"maximum",
	KEY_STORES_NUMBER,
	.offer = number_offer,
	.accept = maximum_accept,
	.answer = maximum_answer,
	.show = number_show,
};
static const struct key_kind kind_and = {
	"and",
	KEY_STORES_FLAG,
	.offer = flag_offer,
	.accept = flag_accept,
	.answer = and_answer,
	.show = flag_show,
	.decides = "No",
};
static const struct key_kind kind_or = {
	"or",
	KEY_STORES_FLAG,
	.offer = flag_offer,
	.accept = flag_accept,
	.answer = or_answer,
	.show = flag_show,
	.decides = "Yes",
};
static const struct key_kind kind_digest = {
	"list",
	KEY_STORES_DIGEST,
	.offer = digest_offer,
	.accept = digest_accept,
	.answer = digest_answer,
	.show = digest_show,
	.refused = digest_refused,
};
static const struct key_kind kind_level = { "minimum", .answer = level_answer };
static const struct key_kind kind_choice = { "list", .answer = choice_answer };
static const struct key_kind kind_tag = { "declared", .answer = tag_answer, .show = tag_show };
static const struct key_kind kind_alias = {
	"declared",
	.answer = alias_answer,
	.show = alias_show,
};
static const struct key_kind kind_told = { "declared", .answer = told_answer };
static const struct key_kind kind_fixed = { "obsolete", .answer = fixed_answer };
static const struct key_kind kind_none = { .result = NULL };

#define KEY(key, its_kind, ...)                                    \
	{                                                          \
		.name = key, .kind = &kind_##its_kind, __VA_ARGS__ \
	}
#define AT(field)                                    \
	.wish = offsetof(struct keys_wishes, field), \
	.value = offsetof(struct keys_values, field)
#define BETWEEN(low, high, by_default) .min = low, .max = high, .preset = by_default
#define SESSION (KEY_LEADING | KEY_OFFER | KEY_IRRELEVANT)
#define EVERY (KEY_OFFER | KEY_OFFER_DISCOVERY)

/* clang-format off */
const struct key_row keytable[KEYTABLE_ROWS] = {
	/* what we offer, in the order of the RFC */
	KEY("HeaderDigest", digest, .flags = EVERY, AT(header_digest), .event = 18, .rfc = "13.1"),
	KEY("DataDigest", digest, .flags = EVERY, AT(data_digest), .event = 19, .rfc = "13.1"),
	KEY("MaxConnections", minimum, .flags = SESSION, AT(max_connections),
	    BETWEEN(1, 65535, 1), .rfc = "13.2"),
	KEY("InitialR2T", or, .flags = SESSION, AT(initial_r2t), .preset = 1, .rfc = "13.10"),
	KEY("ImmediateData", and, .flags = SESSION, AT(immediate_data), .preset = 1, .rfc = "13.11"),
	KEY("MaxRecvDataSegmentLength", declared, .flags = EVERY | KEY_ALL,
	    AT(max_recv_data_segment_length), BETWEEN(512, 16777215, 8192), .rfc = "13.12"),
	KEY("MaxBurstLength", minimum, .flags = SESSION, AT(max_burst_length),
	    BETWEEN(512, 16777215, 262144), .rfc = "13.13"),
	KEY("FirstBurstLength", minimum, .flags = SESSION, AT(first_burst_length),
	    BETWEEN(512, 16777215, 65536), .rfc = "13.14"),
	KEY("DefaultTime2Wait", maximum, .flags = EVERY | KEY_LEADING, AT(time2wait),
	    BETWEEN(0, 3600, 2), .rfc = "13.15"),
	KEY("DefaultTime2Retain", minimum, .flags = EVERY | KEY_LEADING, AT(time2retain),
	    BETWEEN(0, 3600, 20), .rfc = "13.16"),
	KEY("MaxOutstandingR2T", minimum, .flags = SESSION, AT(max_outstanding_r2t),
	    BETWEEN(1, 65535, 1), .rfc = "13.17"),
	KEY("DataPDUInOrder", or, .flags = SESSION, AT(data_pdu_in_order), .preset = 1,
	    .event = 61, .rfc = "13.18"),
	KEY("DataSequenceInOrder", or, .flags = SESSION, AT(data_sequence_in_order), .preset = 1,
	    .event = 62, .rfc = "13.19"),
	/* not irrelevant in a discovery session: a proposal is answered 0 there (7.4.1) */
	KEY("ErrorRecoveryLevel", minimum, .flags = KEY_LEADING | KEY_OFFER,
	    AT(error_recovery_level), BETWEEN(0, 2, 0), .rfc = "13.20"),

	/* what the target declares */
	KEY("TargetAlias", alias, .flags = KEY_ANY_STAGE | KEY_ALL, .rfc = "13.6"),
	KEY("TargetAddress", told, .flags = KEY_ANY_STAGE | KEY_ALL | KEY_REPEATS,
	    .max = 255 + 16, .rfc = "13.8"),
	KEY("TargetPortalGroupTag", tag, .flags = KEY_ANY_STAGE, .max = 65535, .rfc = "13.9"),
	KEY("X#NodeArchitecture", told, .flags = KEY_LEADING, .max = 255, .rfc = "13.26"),

	/* what a target may propose and we do not */
	KEY("TaskReporting", choice, .flags = KEY_LEADING | KEY_IRRELEVANT, .text = "RFC3720",
	    .rfc = "13.23"),
	KEY("iSCSIProtocolLevel", level, .flags = KEY_LEADING | KEY_IRRELEVANT, .max = 31,
	    .rfc = "13.24"),
	KEY("IFMarker", fixed, .text = "No", .rfc = "13.25"),
	KEY("OFMarker", fixed, .text = "No", .rfc = "13.25"),
	KEY("IFMarkInt", fixed, .text = "Reject", .rfc = "13.25"),
	KEY("OFMarkInt", fixed, .text = "Reject", .rfc = "13.25"),

	/* the initiator's own, those of SendTargets, and the security keys, which login.c takes
	 * itself in the security stage: here they are out of place */
	KEY("SendTargets", none, .flags = KEY_NOT_HERE, .rfc = "13.3"),
	KEY("TargetName", none, .flags = KEY_NOT_HERE, .rfc = "13.4"),
	KEY("InitiatorName", none, .flags = KEY_NOT_HERE, .rfc = "13.5"),
	/* LIO answers NotUnderstood on further connections; 6.2 forbids it, but nothing hangs on it */
	KEY("InitiatorAlias", none, .flags = KEY_NOT_HERE | KEY_REFUSABLE, .rfc = "13.7"),
	KEY("SessionType", none, .flags = KEY_NOT_HERE, .rfc = "13.21"),
	KEY("AuthMethod", none, .flags = KEY_NOT_HERE, .rfc = "12.1"),
	KEY("CHAP_A", none, .flags = KEY_NOT_HERE, .rfc = "12.1.3"),
	KEY("CHAP_I", none, .flags = KEY_NOT_HERE, .rfc = "12.1.3"),
	KEY("CHAP_C", none, .flags = KEY_NOT_HERE, .rfc = "12.1.3"),
	KEY("CHAP_N", none, .flags = KEY_NOT_HERE, .rfc = "12.1.3"),
	KEY("CHAP_R", none, .flags = KEY_NOT_HERE, .rfc = "12.1.3"),
};
/* clang-format on */
