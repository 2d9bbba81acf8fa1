/* SPDX-License-Identifier: BSD-2-Clause */
/* The directories of the tree, as man/iscsi-tree.7 describes them: a file of tables for each
 * sort of object. A new file of the tree is one row in one of them and one paragraph in the
 * page. tree_root_row is the one that everything hangs from. */
#ifndef ISCSIFS_TREE_H
#define ISCSIFS_TREE_H

#include "base/policy.h"
#include "fuse/attr.h"

extern const struct attr tree_root_row;

extern const struct attr_dir tree_initiator_dir;    /* initiator/ */
extern const struct attr_dir tree_discovery_dir;    /* discovery/ */
extern const struct attr_dir tree_persistent_dir;   /* persistent/ */
extern const struct attr_dir tree_isns_dir;	    /* discovery/isns/ */
extern const struct attr_dir tree_targets_dir;	    /* targets/ */
extern const struct attr_dir tree_session_dir;	    /* .../sessions/SID/ */
extern const struct attr_dir tree_sessions_dir;	    /* targets/IQN/sessions/ */
extern const struct attr_dir tree_lun_dir;	    /* targets/IQN/lunN/ */
extern const struct attr_dir tree_paths_dir;	    /* targets/IQN/lunN/paths/ */
extern const struct attr_dir tree_all_sessions_dir; /* sessions/ */
extern const struct attr_dir tree_by_id_dir;	    /* by-id/ */

/* A login option a line, "key value"; secrets are never told. */
struct login_options;
void tree_print_options(const struct login_options *o, GString *out);
/* A portal of the target a line, "ADDR:PORT[,TPGT]". */
struct instance;
void tree_print_portals(const struct instance *i, GString *out);


/* Role ("active", "standby") and weight of a connection or path, as value files show them. */
void tree_show_role(const struct lane *l, GString *out);
void tree_show_weight(const struct lane *l, GString *out);
/* What is written to such files, and to `policy`. FALSE and @err, which tells what may be. */
gboolean tree_parse_role(const char *value, bool *ret_is_standby, GError **err);
gboolean tree_parse_weight(const char *value, unsigned *ret, GError **err);
gboolean tree_parse_policy(const char *value, enum policy *ret, GError **err);

#endif
