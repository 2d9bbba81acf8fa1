/* SPDX-License-Identifier: BSD-2-Clause */
/* The login phase of one connection: RFC 7143 6.3, 11.12, 11.13; the states are in login.h. It
 * knows no socket: conn.c asks for a request, sends it, and hands in the response.
 *
 * Requests: the text of a turn is made up once (compose) and leaves in pieces of at most 8192
 * bytes, all but the last with the C bit; an answer to a response with the C bit is empty. We
 * set T as soon as the stage has nothing more from us: with auth=none at once, with CHAP with
 * our response. Responses: header first (check_response), then status, then text once it is
 * complete.
 *
 * Invariants: one response per request; with CHAP wanted, SECURITY is left only when
 * chap_is_authenticated(); the text of a request stays until login_free(), since the caller
 * sends it without a copy; the number of exchanges and the size of continued text are bounded.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "iscsi/login.h"
#include "iscsi/pdu.h"

#define SEGMENT_MAX 8192 /* the default MaxRecvDataSegmentLength is in force in login, 6.3 */
#define TEXT_MAX (256u << 10)  /* of one continued text */
#define ROUNDS_MAX 64	       /* responses that end a text */
#define CONTINUATIONS_MAX 1024 /* responses with the C bit ... */
#define EMPTY_MAX 64	       /* ... and those of them that bring nothing */

struct login {
	struct login_config cfg;
	enum login_state state;
	struct keys *keys;
	struct chap *chap; /* NULL with auth=none, and when config_error is set */
	GError *config_error, *error;
	unsigned event;
	char *pair; /* the key=value that the event is about */
	int status;
	char *redirect;
	bool is_permanent;

	GPtrArray *texts;    /* of GByteArray: all requests so far */
	GByteArray *out;     /* the last of them */
	size_t out_sent;     /* bytes of it that were handed out */
	GByteArray *replies; /* what the next request answers to the target's keys */
	bool has_named;	     /* names and AuthMethod are composed */
	bool sent_transit, sent_continued; /* bits of the last request */

	GByteArray *in;	   /* text of this turn so far */
	bool is_continued; /* its last response had the C bit */
	bool is_last;	   /* its last response had the T bit: nothing can be answered */
	bool has_response; /* the next three are known */
	uint8_t version_max;
	uint32_t stat_sn; /* of the next response */
	uint16_t tsih;	  /* as the target gave it; 0: not yet */
	uint32_t exp_cmd_sn, max_cmd_sn;
	uint32_t told_exp_cmd_sn, told_max_cmd_sn; /* of the last response, true or not */
	uint32_t wrong_stat_sn;			   /* of event 42 */
	uint8_t header[ISCSI_BHS_BYTES];	   /* of the last response */
	bool has_header;
	unsigned rounds, continuations, empty;
	char *auth_method; /* what the target picked; NULL: nothing yet */
};

#define TO(state) (1u << LOGIN_##state)

static const struct {
	const char *name;
	unsigned next; /* states that may follow */
} states[] = {
	[LOGIN_START] = { "START", TO(SECURITY) },
	[LOGIN_SECURITY] = { "SECURITY", TO(OPERATIONAL) | TO(FAILED) | TO(REDIRECTED) },
	[LOGIN_OPERATIONAL] = { "OPERATIONAL", TO(FULL_FEATURE) | TO(FAILED) | TO(REDIRECTED) },
	[LOGIN_FULL_FEATURE] = { "FULL_FEATURE", 0 },
	[LOGIN_FAILED] = { "FAILED", 0 },
	[LOGIN_REDIRECTED] = { "REDIRECTED", 0 },
};

static void set_state(struct login *l, enum login_state state)
{
	assert(states[l->state].next & 1u << state);
	l->state = state;
}

const char *login_state_name(enum login_state s)
{
	return states[s].name;
}

static const char *const method_names[] = {
	[AUTH_NONE] = "None",
	[AUTH_CHAP] = "CHAP",
	[AUTH_MUTUAL] = "CHAP",
};

struct login *login_new(const struct login_config *cfg)
{
	struct login *l = g_new0(struct login, 1);

