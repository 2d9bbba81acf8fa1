/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of error codes and GErrors made of it; error.h is the manual. Codes, names and
 * numbers are those of the users' guide, appendix D; errno values follow the list in
 * iscsi-tree(7); the rest is ours. The page iscsi-errors(7) is printed from the table:
 *	make tests/unit/test_error && srcdir=. tests/unit/test_error --write
 * and tests/unit/test_error looks whether each test named here is there and names the code. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define ENTRY(severity, id, errno_value, text, advice, where, test)                          \
	{                                                                                    \
		ISDSC_##id, (severity) | ISDSC_##id, "ISDSC_" #id, text, errno_value,        \
			advice, where, test                                                  \
	}
#define ERROR(id, ...) ENTRY(0xEFFF0000u, id, __VA_ARGS__)
#define WARNING(id, ...) ENTRY(0xAFFF0000u, id, __VA_ARGS__)

/* clang-format off */
static const struct error_info table[] = {
	ERROR(NON_SPECIFIC_ERROR, EIO, "An error without a code of its own occurred",
	      "read the text of the error, then the log and the `events` file for what "
	      "came before it",
	      "what has no code of its own: Ctrl-C, an attached device that does not "
	      "go, the start of the daemon",
	      "unit test_operation.test_operation_is_cancelled_for_a_reason"),
	ERROR(LOGIN_FAILED, EIO, "The login failed",
	      "read the text: it holds the status that the target sent; check the "
	      "target's access list and the login keys",
	      "a login in which the target breaks the protocol, or that is too slow",
	      "fuse_errors.a_login_that_nobody_answers"),
	ERROR(CONNECTION_FAILED, EHOSTUNREACH, "The connection to the target failed",
	      "check that the portal's address and port are reachable from this host, "
	      "and that the target listens there; a session that was lost comes back by "
	      "itself (`state`, `retry`, `events`)",
	      "a connect that fails; a connection or session that is lost, or has no "
	      "connection at the moment",
	      "fuse_errors.nobody_listens"),
	ERROR(INITIATOR_NODE_ALREADY_EXISTS, EEXIST, "The initiator node exists already",
	      "choose another name for the initiator node",
	      "there is one initiator node, with one name",
	      NULL),
	ERROR(INITIATOR_NODE_NOT_FOUND, ENOENT, "There is no such initiator node",
	      "list `initiator/` and give a name that is there",
	      "there is one initiator node, and it is always there",
	      NULL),
	ERROR(TARGET_MOVED_TEMPORARILY, EHOSTUNREACH, "The target has moved for now",
	      "log in again: the target said where; if it repeats, look at how the array "
	      "balances its portals",
	      "a login with more redirects (status 0101) than are followed",
	      "unit test_dial.test_dial_ends_after_eight_redirects"),
	ERROR(TARGET_MOVED_PERMANENTLY, EHOSTUNREACH, "The target has moved for good",
	      "refresh the discovery, or give the new portal; remove logins saved for "
	      "the old one",
	      "as before, and the last one was for good (status 0102)",
	      "unit test_dial.test_dial_ends_a_circle_of_redirects"),
	ERROR(INITIATOR_ERROR, EPROTO, "The target found an error of the initiator",
	      "compare login keys with what the target accepts; a trace (`trace/ctl`) "
	      "shows the request it refused",
	      "login status 0200 and 020b, and unknown ones of class 02",
	      "conformance login_status_0_classes"),
	ERROR(AUTHENTICATION_FAILURE, EACCES, "Authentication failed",
	      "check user and secret on both sides, and that both expect the same method "
	      "(auth=)",
	      "login status 0201; CHAP in which one side does not prove itself",
	      "fuse_errors.target_wants_chap"),
	ERROR(AUTHORIZATION_FAILURE, EACCES, "The target does not allow this initiator",
	      "add the name in `initiator/name` to the target's access list",
	      "login status 0202",
	      "interop_refusals.login_to_lio_is_refused"),
	ERROR(NOT_FOUND, ENOENT, "The target is not there",
	      "check the target's name, then refresh the discovery",
	      "login status 0203; something that a command needs has gone",
	      "fuse_errors.target_does_not_know_the_name"),
	ERROR(TARGET_REMOVED, ENOENT, "The target was removed and gave no new address",
	      "remove saved logins to it, or ask who runs the array",
	      "login status 0204; a LUN that is another unit now",
	      "conformance login_status_0_classes"),
	ERROR(UNSUPPORTED_VERSION, EOPNOTSUPP,
	      "The target speaks no version that we speak",
	      "update the target: iSCSI version 0 (RFC 7143) is needed",
	      "login status 0205",
	      "conformance login_status_0_classes"),
	ERROR(TOO_MANY_CONNECTIONS, EUSERS, "The session has too many connections",
	      "remove a connection, or log in with a higher max_connections= if the "
	      "target allows it",
	      "add-connection beyond MaxConnections; login status 0206",
	      "fuse_errors.sessions_and_connections"),
	ERROR(MISSING_PARAMETER, EINVAL, "A parameter is missing",
	      "give the key that the text names; reading `ctl` lists the keys of each "
	      "verb",
	      "a command without a key it needs; login status 0207",
	      "fuse_errors.login_keys"),
	ERROR(CANT_INCLUDE_IN_SESSION, EOPNOTSUPP,
	      "The target does not take the connection into this session",
	      "use a portal of the session's portal group, or make another session with "
	      "multipath=yes",
	      "login status 0208",
	      "conformance login_status_0_classes"),
	ERROR(SESSION_TYPE_NOT_SUPPORTED, EOPNOTSUPP,
	      "The target does not support this type of session",
	      "for a discovery session give a portal that answers SendTargets; for I/O "
	      "one that serves the target",
	      "login status 0209",
	      "conformance login_status_0_classes"),
	ERROR(TARGET_ERROR, EIO, "The target reported an error of its own",
	      "look at the target's log, then try again",
	      "login status 0300 and unknown ones of class 03; a target that breaks the "
	      "protocol in a session",
	      "conformance login_status_0_classes"),
	ERROR(SERVICE_UNAVAILABLE, EHOSTUNREACH, "The target's service is not available",
	      "wait until the target has started or is no longer in maintenance, then "
	      "try again",
	      "login status 0301",
	      "interop_refusals.login_to_lio_is_refused"),
	ERROR(OUT_OF_RESOURCES, ENOSPC, "The target is out of resources",
	      "log out sessions that are not needed, or raise the target's limits",
	      "login status 0302; a start of the daemon without memory",
	      "conformance login_status_0_classes"),
	ERROR(CONNECTION_ALREADY_EXISTS, EEXIST, "The connection exists already",
	      "list `connections/` of the session; nothing needs to be done if the "
	      "connection wanted is there",
	      "a portal may have several connections of one session, and a name that "
	      "changes leaves those that are there alone",
	      NULL),
	ERROR(SESSION_ALREADY_EXISTS, EEXIST, "The session exists already",
	      "use the session that is there, or log out first",
	      "a further session with multipath=yes, and each portal of the target has "
	      "one",
	      "fuse_errors.a_further_session_by_the_same_portal"),
	ERROR(INITIATOR_INSTANCE_NOT_FOUND, ENOENT, "There is no such initiator instance",
	      "list `initiator/instances/` and give one that is there, or leave "
	      "instance= out",
	      "instance= with a name that is not in initiator/instances",
	      "interop_instances.what_is_not_there"),
	ERROR(TARGET_ALREADY_EXISTS, EEXIST, "The target exists already",
	      "remove the target first, or use another name; merge=yes adds to what "
	      "another mechanism found",
	      "add-target of a target that is there already",
	      "fuse_errors.discovery_refuses"),
	ERROR(DRIVER_BUG, EIO,
	      "An operation was not carried out correctly by this program",
	      "this is a bug: report it with the log and a trace (`trace/ctl`)",
	      "a command that this program has forgotten to end",
	      "unit test_operation.test_operation_that_is_dropped_is_a_bug"),
	ERROR(INVALID_TEXT_KEY, EPROTO, "A text key is not valid",
	      "if the text names a digest, log in with prefer or no; else ask for another "
	      "value of the key, or ask who makes the target",
	      "a text key of the target that breaks the rules",
	      "conformance negotiate_6_refused_with_a_word"),
	ERROR(INVALID_SENDTARGETS_TEXT, EPROTO, "The answer to SendTargets is not valid",
	      "take a trace (`trace/ctl`) of a refresh: the answer breaks the rules and "
	      "was dropped; update the target",
	      "an answer to SendTargets that breaks the rules",
	      "conformance error_1_answer_to_sendtargets"),
	ERROR(INVALID_SESSION_ID, ENOENT, "There is no session with this id",
	      "list `sessions/`: there is no such session, and nothing to log out of",
	      "a command to a session that has ended; logout without one; login status "
	      "020a",
	      "fuse_errors.sessions_and_connections"),
	ERROR(SCSI_REQUEST_FAILED, EIO, "A SCSI command failed",
	      "read the text: what the unit does not support cannot be asked of it (VPD "
	      "pages: inquiry page=0x00); for anything else check the unit at the target",
	      "a verb that asks the unit (inquiry, read-capacity, reservations), and it "
	      "refuses",
	      "fuse_errors.unit_refuses"),
	ERROR(TOO_MANY_SESSIONS, EUSERS, "There are too many sessions",
	      "log out sessions that are not needed, or raise the limit in the "
	      "configuration",
	      "a login beyond max_sessions of the configuration",
	      "fuse_errors.no_more_sessions_than_configured"),
	ERROR(SESSION_BUSY, EBUSY, "The session works on another request",
	      "wait until the other request has ended, then try again",
	      "a login, logout, refresh or add-connection while another one is under "
	      "way",
	      "fuse_errors.a_login_that_nobody_answers"),
	ERROR(TARGET_MAPPING_UNAVAILABLE, EBUSY, "The mapping asked for is not available",
	      "choose other numbers in mapping=, or leave it out",
	      "a further session with another mapping than the others have",
	      "fuse_errors.mappings"),
	ERROR(ADDRESS_TYPE_NOT_SUPPORTED, EOPNOTSUPP,
	      "This type of address is not supported",
	      "give the portal as IPv4 address, [IPv6 address] or DNS name",
	      "a portal of another address family than source=, or that this host does "
	      "not have",
	      "fuse_errors.address_of_another_family"),
	ERROR(LOGON_FAILED, EACCES, "The logon failed",
	      "check user and secret, then read the log for the step that failed",
	      "no AuthMethod that both sides want: one insists on CHAP, the other does "
	      "not do it",
	      "fuse_errors.target_wants_chap"),
	ERROR(SEND_FAILED, EIO, "Sending to the target failed",
	      "check the network to the portal; the session is connected again by itself",
	      "a connection that fails while sending",
	      "unit test_session.test_session_send_fails"),
	ERROR(TRANSPORT_ERROR, EIO, "The transport to the target failed",
	      "check the network to the portal (link, firewall, MTU); the session is "
	      "connected again by itself",
	      "a connection that fails while receiving",
	      "unit test_session.test_session_receive_fails"),
	ERROR(VERSION_MISMATCH, EPROTO, "The versions of iSCSI do not match",
	      "update the target: iSCSI version 0 (RFC 7143) is needed",
	      "a Login Response with a version of the protocol that was not offered",
	      "unit test_login.test_login_version_that_we_did_not_offer"),
	ERROR(TARGET_MAPPING_OUT_OF_RANGE, EINVAL,
	      "A number in the mapping is out of range",
	      "use smaller numbers in mapping=",
	      "a number in mapping= beyond what there is",
	      "fuse_errors.mappings"),
	ERROR(TARGET_PRESHAREDKEY_UNAVAILABLE, ENOENT,
	      "There is no preshared key for the target or identity",
	      "set one with `key` or `group-key` in `ipsec/ctl`",
	      "not yet: IPsec comes with later work",
	      NULL),
	ERROR(TARGET_AUTHINFO_UNAVAILABLE, ENOENT,
	      "There is no authentication information for the target",
	      "give user= and secret_file=, or set the secret of the initiator in "
	      "`initiator/chap_secret`",
	      "CHAP is asked for, and there is no secret",
	      "unit test_login_chap.test_login_without_secret_is_no_login_without_chap"),
	ERROR(TARGET_NOT_FOUND, ENOENT, "The target is unknown, or hidden from login",
	      "list `targets/`; refresh the discovery, or add the target with "
	      "`add-target` in `discovery/ctl`",
	      "a target that is not in the tree",
	      "fuse_errors.discovery_refuses"),
	ERROR(LOGIN_USER_INFO_BAD, EINVAL, "A login parameter is not valid",
	      "correct the key that the text names",
	      "a login key whose value cannot be used, or that does not go with the "
	      "others",
	      "fuse_errors.login_keys"),
	ERROR(TARGET_MAPPING_EXISTS, EEXIST, "The mapping exists already",
	      "choose other numbers in mapping=, or log out the session that uses them",
	      "two LUNs that would be shown under one number: the one that came later "
	      "is not",
	      "fuse_errors.two_units_under_one_number"),
	ERROR(HBA_SECURITY_CACHE_FULL, ENOSPC,
	      "The store of security information is full",
	      "remove keys that are not needed any more in `ipsec/ctl`",
	      "there is no adapter with a store of its own: the secret store has no "
	      "limit",
	      NULL),
	ERROR(INVALID_PORT_NUMBER, EINVAL, "The port number is not valid",
	      "list the ports in `initiator/instances/` and give one that is there",
	      "port= with a number that the instance does not have",
	      "interop_instances.what_is_not_there"),
	WARNING(OPERATION_NOT_ALL_SUCCESS, EIO, "The operation succeeded in part only",
	      "look at the `error` files below for those that failed; the rest is done",
	      "a refresh in which some portals failed",
	      "fuse_errors.refresh_of_two"),
	ERROR(HBA_SECURITY_CACHE_NOT_SUPPORTED, EOPNOTSUPP,
	      "There is no store for security information",
	      "use persist=no, or configure a state directory",
	      "there is no adapter with a store of its own",
	      NULL),
	ERROR(IKE_ID_PAYLOAD_TYPE_NOT_SUPPORTED, EOPNOTSUPP,
	      "This type of IKE identity is not supported",
	      "give the identity as an address or as a fully qualified DNS name",
	      "not yet: IPsec comes with later work",
	      NULL),
	ERROR(IKE_ID_PAYLOAD_INCORRECT_SIZE, EINVAL,
	      "The IKE identity has the wrong length",
	      "correct the identity: an address has 4 or 16 bytes, a name at most 255",
	      "not yet: IPsec comes with later work",
	      NULL),
	ERROR(TARGET_PORTAL_ALREADY_EXISTS, EEXIST, "The portal is known already",
	      "nothing needs to be done; remove the portal first to change its keys",
	      "add-portal of a portal that is there already",
	      "fuse_errors.discovery_refuses"),
	ERROR(TARGET_ADDRESS_ALREADY_EXISTS, EEXIST,
	      "The target address is known already",
	      "nothing needs to be done; remove the address first to change it",
	      "add-target with merge=yes of an address that is there is no error: it "
	      "changes nothing",
	      NULL),
	ERROR(NO_AUTH_INFO_AVAILABLE, ENOENT,
	      "There is no IKE authentication information",
	      "set a key with `key` or `group-key` in `ipsec/ctl`",
	      "not yet: IPsec comes with later work",
	      NULL),
	ERROR(NO_TUNNEL_OUTER_MODE_ADDRESS, ENOENT,
	      "There is no outer address for the tunnel",
	      "set one with `tunnel-address` in `ipsec/ctl`, or use transport mode",
	      "not yet: IPsec comes with later work",
	      NULL),
	ERROR(CACHE_CORRUPTED, EIO, "Stored secrets or tunnel addresses are damaged",
	      "restore the state directory from a copy, or enter the secrets again",
	      "a stored secret that cannot be opened: its file or the key was changed",
	      "unit test_secret_store.test_secret_store_opens_nothing_else"),
	ERROR(REQUEST_NOT_SUPPORTED, EOPNOTSUPP, "The request is not supported",
	      "read `ctl` for the verbs and keys that are",
	      "a key or verb that this version, this LUN or this target cannot",
	      "fuse_errors.not_supported"),
	ERROR(TARGET_OUT_OF_RESORCES, ENOSPC,
	      "The target lacks resources for the request",
	      "log out sessions that are not needed, or raise the target's limits; then "
	      "try again",
	      "a request that the target rejects with reason 0a",
	      "conformance error_3_out_of_resources"),
	ERROR(SERVICE_DID_NOT_RESPOND, ETIMEDOUT, "No answer came in time",
	      "try again with a longer timeout=; if it repeats, look at the log for what "
	      "the daemon waits for",
	      "a command that is not finished within timeout=",
	      "fuse_errors.a_login_that_nobody_answers"),
	ERROR(ISNS_SERVER_NOT_FOUND, EHOSTUNREACH,
	      "The iSNS server is not there or does not answer",
	      "check address and port in `discovery/isns/` and that the server runs",
	      "an iSNS server that cannot be connected to, hangs up or does not answer in "
	      "time; one that was not added",
	      "interop_isns.nobody_there"),
	WARNING(OPERATION_REQUIRES_REBOOT, EBUSY,
	      "Done, but it takes effect only after a restart",
	      "restart the daemon, when that suits",
	      "the reply `ok` of a reload that changed options which wait for a restart",
	      "fuse_reload.reload_changes_what_new_logins_ask_for"),
	ERROR(NO_PORTAL_SPECIFIED, EHOSTUNREACH, "There is no portal to log in with",
	      "give portal=, or refresh the discovery so that one is found",
	      "a login without portal=, and discovery gave none",
	      "fuse_errors.no_portal_is_left"),
	ERROR(CANT_REMOVE_LAST_CONNECTION, EBUSY,
	      "The last connection of a session cannot be removed",
	      "log out the session instead",
	      "remove of a connection, remove-connection",
	      "fuse_errors.sessions_and_connections"),
	ERROR(SERVICE_NOT_RUNNING, ENOENT, "The iSCSI daemon is not running",
	      "if it is shutting down, wait; then start it: `iscsifs MOUNTPOINT`",
	      "a command that comes while the daemon shuts down, or is broken off by "
	      "that",
	      "unit test_operation.test_operation_is_cancelled_for_a_reason"),
	ERROR(TARGET_ALREADY_LOGGED_IN, EEXIST, "The target is logged in already",
	      "use the session that is there, or log in with multipath=yes for one more",
	      "a second login without multipath=yes",
	      "fuse_errors.sessions_and_connections"),
	ERROR(DEVICE_BUSY_ON_SESSION, EBUSY, "A device of the session is in use",
	      "unmount or close what the text names, then log out again; force=yes logs "
	      "out regardless",
	      "logout, remove or detach while a LUN is open",
	      "fuse_errors.unit_in_use"),
	ERROR(COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA, EIO, "The login could not be saved",
	      "check that the state directory is there, can be written and has space",
	      "login persist=yes, add-login or another command whose result is kept, when the "
	      "state directory cannot be written",
	      "fuse_persistent.what_cannot_be_saved_is_told"),
	ERROR(COULD_NOT_REMOVE_PERSISTENT_LOGIN_DATA, EIO,
	      "The saved login could not be removed",
	      "list `persistent/logins/`; check that the state directory can be written",
	      "remove-login, or remove of a saved login, when the state directory cannot be "
	      "written",
	      "fuse_persistent.what_cannot_be_saved_is_told"),
	ERROR(PORTAL_NOT_FOUND, ENOENT, "The portal is unknown",
	      "list `discovery/portals/` and give one that is there, or add it with "
	      "`add-portal`",
	      "remove-portal or refresh of a portal that is not there",
	      "fuse_errors.discovery_refuses"),
	ERROR(INITIATOR_NOT_FOUND, ENOENT, "The initiator is unknown",
	      "list `initiator/instances/` and give one that is there",
	      "there is one initiator: nothing takes the name of one; see "
	      "ISDSC_INITIATOR_INSTANCE_NOT_FOUND",
	      NULL),
	ERROR(DISCOVERY_MECHANISM_NOT_FOUND, ENOENT, "The discovery mechanism is unknown",
	      "list `instances/` of the target and give one that is there",
	      "login with mechanism= that does not know the target",
	      "interop_sources.mechanism_chooses_what_is_used"),
	ERROR(IPSEC_NOT_SUPPORTED_ON_OS, EOPNOTSUPP, "IPsec is not available here",
	      "install and start the IKE daemon, or log in without ipsec_required",
	      "ipsec_required=yes: this version has no IPsec",
	      "fuse_errors.not_supported"),
	ERROR(PERSISTENT_LOGIN_TIMEOUT, ETIMEDOUT,
	      "Not all saved logins were done in time",
	      "look at `persistent/logins/` for those that miss; they are still being "
	      "retried",
	      "in the error of persistent/, when volumes_timeout is over and not all saved logins "
	      "were done",
	      "fuse_persistent.logins_that_are_late_are_an_event"),
	WARNING(SHORT_CHAP_SECRET, EINVAL, "The CHAP secret has fewer than 96 bits",
	      "use a secret of 12 bytes or more, unless IPsec protects the connection",
	      "a CHAP secret of fewer than 12 bytes",
	      "fuse_errors.login_keys"),
	ERROR(EVALUATION_PEROID_EXPIRED, EACCES, "The evaluation period is over",
	      "this program has none: if a target sends this, ask who runs it",
	      "there is no evaluation period",
	      NULL),
	ERROR(INVALID_CHAP_SECRET, EINVAL,
	      "The CHAP secret does not conform to the standard",
	      "use a secret of 12 to 16 bytes, not the same as the other side's",
	      "a secret that is no text or hex, or longer than can be used",
	      "fuse_errors.login_keys"),
	ERROR(INVALID_TARGET_CHAP_SECRET, EINVAL,
	      "The CHAP secret of the target is not valid",
	      "correct the secret in the login keys: 12 bytes or more, other than the "
	      "one of the initiator",
	      "a secret for the target that is too short",
	      "unit test_chap.test_chap_config_check"),
	ERROR(INVALID_INITIATOR_CHAP_SECRET, EINVAL,
	      "The CHAP secret of the initiator is not valid",
	      "write another one to `initiator/chap_secret`: 12 bytes or more, other "
	      "than the one of the target",
	      "mutual CHAP with one secret for both sides",
	      "fuse_errors.login_keys"),
	ERROR(INVALID_CHAP_USER_NAME, EINVAL, "The CHAP user name is not valid",
	      "use a name of 1 to 223 bytes in user=, or leave it out to use the node "
	      "name",
	      "a CHAP name of no or more than 223 bytes",
	      "fuse_errors.login_keys"),
	ERROR(INVALID_LOGON_AUTH_TYPE, EINVAL, "The authentication type is not valid",
	      "use auth=none, auth=chap or auth=mutual",
	      "auth= with another word than none, chap, mutual",
	      "fuse_errors.login_keys"),
	ERROR(INVALID_TARGET_MAPPING, EINVAL, "The mapping is not valid",
	      "correct mapping=, or leave it out",
	      "mapping= in which a LUN or a number is there twice",
	      "fuse_errors.mappings"),
	ERROR(INVALID_TARGET_ID, EINVAL, "The target number in the mapping is not valid",
	      "use one target number for all LUNs in mapping=, or leave it out",
	      "mapping= has no target numbers: units are files of their target",
	      NULL),
	ERROR(INVALID_ISCSI_NAME, EINVAL,
	      "The iSCSI name has wrong characters, a wrong form, or is too long",
	      "use iqn.YYYY-MM.domain[:text], eui. with 16 or naa. with 16 or 32 hex "
	      "digits; a-z 0-9 . - : and at most 223 bytes",
	      "a node name that is none, given by a user",
	      "fuse_errors.discovery_refuses"),
	ERROR(INCOMPATIBLE_ISNS_VERSION, EPROTO, "The iSNS server speaks another version",
	      "use an iSNS server that speaks version 1 (RFC 4171)",
	      "an iSNS server that sends messages of another version, or refuses ours",
	      "interop_isns.hostile_answers"),
	ERROR(FAILED_TO_CONFIGURE_IPSEC, EIO,
	      "IPsec could not be configured for the connection",
	      "look at the log of the IKE daemon; check keys and security_flags=",
	      "not yet: IPsec comes with later work",
	      NULL),
	ERROR(BUFFER_TOO_SMALL, EINVAL, "The buffer for the request is too small",
	      "give a larger buffer",
	      "nobody passes a buffer: files are as long as what they tell",
	      NULL),
	ERROR(INVALID_LOAD_BALANCE_POLICY, EINVAL, "The load balance policy is unknown",
	      "use failover, round-robin, round-robin-subset, weighted or "
	      "least-queue-depth",
	      "a policy of no known name",
	      "fuse_errors.policies"),
	ERROR(INVALID_PARAMETER, EINVAL, "A parameter is not valid",
	      "correct what the text names; reading `ctl` lists verbs and keys",
	      "a word, key or value that a control or value file does not take",
	      "fuse_errors.discovery_refuses"),
	ERROR(DUPLICATE_PATH_SPECIFIED, EINVAL, "A path was given twice",
	      "give each path once",
	      "policy with paths= that has a path twice",
	      "fuse_errors.all_paths_at_once"),
	ERROR(PATH_COUNT_MISMATCH, EINVAL,
	      "The number of paths given is not the number there is",
	      "list the paths and give each of them",
	      "policy with paths= that leaves a path out",
	      "fuse_errors.all_paths_at_once"),
	ERROR(INVALID_PATH_ID, EINVAL, "There is no path with this id",
	      "list `paths/` or `connections/` and give an id that is there",
	      "policy with paths=, or the verb path, with a path that is not there",
	      "fuse_errors.all_paths_at_once"),
	ERROR(MULTIPLE_PRIMARY_PATHS_SPECIFIED, EINVAL,
	      "More than one path is active where the policy allows one",
	      "leave one path active and make the others standby, or choose another "
	      "policy",
	      "policy failover with paths= of which several are active",
	      "fuse_errors.all_paths_at_once"),
	ERROR(NO_PRIMARY_PATH_SPECIFIED, EINVAL, "No path is active",
	      "make one path active: role=active",
	      "policy failover or round-robin-subset with paths= of which none is "
	      "active",
	      "fuse_errors.all_paths_at_once"),
	ERROR(VOLUME_ALREADY_PERSISTENTLY_BOUND, EEXIST, "The volume is bound already",
	      "nothing needs to be done; list `persistent/volumes/`",
	      "add-volume of one that is bound",
	      "fuse_volumes.add_and_remove"),
	ERROR(VOLUME_NOT_FOUND, ENOENT, "The volume was not found",
	      "list `persistent/volumes/`; check the path given",
	      "add-volume of a path that is not there, remove-volume of one that is not bound",
	      "fuse_volumes.add_and_remove"),
	ERROR(VOLUME_NOT_ISCSI, EINVAL, "The volume is not on an iSCSI disk",
	      "bind only what is on a LUN of this tree",
	      "add-volume of what does not rest on a LUN that is logged in",
	      "fuse_volumes.add_and_remove"),
	ERROR(DNS_NAME_UNRESOLVED, EHOSTUNREACH, "The DNS name was not resolved",
	      "check the name's spelling and the name servers, or give an address",
	      "a portal with a name that has no address",
	      "fuse_errors.discovery_refuses"),
	ERROR(LB_POLICY_NOT_SUPPORTED, EOPNOTSUPP,
	      "The load balance policy is not supported here",
	      "choose another policy; reading `ctl` lists them",
	      "every policy that is known can be used everywhere",
	      NULL),
	ERROR(REMOVE_CONNECTION_IN_PROGRESS, EBUSY,
	      "A connection of the session is being removed",
	      "wait until it is gone, then try again",
	      "remove of a connection that is leaving already",
	      "conformance error_2_connection_removed_twice"),
	ERROR(INVALID_CONNECTION_ID, ENOENT, "The session has no connection with this id",
	      "list `connections/` of the session and give an id that is there",
	      "remove-connection of a connection that is not there",
	      "fuse_errors.sessions_and_connections"),
	ERROR(CANNOT_REMOVE_LEADING_CONNECTION, EBUSY,
	      "The leading connection cannot be removed",
	      "remove another connection, or log out the session",
	      "the leading connection may be removed as the others are",
	      NULL),
};
/* clang-format on */

