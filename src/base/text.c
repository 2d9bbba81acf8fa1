/* SPDX-License-Identifier: BSD-2-Clause */
/* Text helpers of the control path; text.h is the manual. Everything here reads input that a
 * user, a file or a peer wrote: nothing is trusted, no locale is asked. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define HOST_MAX 253 /* a DNS name (RFC 1035 2.3.4) */
#define LABEL_MAX 63 /* and each part of it */
#define ZONE_MAX 15  /* IFNAMSIZ - 1 */

/* ---- numbers ---- */

/* The digits of @s up to its end in @base. */
static int parse_digits(const char *s, unsigned base, uint64_t *ret_value)
{
	uint64_t value = 0;
	bool is_over = false;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		int digit = g_ascii_xdigit_value(*s);

		if (digit < 0 || (unsigned)digit >= base)
			return -EINVAL;
		is_over |= __builtin_mul_overflow(value, (uint64_t)base, &value);
		is_over |= __builtin_add_overflow(value, (uint64_t)digit, &value);
	}
	if (is_over)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

static int parse_in_range(const char *s, unsigned base, uint64_t min, uint64_t max,
			  uint64_t *ret_value)
{
	uint64_t value;
	int r = parse_digits(s, base, &value);

	if (r < 0)
		return r;
	if (value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int text_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	bool is_hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');

	return parse_in_range(is_hex ? s + 2 : s, is_hex ? 16 : 10, min, max, ret_value);
}

int text_parse_bool(const char *s, bool *ret_value)
{
	static const struct {
		const char *name;
		bool value;
	} names[] = {
		{ "yes", true },  { "no", false },    { "on", true }, { "off", false },
		{ "true", true }, { "false", false }, { "1", true },  { "0", false },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		if (g_ascii_strcasecmp(s, names[i].name) == 0) {
			*ret_value = names[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

int text_parse_seconds(const char *s, int64_t max_ms, int64_t *ret_ms)
{
	int64_t ms = 0, unit = 1000;
	bool is_over = false, has_rest = false;

	if (!g_ascii_isdigit(*s))
		return -EINVAL;
	for (; g_ascii_isdigit(*s); s++) {
		is_over |= __builtin_mul_overflow(ms, (int64_t)10, &ms);
		is_over |= __builtin_add_overflow(ms, (int64_t)(*s - '0') * 1000, &ms);
	}
	if (*s == '.') {
		if (!g_ascii_isdigit(*++s))
			return -EINVAL;
		for (; g_ascii_isdigit(*s); s++) {
			unit /= 10;
			has_rest |= !unit && *s != '0';
			is_over |= __builtin_add_overflow(ms, (*s - '0') * unit, &ms);
		}
	}
	if (*s)
		return -EINVAL;
	/* Upwards, so that a short time never becomes none. */
	is_over |= __builtin_add_overflow(ms, (int64_t)has_rest, &ms);
	if (is_over || ms > max_ms)
		return -ERANGE;
	*ret_ms = ms;
	return 0;
}

/* ---- portals ---- */

/* Letters, digits, - and _ in labels that do not begin or end with -; not all digits at the
 * end, since that is a wrong IPv4 address. A dot at the end is allowed. */
static bool is_dns_name(const char *s, size_t len)
{
	size_t label = 0;
	bool is_numeric = true;

	if (len && s[len - 1] == '.')
		len--;
	if (!len || len > HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '.') {
			if (!label || s[i - 1] == '-')
				return false;
			label = 0;
			is_numeric = true;
			continue;
		}
		if (!g_ascii_isalnum(s[i]) && s[i] != '_' && (s[i] != '-' || !label))
			return false;
		is_numeric &= g_ascii_isdigit(s[i]);
		if (++label > LABEL_MAX)
			return false;
	}
	return label && s[len - 1] != '-' && !is_numeric;
}

/* %eth0 of fe80::1%eth0: an interface name or number. */
static bool is_zone(const char *s)
{
	size_t len = strlen(s);

	if (!len || len > ZONE_MAX)
		return false;
	for (; *s; s++)
		if (!g_ascii_isalnum(*s) && !strchr("._-", *s))
			return false;
	return true;
}

/* The canonical spelling (RFC 5952) of an IPv6 address, zone kept; NULL when it is none. */
static char *parse_ipv6(const char *s, size_t len)
{
	char buf[INET6_ADDRSTRLEN + 1 + ZONE_MAX + 1], canonical[INET6_ADDRSTRLEN];
	struct in6_addr addr;
	char *zone;

	if (len >= sizeof(buf))
		return NULL;
	memcpy(buf, s, len);
	buf[len] = '\0';
	zone = strchr(buf, '%');
	if (zone) {
		*zone++ = '\0';
		if (!is_zone(zone))
			return NULL;
	}
	if (inet_pton(AF_INET6, buf, &addr) != 1 ||
	    !inet_ntop(AF_INET6, &addr, canonical, sizeof(canonical)))
		return NULL;
	return zone ? g_strconcat(canonical, "%", zone, NULL) : g_strdup(canonical);
}

/* IPv4 or DNS name. */
static char *parse_host(const char *s, size_t len)
{
	char buf[INET_ADDRSTRLEN];
	struct in_addr addr;

	if (len < sizeof(buf)) {
		memcpy(buf, s, len);
		buf[len] = '\0';
		if (inet_pton(AF_INET, buf, &addr) == 1)
			return g_strdup(buf);
	}
	if (!is_dns_name(s, len))
		return NULL;
	return g_ascii_strdown(s, (gssize)(s[len - 1] == '.' ? len - 1 : len));
}

/* The host at the start of @s; *ret_rest is what follows it: nothing or ":PORT". */
static char *parse_address(const char *s, const char **ret_rest)
{
	const char *end;

	if (*s == '[') {
		end = strchr(s, ']');
		*ret_rest = end ? end + 1 : NULL;
		return end ? parse_ipv6(s + 1, (size_t)(end - s - 1)) : NULL;
	}
	end = strchr(s, ':');
	if (end && strchr(end + 1, ':')) {
		*ret_rest = s + strlen(s);
		return parse_ipv6(s, strlen(s));
	}
	if (!end)
		end = s + strlen(s);
	*ret_rest = end;
	return parse_host(s, (size_t)(end - s));
}

int text_parse_portal(const char *s, uint16_t default_port, char **ret_host, uint16_t *ret_port,
		      int *ret_tpgt)
{
	const char *comma = strchr(s, ','), *rest;
	g_autofree char *address = comma ? g_strndup(s, (gsize)(comma - s)) : g_strdup(s);
	g_autofree char *host = parse_address(address, &rest);
	uint64_t port = default_port, tpgt = 0;
	int r;

	if (!host || (*rest && *rest != ':'))
		return -EINVAL;
	if (*rest) {
		r = parse_in_range(rest + 1, 10, 1, UINT16_MAX, &port);
		if (r < 0)
			return r;
	}
	if (comma) {
		r = text_parse_u64(comma + 1, 0, UINT16_MAX, &tpgt);
		if (r < 0)
			return r;
	}
	*ret_host = g_steal_pointer(&host);
	*ret_port = (uint16_t)port;
	*ret_tpgt = comma ? (int)tpgt : -1;
	return 0;
}

char *text_format_portal(const char *host, uint16_t port)
{
	return g_strdup_printf(strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

/* ---- names ---- */

/* What is wrong with "YYYY-MM.domain[:text]"; NULL when nothing is. */
static const char *iqn_fault(const char *s)
{
	const char *domain_end;
	size_t len;
	int month;

	for (size_t i = 0; i < 8; i++) {
		bool is_fit = i == 4   ? s[i] == '-'
			      : i == 7 ? s[i] == '.'
				       : g_ascii_isdigit(s[i]);

		if (!is_fit)
			return "iqn. must be followed by a date YYYY-MM and a dot";
	}
	month = (s[5] - '0') * 10 + s[6] - '0';
	if (month < 1 || month > 12)
		return "the month after iqn. must be 01 to 12";
	s += 8;
	domain_end = strchr(s, ':');
	len = domain_end ? (size_t)(domain_end - s) : strlen(s);
	if (!len)
		return "the domain name after the date is missing";
	for (size_t i = 0; i < len; i++)
		if (s[i] == '.' && (i == 0 || i == len - 1 || s[i - 1] == '.'))
			return "the domain name after the date has an empty part";
	return NULL;
}

static const char *hex_fault(const char *s, size_t digits, size_t other_digits,
			     const char *fault)
{
	size_t len = strspn(s, "0123456789abcdef");

	return s[len] || (len != digits && len != other_digits) ? fault : NULL;
}

/* @s is lower case. */
static const char *name_fault(const char *s)
{
	size_t len = strlen(s);

	if (!len)
		return "it is empty";
	if (len > ISCSI_NAME_MAX)
		return "it is longer than 223 bytes";
	if (s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-:")])
		return "it has a character other than a-z, 0-9, '.', '-' and ':'";
	if (g_str_has_prefix(s, "iqn."))
		return iqn_fault(s + 4);
	if (g_str_has_prefix(s, "eui."))
		return hex_fault(s + 4, 16, 16, "eui. must be followed by 16 hex digits");
	if (g_str_has_prefix(s, "naa."))
		return hex_fault(s + 4, 16, 32, "naa. must be followed by 16 or 32 hex digits");
	return "it does not begin with iqn., eui. or naa.";
}

/* RFC 3454 B.1, commonly mapped to nothing. */
static bool is_nothing(gunichar c)
{
	return c == 0x00ad || c == 0x034f || c == 0x1806 || (c >= 0x180b && c <= 0x180d) ||
	       (c >= 0x200b && c <= 0x200d) || c == 0x2060 || (c >= 0xfe00 && c <= 0xfe0f) ||
	       c == 0xfeff;
}

/* RFC 3722: B.1 (nothing), B.2 (case), normalisation form KC; what is prohibited there is not among
 * the characters that name_fault() lets pass. NULL: no UTF-8, or too long to become a name. */
static char *prepare_name(const char *s)
{
	size_t len = strlen(s);
	g_autoptr(GString) mapped = g_string_new(NULL);
	g_autofree char *folded = NULL, *once = NULL;

	if (g_str_is_ascii(s))
		return g_ascii_strdown(s, -1);
	if (len > 4 * ISCSI_NAME_MAX || !g_utf8_validate(s, (gssize)len, NULL))
		return NULL;
	for (const char *c = s; *c; c = g_utf8_next_char(c))
		if (!is_nothing(g_utf8_get_char(c)))
			g_string_append_unichar(mapped, g_utf8_get_char(c));
	once = g_utf8_normalize(mapped->str, -1, G_NORMALIZE_NFKC);
	folded = g_utf8_casefold(once, -1);
	return g_utf8_normalize(folded, -1, G_NORMALIZE_NFKC);
}

char *text_iscsi_name(const char *s, GError **err)
{
	g_autofree char *name = prepare_name(s);
	const char *fault = name ? name_fault(name) : "it is no UTF-8, or too long";

	if (fault) {
		g_autofree char *shown = text_escape(s, strlen(s), ISCSI_NAME_MAX);

		error_set(err, ISDSC_INVALID_ISCSI_NAME, "'%s' is not an iSCSI name: %s", shown,
			  fault);
		return NULL;
	}
	return g_steal_pointer(&name);
}

/* ---- binary values ---- */

/* 0, or -EINVAL at the first byte that is no hex digit. @out holds (@digits + 1) / 2 bytes. */
static int decode_hex(const char *s, size_t digits, uint8_t *out)
{
	size_t at = digits & 1; /* an odd length: as if a zero came first */

	for (size_t i = 0; i < digits; i++, at++) {
		int digit = g_ascii_xdigit_value(s[i]);

		if (digit < 0)
			return -EINVAL;
		out[at / 2] = (uint8_t)(out[at / 2] << 4 | digit);
	}
	return 0;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* @digits without the padding; the bits that are left over must be zero (RFC 4648 3.5). */
static int decode_base64(const char *s, size_t digits, uint8_t *out)
{
	uint32_t bits = 0;
	unsigned count = 0;

	for (size_t i = 0; i < digits; i++) {
		int value = base64_value(s[i]);

		if (value < 0)
			return -EINVAL;
		bits = (bits << 6 | (uint32_t)value) & 0xffff;
		count += 6;
		if (count >= 8) {
			count -= 8;
			*out++ = (uint8_t)(bits >> count);
		}
	}
	return bits & ((1u << count) - 1) ? -EINVAL : 0;
}

/* Digits of @s without padding and the bytes that they make; false for a wrong length. */
static bool base64_measure(const char *s, size_t *ret_digits, size_t *ret_bytes)
{
	size_t len = strlen(s), padding = 0;

	if (!len || len % 4)
		return false;
	while (padding < 2 && s[len - 1 - padding] == '=')
		padding++;
	*ret_digits = len - padding;
	*ret_bytes = len / 4 * 3 - padding;
	return true;
}

static uint8_t *decode_failed(int error, int *ret_error)
{
	*ret_error = error;
	return NULL;
}

uint8_t *text_decode_binary(const char *s, size_t max, size_t *ret_len, int *ret_error)
{
	bool is_hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	bool is_base64 = s[0] == '0' && (s[1] == 'b' || s[1] == 'B');
	size_t digits, len;
	uint8_t *out;
	int r;

	if (!is_hex && !is_base64)
		return decode_failed(-EINVAL, ret_error);
	s += 2;
	if (is_hex) {
		digits = strlen(s);
		len = digits / 2 + digits % 2;
	} else if (!base64_measure(s, &digits, &len)) {
		return decode_failed(-EINVAL, ret_error);
	}
	if (!digits)
		return decode_failed(-EINVAL, ret_error);
	if (len > max)
		return decode_failed(-ERANGE, ret_error);
	out = g_malloc0(len);
	r = is_hex ? decode_hex(s, digits, out) : decode_base64(s, digits, out);
	if (r < 0) {
		text_wipe(out, len);
		g_free(out);
		return decode_failed(r, ret_error);
	}
	*ret_len = len;
	return out;
}

char *text_encode_hex(const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;
	char *s = g_malloc(2 + 2 * len + 1), *out = s;

	*out++ = '0';
	*out++ = 'x';
	for (size_t i = 0; i < len; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
	return s;
}

/* ---- bytes from outside ---- */

static bool is_printable(uint8_t c)
{
	return c >= 0x20 && c < 0x7f;
}

char *text_escape(const void *data, size_t len, size_t max)
{
	const uint8_t *p = data;
	size_t shown = MIN(len, max);
	GString *out = g_string_sized_new(shown + 4);

	for (size_t i = 0; i < shown; i++) {
		if (is_printable(p[i]) && p[i] != '\\' && p[i] != '"')
			g_string_append_c(out, (char)p[i]);
		else
			g_string_append_printf(out, "\\x%02x", p[i]);
	}
	if (len > max)
		g_string_append(out, "...");
	return g_string_free(out, FALSE);
}

/* Bytes of the printable character at @s, of which @left remain; 0 when it must be escaped. */
static size_t printable_bytes(const char *s, size_t left)
{
	gunichar c;

	if ((unsigned char)*s < 0x80)
		return is_printable((uint8_t)*s);
	c = g_utf8_get_char_validated(s, (gssize)left);
	if (c == (gunichar)-1 || c == (gunichar)-2 || !g_unichar_isprint(c))
		return 0;
	return (size_t)(g_utf8_next_char(s) - s);
}

void text_plain(const char *s, size_t len, char *out, size_t size)
{
	const char *end = s + len;
	size_t at = 0, cut = 0; /* @cut: what still fits with "..." behind it */

	while (s < end) {
		size_t n = printable_bytes(s, (size_t)(end - s)), need = n ? n : 4;

		if (at + need >= size) {
			memcpy(out + cut, "...", 3);
			at = cut + 3;
			break;
		}
		if (n)
			memcpy(out + at, s, n);
		else
			sprintf(out + at, "\\x%02x", (unsigned char)*s);
		at += need;
		s += n ? n : 1;
		if (at + 3 < size)
			cut = at;
	}
	out[at] = '\0';
}

char *text_from_scsi(const void *data, size_t len)
{
	const uint8_t *p = data;
	char *s;

	while (len && (p[len - 1] == ' ' || p[len - 1] == '\0'))
		len--;
	s = g_malloc(len + 1);
	for (size_t i = 0; i < len; i++)
		s[i] = is_printable(p[i]) ? (char)p[i] : '?';
	s[len] = '\0';
	return s;
}

/* ---- control lines ---- */

/* The escape whose backslash is at @s: the byte it stands for, and its length; NULL or what is
 * wrong with it. */
static const char *read_escape(const char *s, char *ret_byte, size_t *ret_len)
{
	int high, low;

	if (s[1] == '\\' || s[1] == '"') {
		*ret_byte = s[1];
		*ret_len = 2;
		return NULL;
	}
	if (s[1] != 'x')
		return "only \\xNN, \\\\ and \\\" may follow a backslash";
	high = g_ascii_xdigit_value(s[2]);
	low = high < 0 ? -1 : g_ascii_xdigit_value(s[3]);
	if (low < 0)
		return "\\x must be followed by two hex digits";
	if (!high && !low)
		return "\\x00 cannot be part of a word";
	*ret_byte = (char)(high << 4 | low);
	*ret_len = 4;
	return NULL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* One word from *@at, moved behind it, to @out (room for the line and a NUL). NULL, or what is
 * wrong at *@at. */
static const char *read_word(const char **at, char *out)
{
	const char *s = *at, *fault = NULL;
	bool is_quoted = false;
	size_t len = 1;

	for (; *s && (is_quoted || !is_blank(*s)); s += len) {
		len = 1;
		if (*s == '"') {
			is_quoted = !is_quoted;
		} else if (*s == '\\') {
			fault = read_escape(s, out, &len);
			out++;
		} else if (g_ascii_iscntrl(*s)) {
			fault = "control characters must be written as \\xNN";
		} else {
			*out++ = *s;
		}
		if (fault)
			break;
	}
	if (!fault && is_quoted)
		fault = "a quote is not closed";
	*out = '\0';
	*at = s;
	return fault;
}

/* Takes what of @words was made: it may hold secrets. */
static void free_words(GPtrArray *words)
{
	for (guint i = 0; i < words->len; i++)
		text_free_secret(words->pdata[i]);
	g_ptr_array_free(words, TRUE);
}

char **text_split_words(const char *line, GError **err)
{
	size_t buf_bytes = strlen(line) + 1;
	char *buf = g_malloc(buf_bytes); /* one word; none is longer than the line */
	GPtrArray *words = g_ptr_array_new();
	const char *s = line, *fault = NULL;

	for (;;) {
		while (is_blank(*s))
			s++;
		if (!*s || *s == '#')
			break;
		fault = read_word(&s, buf);
		if (fault)
			break;
		g_ptr_array_add(words, g_strdup(buf));
	}
	text_wipe(buf, buf_bytes);
	g_free(buf);
	if (fault) {
		free_words(words);
		error_set(err, ISDSC_INVALID_PARAMETER, "column %zu: %s",
			  (size_t)(s - line) + 1, fault);
		return NULL;
	}
	g_ptr_array_add(words, NULL);
	return (char **)g_ptr_array_free(words, FALSE);
}

/* ---- secrets ---- */

void text_wipe(void *p, size_t len)
{
	if (p)
		explicit_bzero(p, len);
}

void text_free_secret(char *s)
{
	if (!s)
		return;
	text_wipe(s, strlen(s));
	g_free(s);
}
