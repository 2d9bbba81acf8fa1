/* SPDX-License-Identifier: BSD-2-Clause */
/* A login played by hand, for test_login.c and test_login_chap.c: the test is the target. Texts
 *are written with a blank for each NUL.
 *
 *	struct play p = begin(&cfg);                  the first request is in p.req and p.said
 *	transit(&p, "AuthMethod=None");               a response; the next request is there then
 *	finish(&p), or check_failed(&p, ...)          ends it
 */
#ifndef ISCSIFS_LOGIN_PLAY_H
#define ISCSIFS_LOGIN_PLAY_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "iscsi/login.h"
#include "iscsi/pdu.h"
#include "unit.h"

#define ISID                                       \
	{                                          \
		0x80, 0x12, 0x34, 0x56, 0x00, 0x01 \
	}
#define INITIATOR "iqn.2001-04.com.example:host"
#define TARGET "iqn.2001-04.com.example:disk"
#define TSIH 0x0777
#define ITT 0x4711
#define CMD_SN 123

/* The answers of a target that takes what we offer, and its declaration. */
#define ANSWERS                                                             \
	"HeaderDigest=None DataDigest=None MaxConnections=1 InitialR2T=No " \
	"ImmediateData=Yes MaxBurstLength=262144 FirstBurstLength=65536 "   \
	"DefaultTime2Wait=2 DefaultTime2Retain=20 MaxOutstandingR2T=1 "     \
	"DataPDUInOrder=Yes DataSequenceInOrder=Yes ErrorRecoveryLevel=0 "  \
	"MaxRecvDataSegmentLength=8192 "

static struct chap_config chap = {
	.user = (char *)"tom",
	.secret = (uint8_t *)"secretsecret12",
	.secret_bytes = 14,
	.user_in = (char *)"jerry",
	.secret_in = (uint8_t *)"mutualsecret34",
	.secret_in_bytes = 14,
};

static inline struct login_config config(enum auth_method auth)
{
	struct login_config cfg = {
		.type = KEYS_NORMAL,
		.initiator_name = INITIATOR,
		.target_name = TARGET,
		.isid = ISID,
		.cid = 5,
		.cmd_sn = CMD_SN,
		.itt = ITT,
		.auth = auth,
		.chap = auth == AUTH_NONE ? NULL : &chap,
	};

	keys_wishes_default(&cfg.wishes);
	return cfg;
}

/* One login and the last request of it; the next response is prepared in rsp. */
struct play {
	struct login *l;
	uint8_t bhs[ISCSI_BHS_BYTES];
	struct pdu_login_request req;
	char *said;
	struct pdu_login_response rsp;
	bool has_wrong_length; /* of the data segment */
};

static inline void take_request(struct play *p)
{
	const uint8_t *data;
	uint32_t bytes;

	login_request(p->l, p->bhs, &data, &bytes);
	CU_ASSERT_PTR_NULL(pdu_check_strict(p->bhs, PDU_FROM_INITIATOR, 8192));
	pdu_get_login_request(p->bhs, &p->req);
	CU_ASSERT_EQUAL(p->req.data_bytes, bytes);
	CU_ASSERT_EQUAL(p->req.itt, ITT);
	g_free(p->said);
	p->said = bytes ? g_strndup((const char *)data, bytes) : g_strdup("");
	for (uint32_t i = 0; i < bytes; i++)
		p->said[i] = data[i] ? (char)data[i] : ' ';
}

static inline struct play begin(const struct login_config *cfg)
{
	struct play p = { .l = login_new(cfg) };

	CU_ASSERT_EQUAL(login_state(p.l), LOGIN_START);
	take_request(&p);
	CU_ASSERT_EQUAL(login_state(p.l), LOGIN_SECURITY);
	p.rsp = (struct pdu_login_response){
		.isid = ISID,
		.itt = ITT,
		.tsih = cfg->tsih,
		.stat_sn = 1000,
		.exp_cmd_sn = cfg->cmd_sn,
		.max_cmd_sn = cfg->cmd_sn + 63,
	};
	return p;
}

static inline void end(struct play *p)
{
	login_free(p->l);
	g_free(p->said);
}