const struct error_info *error_info(enum isdsc code)
{
	for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
		if (table[i].code == code)
			return &table[i];
	return &table[0];
}

const struct error_info *error_info_at(size_t index)
{
	return index < G_N_ELEMENTS(table) ? &table[index] : NULL;
}

/* ---- GError with an errno of its own ---- */

/* glib's macro below wants this very name, hence the typedef. */
typedef struct {
	int errno_value; /* 0: the table's */
} ErrorIsdscPrivate;

static void error_isdsc_private_init(ErrorIsdscPrivate *p)
{
	p->errno_value = 0;
}

static void error_isdsc_private_copy(const ErrorIsdscPrivate *from, ErrorIsdscPrivate *to)
{
	*to = *from;
}

static void error_isdsc_private_clear(ErrorIsdscPrivate *p)
{
	(void)p;
}

G_DEFINE_EXTENDED_ERROR(ErrorIsdsc, error_isdsc)

__attribute__((format(printf, 3, 0))) static GError *error_new(enum isdsc code, int errno_value,
							       const char *fmt, va_list ap)
{
	GError *err = g_error_new_valist(ERROR_ISDSC, (int)code, fmt, ap);

	error_isdsc_get_private(err)->errno_value = errno_value;
	return err;
}

void error_set(GError **err, enum isdsc code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return;
	assert(!*err);
	va_start(ap, fmt);
	*err = error_new(code, 0, fmt, ap);
	va_end(ap);
}