	assert(cfg->type == KEYS_DISCOVERY || cfg->target_name);
	l->cfg = *cfg;
	l->status = -1;
	l->exp_cmd_sn = l->max_cmd_sn = cfg->cmd_sn;
	l->keys = keys_new(cfg->type, &cfg->wishes, cfg->session_values);
	keys_set_stage(l->keys, KEYS_SECURITY);
	l->texts = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
	l->out = g_byte_array_new();
	g_ptr_array_add(l->texts, l->out);
	l->replies = g_byte_array_new();
	l->in = g_byte_array_new();
	if (cfg->auth == AUTH_NONE)
		return l;
	if (!cfg->chap)
		error_set_errno(&l->config_error, ISDSC_TARGET_AUTHINFO_UNAVAILABLE, EACCES,
				"CHAP is wanted, but no user and secret are configured");
	else if (chap_config_check(cfg->chap, cfg->auth == AUTH_MUTUAL, &l->config_error))
		l->chap = chap_new(cfg->chap, cfg->initiator_name, cfg->auth == AUTH_MUTUAL,
				   cfg->chap_history);
	return l;
}

static void wipe_text(GByteArray *text)
{
	text_wipe(text->data, text->len);
}

void login_free(struct login *l)
{
	if (!l)
		return;
	keys_free(l->keys);
	chap_free(l->chap);
	for (guint i = 0; i < l->texts->len; i++)
		wipe_text(l->texts->pdata[i]);
	wipe_text(l->in);
	g_ptr_array_unref(l->texts);
	g_byte_array_unref(l->replies);
	g_byte_array_unref(l->in);
	g_clear_error(&l->config_error);
	g_clear_error(&l->error);
	g_free(l->pair);
	g_free(l->redirect);
	g_free(l->auth_method);
	g_free(l);
}

enum login_state login_state(const struct login *l)
{
	return l->state;
}

const GError *login_error(const struct login *l)
{
	return l->error;
}

unsigned login_event(const struct login *l, const char **ret_pair)
{
	if (ret_pair)
		*ret_pair = l->pair;
	return l->event;
}

/* The pair, cut where it is long. */
static char *shown_pair(const struct login *l)
{
	if (!l->pair || g_str_has_prefix(l->pair, "CHAP_R="))
		return NULL;
	return text_escape(l->pair, strlen(l->pair), 160);
}

char *login_event_data(const struct login *l)
{
	g_autofree char *header = NULL;
	g_autofree char *pair = shown_pair(l);
	uint32_t first, max;

	switch (l->event) {
	case 0:
		return NULL;
	case 3:
		return g_strdup_printf("ExpCmdSN %u, MaxCmdSN %u", l->told_exp_cmd_sn,
				       l->told_max_cmd_sn);
	case 4:
		keys_bursts(l->keys, &first, &max);
		return g_strdup_printf("FirstBurstLength %u, MaxBurstLength %u", first, max);
	case 42:
		return g_strdup_printf("StatSN %u expected, %u given", l->stat_sn,
				       l->wrong_stat_sn);
	}
	if (pair)
		return g_steal_pointer(&pair);
	if (!l->has_header)
		return NULL;
	header = text_encode_hex(l->header, sizeof(l->header));
	return g_strconcat("header ", header + strlen("0x"), NULL);
}

int login_status(const struct login *l)
{
	return l->status;
}

bool login_wants_no_sha256(const struct login *l)
{
	return l->state == LOGIN_FAILED && l->status == 0x0200 && l->chap &&
	       chap_has_answered(l->chap) && chap_algorithm(l->chap) == 7;
}

const char *login_redirect(const struct login *l, bool *ret_is_permanent)
{
	if (ret_is_permanent)
		*ret_is_permanent = l->is_permanent;
	return l->redirect;
}

void login_set_cmd_sn(struct login *l, uint32_t cmd_sn)
{
	l->cfg.cmd_sn = cmd_sn;
}

/* --- requests --- */

/* What every connection begins with (6.3, 13.4, 13.5). SessionType is for the leading one
 * (13.21); the alias is the session's, too (13.7), and LIO does not understand it again. */
