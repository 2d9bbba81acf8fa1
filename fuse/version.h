/* SPDX-License-Identifier: BSD-2-Clause */
/* The version of the package: configure's, else a development build's. */
#ifndef ISCSIFS_VERSION_H
#define ISCSIFS_VERSION_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef PACKAGE_VERSION
#define ISCSIFS_VERSION PACKAGE_VERSION
#else
#define ISCSIFS_VERSION "0-development"
#endif

#endif
