/* SPDX-License-Identifier: BSD-2-Clause */
/* Small text helpers for the control path: numbers, booleans, addresses, names, hex and base64,
 * escaping. All input may be hostile; every function checks everything and writes its outputs
 * only on success. 0 or -errno (-EINVAL grammar, -ERANGE bounds) where not said otherwise. */
#ifndef ISCSIFS_TEXT_H
#define ISCSIFS_TEXT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Whole string, decimal or 0x hex, no sign, no blanks. */
int text_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value);
/* "yes" or "no", as the tree writes them; also on/off, true/false, 1/0. */
int text_parse_bool(const char *s, bool *ret_value);
/* Seconds with an optional fraction ("0.5") to milliseconds; at most @max_ms. */
int text_parse_seconds(const char *s, int64_t max_ms, int64_t *ret_ms);

/* ADDR[:PORT][,TPGT] -- ADDR is IPv4, [IPv6], bare IPv6 (then without a port) or a DNS name.
 * Without a port @default_port is returned, without a TPGT -1. Host comes without brackets,
 * lower case, g_free()d by the caller. */
#define ISCSI_DEFAULT_PORT 3260
int text_parse_portal(const char *s, uint16_t default_port, char **ret_host, uint16_t *ret_port,
		      int *ret_tpgt);
/* "10.0.0.1:3260", "[fe80::1]:3260": the canonical spelling in the tree. g_free(). */
char *text_format_portal(const char *host, uint16_t port);

/* An iSCSI node name (RFC 7143 4.2.7): iqn., eui., naa., at most 223 bytes. Prepared as RFC 3722
 * says (UTF-8; upper case becomes lower, full-width letters become plain ones); after that only
 * a-z 0-9 . - : may be in it. NULL and @err (ISDSC_INVALID_ISCSI_NAME, saying what is wrong)
 * when it is none. g_free(). */
#define ISCSI_NAME_MAX 223
char *text_iscsi_name(const char *s, GError **err);

/* "0x..."/"0X..." hex (odd length: a zero digit is put in front) or "0b..." base64, the binary
 * values of RFC 7143 6.1. At most @max bytes. NULL with -EINVAL or -ERANGE in *ret_error
 * otherwise. Also used for secrets: the result is the caller's to wipe and g_free(). */
uint8_t *text_decode_binary(const char *s, size_t max, size_t *ret_len, int *ret_error);
/* "0x" and lower case hex. g_free(). */
char *text_encode_hex(const void *data, size_t len);

/* Printable rendering of bytes from outside: anything but printable ASCII, and backslash and
 * double quote, becomes \xNN. At most @max source bytes, then "...". g_free(). */
char *text_escape(const void *data, size_t len, size_t max);
/* The same for a line that people read, into @out of @size (at least 8) bytes, allocating nothing:
 * printable UTF-8 stays as it is, what could steer a terminal or forge a line becomes \xNN. What
 * does not fit is cut between characters, with "..." at the end. */
void text_plain(const char *s, size_t len, char *out, size_t size);
/* Bytes as they came, trailing blanks off, unprintable ones to '?': for INQUIRY strings.
 * g_free(). */
char *text_from_scsi(const void *data, size_t len);

/* A control line into words: blanks separate, "..." quotes, \xNN \\ \" escapes inside and
 * outside quotes,
 * '#' at the start of a word begins a comment. NULL-terminated vector (possibly empty),
 * g_strfreev(); NULL and @err (ISDSC_INVALID_PARAMETER) for an open quote, a bad escape, \x00
 * or a control character. */
char **text_split_words(const char *line, GError **err);

/* Wipe memory so that the compiler cannot leave it out; NULL is fine. */
void text_wipe(void *p, size_t len);
/* Wipe and g_free a NUL-terminated secret; NULL is fine. */
void text_free_secret(char *s);

#endif