static void append_names(struct login *l, GByteArray *out)
{
	keys_append(out, "InitiatorName", l->cfg.initiator_name);
	if (l->cfg.initiator_alias && !l->cfg.tsih)
		keys_append(out, "InitiatorAlias", l->cfg.initiator_alias);
	if (l->cfg.target_name)
		keys_append(out, "TargetName", l->cfg.target_name);
	if (!l->cfg.tsih)
		keys_append(out, "SessionType",
			    l->cfg.type == KEYS_DISCOVERY ? "Discovery" : "Normal");
	keys_append(out, "AuthMethod", method_names[l->cfg.auth]);
	l->has_named = true;
}

/* The text of this turn, in a buffer of its own. */
static void compose(struct login *l)
{
	l->out = g_byte_array_new();
	g_ptr_array_add(l->texts, l->out);
	l->out_sent = 0;
	if (!l->has_named)
		append_names(l, l->out);
	else if (l->state == LOGIN_OPERATIONAL)
		keys_offer(l->keys, l->out);
	else if (l->chap)
		chap_append(l->chap, l->out);
	g_byte_array_append(l->out, l->replies->data, l->replies->len);
	g_byte_array_set_size(l->replies, 0);
}

static bool is_stage_done(const struct login *l)
{
	return l->state == LOGIN_OPERATIONAL || l->cfg.auth == AUTH_NONE ||
	       (l->chap && chap_has_answered(l->chap));
}

void login_request(struct login *l, uint8_t *bhs, const uint8_t **ret_data,
		   uint32_t *ret_data_bytes)
{
	struct pdu_login_request r = {
		.version_max = ISCSI_VERSION,
		.version_min = ISCSI_VERSION,
		.tsih = l->cfg.tsih,
		.cid = l->cfg.cid,
		.itt = l->cfg.itt,
		.cmd_sn = l->cfg.cmd_sn,
		.exp_stat_sn = l->has_response ? l->stat_sn : l->cfg.exp_stat_sn,
	};
	size_t left;

	if (l->state == LOGIN_START)
		set_state(l, LOGIN_SECURITY);
	assert(l->state == LOGIN_SECURITY || l->state == LOGIN_OPERATIONAL);
	if (!l->is_continued && l->out_sent == l->out->len)
		compose(l);
	left = l->out->len - l->out_sent; /* 0 when is_continued: check_answer() saw to it */
	r.data_bytes = (uint32_t)MIN(left, SEGMENT_MAX);
	*ret_data = left ? l->out->data + l->out_sent : NULL;
	*ret_data_bytes = r.data_bytes;
	l->out_sent += r.data_bytes;
	l->sent_continued = r.is_continued = r.data_bytes < left;
	l->sent_transit = r.is_transit =
		!r.is_continued && !l->is_continued && is_stage_done(l);
	r.csg = l->state == LOGIN_OPERATIONAL ? ISCSI_STAGE_OPERATIONAL : ISCSI_STAGE_SECURITY;
	if (r.is_transit)
		r.nsg = l->state == LOGIN_OPERATIONAL ? ISCSI_STAGE_FULL_FEATURE
						      : ISCSI_STAGE_OPERATIONAL;
	memcpy(r.isid, l->cfg.isid, sizeof(r.isid));
	pdu_put_login_request(bhs, &r);
}

/* --- failing --- */

/* Takes @err. */
static gboolean fail_with(struct login *l, unsigned event, GError *err)
{
	l->error = err;
	l->event = event;
	set_state(l, LOGIN_FAILED);
	return FALSE;
}

/* The target broke the protocol. */
static gboolean fail_protocol(struct login *l, unsigned event, const char *what)
{
	GError *err = NULL;

	error_set_errno(&err, ISDSC_LOGIN_FAILED, EPROTO, "%s", what);
	return fail_with(l, event, err);
}

static gboolean fail_auth(struct login *l, unsigned event, const char *what)
{
	GError *err = NULL;

	error_set_errno(&err, ISDSC_AUTHENTICATION_FAILURE, EACCES, "%s", what);
	return fail_with(l, event, err);
}

/* --- status: 11.13.5 --- */

