/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to keys.c and keytable.c: what a text key is (a row), what each kind of key does (its
 * functions), and the negotiation they work on. */
#ifndef ISCSIFS_KEYTABLE_H
#define ISCSIFS_KEYTABLE_H

#include "iscsi/keys.h"

enum key_flags {
	KEY_LEADING = 1,	  /* use LO: settled by the leading login for the session */
	KEY_ANY_STAGE = 2,	  /* may come in the security stage */
	KEY_ALL = 4,		  /* use ALL: may come in full feature phase too */
	KEY_REPEATS = 8,	  /* may come more than once */
	KEY_OFFER = 16,		  /* we offer it in a normal session ... */
	KEY_OFFER_DISCOVERY = 32, /* ... in a discovery session */
	KEY_IRRELEVANT = 64,	  /* Irrelevant when SessionType=Discovery */
	KEY_NOT_HERE = 128,	  /* a target never sends it in a negotiation */
	KEY_REFUSABLE = 256,	  /* ours, and no harm when the target does not want it */
};

/* What lies at the offsets of a row. */
enum key_store { KEY_STORES_NOTHING, KEY_STORES_NUMBER, KEY_STORES_FLAG, KEY_STORES_DIGEST };

struct key_row {
	const char *name;
	const struct key_kind *kind;
	unsigned flags;
	size_t wish, value;	   /* offsets in keys_wishes and keys_values */
	uint32_t min, max, preset; /* preset: the RFC's default */
	const char *text;	   /* fixed answer, or the one list value we can do */
	unsigned event;	 /* of the users' guide, when a value we insist on is refused */
	const char *rfc; /* section */
};

struct key_kind {
	const char *result; /* the RFC's result function, for people */
	enum key_store store;
	/* Our offer as text; NULL: never offered. */
	void (*offer)(const struct keys *k, const struct key_row *row, GString *text);
	/* Take the target's answer to our offer; NULL: what we offer is a declaration, it has
	 * none. */
	gboolean (*accept)(struct keys *k, const struct key_row *row, const char *value,
			   GError **err);
	/* Take what the target proposes or declares; *answer stays empty where none is due. */
	gboolean (*answer)(struct keys *k, const struct key_row *row, const char *value,
			   GString *answer, GError **err);
	/* The value in force as text; NULL: has none. */
	void (*show)(const struct keys_values *v, const struct key_row *row, GString *text);
	/* The target refuses to negotiate: is the default good enough? NULL: it is. */
	gboolean (*refused)(struct keys *k, const struct key_row *row, const char *value,
			    GError **err);
	/* A proposal of this value needs no answer (6.2.2), from either side; NULL: none does.
	 */
	const char *decides;
};

#define KEYTABLE_ROWS 35
extern const struct key_row keytable[KEYTABLE_ROWS];

/* One negotiation. */
struct keys {
	enum keys_session type;
	enum keys_stage stage;
	struct keys_wishes wishes;
	struct keys_values values;
	bool has_session; /* session-wide values are agreed on: in session */
	struct keys_values session;
	uint8_t state[KEYTABLE_ROWS];
	GHashTable *unknown; /* names of keys that are none of ours, to see one come twice */
	unsigned event;
};

/* Set @err to "KEY=VALUE: why", the value escaped; always FALSE. */
gboolean keytable_wrong(GError **err, const char *key, const char *value, const char *why);

/* Session-wide, and the session has its value. */
static inline bool keytable_is_fixed(const struct keys *k, const struct key_row *row)
{
	return k->has_session && (row->flags & KEY_LEADING);
}

static inline uint32_t *keytable_wish_number(struct keys_wishes *w, const struct key_row *row)
{
	return (uint32_t *)((char *)w + row->wish);
}

static inline bool *keytable_wish_flag(struct keys_wishes *w, const struct key_row *row)
{
	return (bool *)((char *)w + row->wish);
}

static inline uint32_t keytable_number(const struct keys_values *v, const struct key_row *row)
{
	return *(const uint32_t *)((const char *)v + row->value);
}

static inline bool keytable_flag(const struct keys_values *v, const struct key_row *row)
{
	return *(const bool *)((const char *)v + row->value);
}

/* Neither touches a value that is fixed. */
void keytable_set_number(struct keys *k, const struct key_row *row, uint32_t number);
void keytable_set_flag(struct keys *k, const struct key_row *row, bool flag);

#endif