/* Send rsp with these bytes; take the next request where there is one. */
static inline gboolean send_bytes(struct play *p, const char *text, size_t len)
{
	uint8_t bhs[ISCSI_BHS_BYTES];
	g_autofree uint8_t *copy = g_malloc(len ? len : 1); /* of its own, for ASan */
	gboolean goes_on;

	memcpy(copy, text, len);
	p->rsp.data_bytes = (uint32_t)len;
	pdu_put_login_response(bhs, &p->rsp);
	goes_on = login_response(p->l, bhs, copy, (uint32_t)len + p->has_wrong_length);
	p->rsp.stat_sn++;
	CU_ASSERT_EQUAL(goes_on, login_state(p->l) != LOGIN_FAILED &&
					 login_state(p->l) != LOGIN_REDIRECTED);
	CU_ASSERT_EQUAL(login_state(p->l) == LOGIN_FAILED, login_error(p->l) != NULL);
	if (goes_on && login_state(p->l) != LOGIN_FULL_FEATURE)
		take_request(p);
	return goes_on;
}

static inline gboolean send_text(struct play *p, const char *text)
{
	g_autofree char *copy =
		*text ? g_strconcat(text, g_str_has_suffix(text, " ") ? "" : " ", NULL)
		      : g_strdup("");

	return send_bytes(p, g_strdelimit(copy, " ", '\0'),
			  strlen(text) + (*text && !g_str_has_suffix(text, " ")));
}

/* A response with T=0 ... */
static inline gboolean partial(struct play *p, const char *text)
{
	p->rsp.csg = p->req.csg;
	p->rsp.is_transit = p->rsp.is_continued = false;
	p->rsp.nsg = 0;
	return send_text(p, text);
}

/* ... with C=1 ... */
static inline gboolean continued(struct play *p, const char *text, size_t len)
{
	p->rsp.csg = p->req.csg;
	p->rsp.is_transit = false;
	p->rsp.is_continued = true;
	p->rsp.nsg = 0;
	return send_bytes(p, text, len);
}

/* ... and one that goes to the next stage. */
static inline gboolean transit(struct play *p, const char *text)
{
	p->rsp.csg = p->req.csg;
	p->rsp.is_transit = true;
	p->rsp.is_continued = false;
	p->rsp.nsg = p->req.csg ? ISCSI_STAGE_FULL_FEATURE : ISCSI_STAGE_OPERATIONAL;
	if (p->rsp.nsg == ISCSI_STAGE_FULL_FEATURE && !p->rsp.tsih)
		p->rsp.tsih = TSIH;
	return send_text(p, text);
}

static inline void check_request(const struct play *p, bool is_transit, unsigned csg,
				 const char *said)
{
	CU_ASSERT_EQUAL(p->req.is_transit, is_transit);
	CU_ASSERT_EQUAL(p->req.csg, csg);
	CU_ASSERT_EQUAL(p->req.nsg, !is_transit ? 0 : csg ? 3 : 1);
	if (said && strcmp(p->said, said))
		printf("said \"%s\" instead of \"%s\"\n", p->said, said);
	if (said)
		CU_ASSERT_STRING_EQUAL(p->said, said);
}

static inline void check_failed(struct play *p, int code, int errno_value, unsigned event,
				const char *want)
{
	const GError *err = login_error(p->l);

	CU_ASSERT_EQUAL(login_state(p->l), LOGIN_FAILED);
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	CU_ASSERT_EQUAL(err->code, code);
	CU_ASSERT_EQUAL(error_errno(err), errno_value);
	CU_ASSERT_EQUAL(login_event(p->l, NULL), event);
	CU_ASSERT_PTR_NULL(strstr(err->message, "secret12"));
	if (!strstr(err->message, want))
		printf("\"%s\" instead of \"%s\"\n", err->message, want);
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, want));
	end(p);
}

static inline void check_protocol_failure(struct play *p, unsigned event, const char *want)
{
	check_failed(p, ISDSC_LOGIN_FAILED, EPROTO, event, want);
}

/* A login without CHAP up to the operational stage: our keys are out. */
static inline struct play begin_operational(const struct login_config *cfg)
{
	struct play p = begin(cfg);

	CU_ASSERT_TRUE(transit(&p, "TargetPortalGroupTag=1 AuthMethod=None"));
	CU_ASSERT_EQUAL(login_state(p.l), LOGIN_OPERATIONAL);
	return p;
}

static inline void finish(struct play *p)
{
	CU_ASSERT_EQUAL(login_state(p->l), LOGIN_FULL_FEATURE);
	CU_ASSERT_PTR_NULL(login_error(p->l));
	end(p);
}

#endif