static const struct status {
	uint16_t number;
	enum isdsc code;
	int errno_value;
	const char *text;
} statuses[] = {
	{ 0x0200, ISDSC_INITIATOR_ERROR, EPROTO, "initiator error" },
	{ 0x0201, ISDSC_AUTHENTICATION_FAILURE, EACCES, "authentication failure" },
	{ 0x0202, ISDSC_AUTHORIZATION_FAILURE, EACCES, "authorization failure" },
	{ 0x0203, ISDSC_NOT_FOUND, ENOENT, "target not found" },
	{ 0x0204, ISDSC_TARGET_REMOVED, ENOENT, "target removed" },
	{ 0x0205, ISDSC_UNSUPPORTED_VERSION, EPROTO, "unsupported version" },
	{ 0x0206, ISDSC_TOO_MANY_CONNECTIONS, EUSERS, "too many connections" },
	{ 0x0207, ISDSC_MISSING_PARAMETER, EPROTO, "missing parameter" },
	{ 0x0208, ISDSC_CANT_INCLUDE_IN_SESSION, EOPNOTSUPP, "cannot include in session" },
	{ 0x0209, ISDSC_SESSION_TYPE_NOT_SUPPORTED, EOPNOTSUPP, "session type not supported" },
	{ 0x020a, ISDSC_INVALID_SESSION_ID, ENOENT, "session does not exist" },
	{ 0x020b, ISDSC_INITIATOR_ERROR, EPROTO, "invalid request during login" },
	{ 0x0300, ISDSC_TARGET_ERROR, EIO, "target error" },
	{ 0x0301, ISDSC_SERVICE_UNAVAILABLE, EBUSY, "service unavailable" },
	{ 0x0302, ISDSC_OUT_OF_RESOURCES, ENOSPC, "target out of resources" },
};

/* For details of no meaning known; the last one for other classes. */
static const struct status classes[] = {
	{ 2, ISDSC_INITIATOR_ERROR, EPROTO, "initiator error" },
	{ 3, ISDSC_TARGET_ERROR, EIO, "target error" },
	{ 0, ISDSC_LOGIN_FAILED, EPROTO, "unknown class" },
};

static const struct status *class_of(unsigned status_class)
{
	const struct status *s = classes;

	while (s->number && s->number != status_class)
		s++;
	return s;
}

static gboolean take_refusal(struct login *l, const struct pdu_login_response *r)
{
	const struct status *its_class = class_of(r->status_class), *s = its_class;
	GError *err = NULL;
	const char *advice = "";

	for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++)
		if (statuses[i].number == l->status)
			s = &statuses[i];
	if (s->code == ISDSC_AUTHENTICATION_FAILURE)
		advice = l->cfg.auth == AUTH_NONE
				 ? "; the target may want CHAP: auth=chap user= secret="
				 : "; are user and secret those that the target knows?";
	error_set_errno(&err, s->code, s->errno_value,
			"the target refused the login: %02x%02x %s (class 0x%02x %s, detail "
			"0x%02x)%s",
			r->status_class, r->status_detail,
			s == its_class ? "unknown detail" : s->text, r->status_class,
			its_class->text, r->status_detail, advice);
	return fail_with(l, 10, err);
}

/* --- redirection --- */

struct redirect {
	char *address; /* of the first TargetAddress */
};

static gboolean find_address(void *arg, const char *key, const char *value, GError **err)
{
	struct redirect *found = arg;

	(void)err;
	if (!found->address && !strcmp(key, "TargetAddress"))
		found->address = g_strdup(value);
	return TRUE;
}

static bool is_portal(const char *address)
{
	g_autofree char *host = NULL;
	uint16_t port;
	int tpgt;

	return !text_parse_portal(address, ISCSI_DEFAULT_PORT, &host, &port, &tpgt);
}

/* The portal group tag MUST be omitted in a redirection (13.8); cut off where it is not. */
static gboolean take_redirect(struct login *l, const struct pdu_login_response *r,
			      const uint8_t *data, uint32_t data_bytes)
{
	struct redirect found = { NULL };
	GError *err = NULL;
	char *comma;

	l->is_permanent = r->status_detail == 0x02;
	g_byte_array_append(l->in, data, data_bytes);
	if (keys_split(l->in->data, l->in->len, find_address, &found, &err) && found.address &&
	    is_portal(found.address)) {
		comma = strchr(found.address, ',');
		if (comma)
			*comma = '\0';
		l->redirect = found.address;
		set_state(l, LOGIN_REDIRECTED);
		return FALSE;
	}
	g_clear_error(&err);
	l->pair = found.address ? g_strconcat("TargetAddress=", found.address, NULL) : NULL;
	error_set_errno(&err,
			l->is_permanent ? ISDSC_TARGET_MOVED_PERMANENTLY
					: ISDSC_TARGET_MOVED_TEMPORARILY,
			EPROTO, "the target redirects us (status %04x) and %s", l->status,
			found.address ? "gives an address that is none" : "gives no address");
	g_free(found.address);
	return fail_with(l, 12, err);
}