void error_set_errno(GError **err, enum isdsc code, int errno_value, const char *fmt, ...)
{
	va_list ap;

	assert(errno_value > 0);
	if (!err)
		return;
	assert(!*err);
	va_start(ap, fmt);
	*err = error_new(code, errno_value, fmt, ap);
	va_end(ap);
}

const struct error_info *error_info_of(const GError *err)
{
	return err->domain == ERROR_ISDSC ? error_info((enum isdsc)err->code) : &table[0];
}

/* G_FILE_ERROR has codes of its own in place of errno values; those that a write to the state
 * directory can meet. */
static int file_error_errno(int code)
{
	static const struct {
		int code, errno_value;
	} map[] = {
		{ G_FILE_ERROR_EXIST, EEXIST }, { G_FILE_ERROR_ISDIR, EISDIR },
		{ G_FILE_ERROR_ACCES, EACCES }, { G_FILE_ERROR_NAMETOOLONG, ENAMETOOLONG },
		{ G_FILE_ERROR_NOENT, ENOENT }, { G_FILE_ERROR_NOTDIR, ENOTDIR },
		{ G_FILE_ERROR_NXIO, ENXIO },	{ G_FILE_ERROR_NODEV, ENODEV },
		{ G_FILE_ERROR_ROFS, EROFS },	{ G_FILE_ERROR_TXTBSY, ETXTBSY },
		{ G_FILE_ERROR_FAULT, EFAULT }, { G_FILE_ERROR_LOOP, ELOOP },
		{ G_FILE_ERROR_NOSPC, ENOSPC }, { G_FILE_ERROR_NOMEM, ENOMEM },
		{ G_FILE_ERROR_MFILE, EMFILE }, { G_FILE_ERROR_NFILE, ENFILE },
		{ G_FILE_ERROR_BADF, EBADF },	{ G_FILE_ERROR_INVAL, EINVAL },
		{ G_FILE_ERROR_PIPE, EPIPE },	{ G_FILE_ERROR_AGAIN, EAGAIN },
		{ G_FILE_ERROR_INTR, EINTR },	{ G_FILE_ERROR_IO, EIO },
		{ G_FILE_ERROR_PERM, EPERM },	{ G_FILE_ERROR_NOSYS, ENOSYS },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(map); i++)
		if (map[i].code == code)
			return map[i].errno_value;
	return EIO;
}

int error_errno(const GError *err)
{
	int errno_value;

	if (err->domain == G_FILE_ERROR)
		return file_error_errno(err->code);
	if (err->domain != ERROR_ISDSC)
		return EIO;
	errno_value = error_isdsc_get_private(err)->errno_value;
	return errno_value ? errno_value : error_info_of(err)->errno_value;
}

const char *error_errno_name(int errno_value)
{
	const char *name = strerrorname_np(errno_value);

	return name ? name : "EIO";
}
