/* SPDX-License-Identifier: BSD-2-Clause */
/* Errors of the control path: GError in the domain ERROR_ISDSC, code one of enum isdsc. One
 * table (error.c) gives each code its number, name, text, errno, and what a person can do about
 * it; messages, control-file replies and the man page come from it. The data path uses plain
 * -errno instead. Source: the users' guide, appendix D. */
#ifndef ISCSIFS_ERROR_H
#define ISCSIFS_ERROR_H

#include <glib.h>
#include <stdint.h>

/* enum isdsc { ISDSC_NON_SPECIFIC_ERROR = 1, ISDSC_LOGIN_FAILED = 2, ... }: the low 16 bits of the
 * status code, so that the codes of the guide and of GError are the same. */
#include "base/isdsc.h"

struct error_info {
	enum isdsc code;
	uint32_t number;   /* status code of the guide */
	const char *name;  /* ISDSC_LOGIN_FAILED */
	const char *text;  /* "Login failed" */
	int errno_value;   /* default errno of a control write that ends with it */
	const char *advice; /* what a person can do about it; never NULL */
	const char *where;  /* where it is raised, a phrase; when @test is NULL: why it is not */
	const char *test;   /* that shows it, or NULL: "fuse_errors.NAME" (a file of tests/fuse or
			       tests/interop), "conformance SCENE", "unit test_x.test_x_name" */
};

#define ERROR_ISDSC error_isdsc_quark()
GQuark error_isdsc_quark(void);

/* Never NULL: an unknown code is described as ISDSC_NON_SPECIFIC_ERROR. */
const struct error_info *error_info(enum isdsc code);
const struct error_info *error_info_at(size_t index); /* NULL past the end: to walk the table */

/* Set @err (if not NULL) to @code with a message; keeps the table's errno ... */
void error_set(GError **err, enum isdsc code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* ... or another errno that fits better (ECONNREFUSED for a refused connect). */
void error_set_errno(GError **err, enum isdsc code, int errno_value, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The positive errno and the table entry of any GError (foreign domains: EIO, or the errno of
 * G_FILE_ERROR). */
int error_errno(const GError *err);
const struct error_info *error_info_of(const GError *err);

/* "EACCES" for EACCES, as replies and `error` files write it; never NULL. */
const char *error_errno_name(int errno_value);

#endif