/* --- the header of a response --- */

static gboolean check_header(struct login *l, const uint8_t *bhs, uint32_t data_bytes)
{
	g_autofree char *what = NULL;
	const char *wrong;

	if (pdu_opcode(bhs) == ISCSI_REJECT) {
		what = g_strdup_printf("the target rejected the Login Request: reason 0x%02x",
				       bhs[2]);
		return fail_protocol(l, 29, what);
	}
	if (pdu_opcode(bhs) == ISCSI_LOGIN_RESPONSE && bhs[3] && !bhs[36]) {
		GError *err = NULL; /* Version-active, and no refusal: 11.13.2 */

		error_set(&err, ISDSC_VERSION_MISMATCH,
			  "the target goes on with version 0x%02x of the protocol, and we offered 0",
			  bhs[3]);
		return fail_with(l, 11, err);
	}
	wrong = pdu_check(bhs, PDU_FROM_TARGET, SEGMENT_MAX);
	if (pdu_opcode(bhs) != ISCSI_LOGIN_RESPONSE)
		wrong = "not a Login Response";
	else if (!wrong && data_bytes != pdu_data_bytes(bhs))
		wrong = "data segment of another length";
	else if (!wrong && pdu_itt(bhs) != l->cfg.itt)
		wrong = "not the Initiator Task Tag of the request";
	if (!wrong)
		return TRUE;
	what = g_strdup_printf("%s during login: %s", pdu_name(bhs[0]), wrong);
	return fail_protocol(l, 11, what);
}

/* Fields that must stay what they were, or be what we sent. NULL or what is wrong. */
static const char *check_echo(const struct login *l, const struct pdu_login_response *r)
{
	unsigned csg =
		l->state == LOGIN_OPERATIONAL ? ISCSI_STAGE_OPERATIONAL : ISCSI_STAGE_SECURITY;
	unsigned nsg = csg == ISCSI_STAGE_SECURITY ? ISCSI_STAGE_OPERATIONAL
						   : ISCSI_STAGE_FULL_FEATURE;

	if (memcmp(r->isid, l->cfg.isid, sizeof(r->isid)))
		return "the target changed the ISID";
	if (l->has_response && r->version_max != l->version_max)
		return "the target changed its Version-max"; /* 11.13.1 */
	if (r->csg != csg)
		return "the target is in another login stage";
	if (r->is_transit && !l->sent_transit)
		return "the target changes the stage unasked"; /* 11.13.6 */
	if (r->is_transit && r->nsg > nsg)
		return "the target goes to a later stage than asked"; /* 6.3 */
	return NULL;
}

/* 11.13.3. A leading login gets its TSIH with the final response; one that comes early is
 * tolerated if it stays the same. Others keep theirs; 0 is tolerated before the final response,
 * where pdu_check() has refused it. */
static const char *check_tsih(const struct login *l, const struct pdu_login_response *r)
{
	uint16_t known = l->cfg.tsih ? l->cfg.tsih : l->tsih;

	return known && r->tsih && r->tsih != known ? "the target changed the TSIH" : NULL;
}

static gboolean check_response(struct login *l, const struct pdu_login_response *r)
{
	const char *wrong;

	/* before anything else: authentication is never skipped */
	if (l->state == LOGIN_SECURITY && l->cfg.auth != AUTH_NONE && r->is_transit &&
	    !l->sent_transit)
		return fail_auth(l, 38, "the target goes on without the CHAP that we want");
	wrong = check_echo(l, r);
	if (!wrong)
		wrong = check_tsih(l, r);
	if (wrong)
		return fail_protocol(l, 11, wrong);
	if (l->has_response && r->stat_sn != l->stat_sn) {
		l->wrong_stat_sn = r->stat_sn;
		return fail_protocol(l, 42, "the StatSN of the login does not count up");
	}
	l->rounds += !r->is_continued;
	l->continuations += r->is_continued;
	l->empty += r->is_continued && !r->data_bytes;
	if (l->rounds > ROUNDS_MAX || l->continuations > CONTINUATIONS_MAX ||
	    l->empty > EMPTY_MAX)
		return fail_protocol(l, 11, "the login does not come to an end");
	l->has_response = true;
	l->version_max = r->version_max;
	l->stat_sn = r->stat_sn + 1;
	l->tsih = r->tsih ? r->tsih : l->tsih;
	l->told_exp_cmd_sn = r->exp_cmd_sn;
	l->told_max_cmd_sn = r->max_cmd_sn;
	if ((int32_t)(r->max_cmd_sn - r->exp_cmd_sn + 1) >= 0) { /* 4.2.2.1 */
		l->exp_cmd_sn = r->exp_cmd_sn;
		l->max_cmd_sn = r->max_cmd_sn;
	}
	return TRUE;
}

/* --- the text of a response --- */

static gboolean refuse_method(struct login *l, unsigned event, GError **err, const char *why)
{
	l->event = event;
	error_set_errno(err, ISDSC_LOGON_FAILED, EACCES, "%s", why);
	return FALSE;
}

static gboolean take_auth_method(struct login *l, const char *value, GError **err)
{
	bool is_reject = !strcmp(value, "Reject") || !strcmp(value, "Irrelevant") ||
			 !strcmp(value, "NotUnderstood");

	if (l->auth_method)
		return refuse_method(l, 13, err, "the target sends AuthMethod twice");
	l->auth_method = g_strdup(value);
	if (!strcmp(value, method_names[l->cfg.auth]))
		return TRUE;
	if (l->cfg.auth == AUTH_NONE && (is_reject || !strcmp(value, "CHAP")))
		return refuse_method(l, 40, err,
				     "the target insists on authentication: log in with "
				     "auth=chap user= secret=");
	if (is_reject || !strcmp(value, "None"))
		return refuse_method(l, 38, err,
				     "the target does not do CHAP, which this login requires");
	return refuse_method(l, 13, err,
			     "the target picked an AuthMethod that we did not offer");
}

static gboolean take_chap_key(struct login *l, const char *key, const char *value, GError **err)
{
	if (!l->chap)
		return refuse_method(l, 40, err,
				     "the target insists on CHAP: log in with auth=chap user= "
				     "secret=");
	if (chap_receive(l->chap, key, value, err))
		return TRUE;
	l->event = chap_event(l->chap);
	return FALSE;
}

static gboolean take_key(void *arg, const char *key, const char *value, GError **err)
{
	struct login *l = arg;
	bool is_security = l->state == LOGIN_SECURITY;
	gboolean is_ok;

	if (is_security && !strcmp(key, "AuthMethod"))
		is_ok = take_auth_method(l, value, err);
	else if (is_security && g_str_has_prefix(key, "CHAP_"))
		is_ok = take_chap_key(l, key, value, err);
	else
		is_ok = keys_receive(l->keys, key, value, l->is_last ? NULL : l->replies, err);
	if (is_ok)
		return TRUE;
	l->pair = g_strconcat(key, "=", value, NULL);
	if (!l->event)
		l->event = keys_event(l->keys);
	return FALSE;
}

/* What comes in answer to a request with the C bit has no text (6.2), nor the C bit itself. */
static gboolean check_answer(struct login *l, const struct pdu_login_response *r)
{
	if (l->sent_continued && (r->data_bytes || r->is_continued))
		return fail_protocol(l, 11, "the target answers a text that is not complete");
	return TRUE;
}

/* Collect the text; *ret_is_complete when this response ends it and its keys have been taken.
 */
static gboolean take_text(struct login *l, const struct pdu_login_response *r,
			  const uint8_t *data, bool *ret_is_complete)
{
	GError *err = NULL;

	*ret_is_complete = false;
	if (r->data_bytes > TEXT_MAX - l->in->len)
		return fail_protocol(l, 11, "the target sends too much text");
	g_byte_array_append(l->in, data, r->data_bytes);
	l->is_continued = r->is_continued;
	l->is_last = r->is_transit;
	if (l->is_continued || l->sent_continued)
		return TRUE;
	if (!keys_split(l->in->data, l->in->len, take_key, l, &err))
		return fail_with(l, l->event ? l->event : 11, err);
	wipe_text(l->in);
	g_byte_array_set_size(l->in, 0);
	*ret_is_complete = true;
	return TRUE;
}

/* --- the end of a turn, of a stage, of the login --- */

static gboolean check_chap(struct login *l, bool is_transit)
{
	GError *err = NULL;

	if (!l->auth_method)
		return fail_auth(l, 41, "the target did not answer AuthMethod=CHAP");
	if (!chap_step_done(l->chap, &err))
		return fail_with(l, chap_event(l->chap), err);
	if (is_transit && !chap_is_authenticated(l->chap))
		return fail_auth(l, 38, "the target goes on before CHAP is through");
	return TRUE;
}

static gboolean finish(struct login *l)
{
	const struct keys_wishes *w = &l->cfg.wishes;
	const char *missing = keys_unsettled(l->keys);
	struct keys_values v;
	g_autofree char *what = NULL;

	keys_values(l->keys, &v);
	if (w->header_digest == DIGEST_YES && !v.header_digest)
		return fail_protocol(l, 18,
				     "HeaderDigest is required here and was not agreed on");
	if (w->data_digest == DIGEST_YES && !v.data_digest)
		return fail_protocol(l, 19,
				     "DataDigest is required here and was not agreed on");
	/* 6.2 demands an answer. In a discovery session nothing hangs on it. */
	if (missing && l->cfg.type == KEYS_NORMAL) {
		what = g_strdup_printf("the target ended the login without an answer to %s",
				       missing);
		return fail_protocol(l, 11, what);
	}
	l->event = (int32_t)(l->told_max_cmd_sn - l->told_exp_cmd_sn) < 0
			   ? 3
			   : keys_warning(l->keys);
	set_state(l, LOGIN_FULL_FEATURE);
	return TRUE;
}

static gboolean end_turn(struct login *l, const struct pdu_login_response *r)
{
	if (l->state == LOGIN_SECURITY && l->cfg.auth != AUTH_NONE &&
	    !check_chap(l, r->is_transit))
		return FALSE;
	if (!r->is_transit)
		return TRUE;
	if (r->nsg == ISCSI_STAGE_FULL_FEATURE)
		return finish(l);
	keys_set_stage(l->keys, KEYS_OPERATIONAL);
	set_state(l, LOGIN_OPERATIONAL);
	return TRUE;
}

gboolean login_response(struct login *l, const uint8_t *bhs, const uint8_t *data,
			uint32_t data_bytes)
{
	struct pdu_login_response r;
	bool is_complete;

	assert(l->state == LOGIN_SECURITY || l->state == LOGIN_OPERATIONAL);
	memcpy(l->header, bhs, sizeof(l->header));
	l->has_header = true;
	if (!check_header(l, bhs, data_bytes))
		return FALSE;
	pdu_get_login_response(bhs, &r);
	l->status = r.status_class << 8 | r.status_detail;
	if (l->config_error)
		return fail_with(l, 0, g_steal_pointer(&l->config_error));
	if (r.status_class == 1)
		return take_redirect(l, &r, data, data_bytes);
	if (r.status_class)
		return take_refusal(l, &r);
	if (!check_response(l, &r) || !check_answer(l, &r) ||
	    !take_text(l, &r, data, &is_complete))
		return FALSE;
	return !is_complete || end_turn(l, &r);
}

void login_result(const struct login *l, struct login_result *ret)
{
	assert(l->state == LOGIN_FULL_FEATURE);
	keys_values(l->keys, &ret->values);
	ret->tsih = l->tsih;
	ret->exp_stat_sn = l->stat_sn;
	ret->exp_cmd_sn = l->exp_cmd_sn;
	ret->max_cmd_sn = l->max_cmd_sn;
}

void login_print(const struct login *l, GString *out)
{
	g_autofree char *picked = NULL;

	if (l->auth_method)
		picked = text_escape(l->auth_method, strlen(l->auth_method), 64);
	g_string_append_printf(out, "AuthMethod %s %s\n", method_names[l->cfg.auth],
			       picked ? picked : "-");
	if (l->chap)
		chap_print(l->chap, out);
	keys_print(l->keys, out);
}
