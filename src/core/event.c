/* SPDX-License-Identifier: BSD-2-Clause */
/* Events: the table of what there is, and the ring of what happened; event.h is the manual. The
 * ring is made with the daemon, and event_emit() writes into it in place: it works when memory
 * is out, which is when it is needed. */
#include "core/event.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "base/text.h"
#include "core/daemon.h"
#include "iscsi/session.h"

/* Sessions know these by number. */
static_assert((int)SESSION_EVENT_TASKS_REASSIGNED == EVENT_TASKS_REASSIGNED, "event ids");
static_assert((int)SESSION_EVENT_TASK_ABORTED == EVENT_TASK_ABORTED, "event ids");
static_assert((int)SESSION_EVENT_RENEGOTIATED == EVENT_RENEGOTIATED, "event ids");

#define FIRST_OWN EVENT_CONNECTION_UP
#define GUIDE_EVENTS 62
#define LOG_LINES_PER_S 50 /* a storm of events must not fill the log */

/* ---- the table ---- */

struct row {
	enum event_severity severity;
	const char *name, *text;
	bool is_raised;
	const char *why_not, *test, *data; /* as in struct event_info */
};

#define INFO EVENT_INFO
#define WARNING EVENT_WARNING
#define ERROR EVENT_ERROR
/* By what is told in @test_: see struct event_info. */
#define RAISED(test_) true, .test = test_
/* What it tells of cannot happen here. */
#define NEVER(why_) false, .why_not = why_

/* clang-format off */

/* Driver events of the guide, by number: those that the initiator goes on after by itself are
 * warnings, those after which something that was asked for is not done are errors. */
static const struct row guide_rows[GUIDE_EVENTS + 1] = {
	[1] = { WARNING, "connect-failed",
		"No TCP connection to a portal of the target; its address and port are told.",
		RAISED("conformance/silence_3_refused"),
		.data = "address and port, the network's error" },
	[2] = { ERROR, "no-session-resources",
		"A session could not be made for want of memory or of descriptors.",
		 RAISED("fuse_events.no_descriptor_for_a_session") },
	[3] = { ERROR, "bad-command-window",
		"MaxCmdSN of the last login response lies before its ExpCmdSN.",
		RAISED("conformance/events_1_window_of_the_login"),
		.data = "ExpCmdSN and MaxCmdSN" },
	[4] = { ERROR, "bad-burst-lengths",
		"The target's MaxBurstLength is less than FirstBurstLength.",
		RAISED("conformance/login_16_2_firstburst_over_maxburst"),
		.data = "FirstBurstLength and MaxBurstLength" },
	[5] = { ERROR, "no-local-address",
		"The address or interface to connect from cannot be used.",
		RAISED("interop_instances.what_is_not_there") },
	[6] = { ERROR, "no-connection-resources",
		"A connection could not be made for want of memory or of descriptors.",
		RAISED("conformance/events_4_no_descriptor_for_a_connection") },
	[7] = { WARNING, "send-failed",
		"A PDU could not be sent; the error of the network is told.",
		RAISED("test_session.test_session_send_fails"),
		.data = "the network's error" },
	[8] = { WARNING, "request-timed-out",
		"The target or a discovery server did not answer a request in time.",
		NEVER("Events 43 to 51 tell which request it was.") },
	[9] = { WARNING, "command-timed-out",
		"The target did not answer a SCSI command in time; the operation code is told.",
		RAISED("conformance/silence_9_command_timeout"),
		.data = "the CDB" },
	[10] = { ERROR, "login-failed",
		 "The target refused a login; status class and detail are told.",
		 RAISED("conformance/login_status_0_classes"),
		 .data = "status class and detail, the response's header" },
	[11] = { ERROR, "bad-login-response",
		 "A login response breaks the protocol.",
		 RAISED("conformance/login_8_1_invalid_pdu"),
		 .data = "the response's header" },
	[12] = { ERROR, "bad-redirect",
		 "The target sent us on, but the address that it gave is none.",
		 RAISED("conformance/redirect_6_malformed"),
		 .data = "what the target gave" },
	[13] = { ERROR, "unknown-auth-method",
		 "The target chose an AuthMethod that was not offered.",
		 RAISED("conformance/login_7_3_invalid_authmethod"),
		 .data = "the key and its value" },
	[14] = { ERROR, "unknown-chap-algorithm",
		 "The target chose a CHAP algorithm that was not offered.",
		 RAISED("conformance/chap_1_2_1_a_invalid_numeric"),
		 .data = "the key and its value" },
	[15] = { ERROR, "bad-chap-challenge",
		 "The target's CHAP challenge is neither hexadecimal nor base64.",
		 RAISED("conformance/chap_3_4_c_too_small"),
		 .data = "the key and its value" },
	[16] = { ERROR, "bad-chap-key",
		 "An unexpected key came during the CHAP exchange.",
		 RAISED("conformance/chap_4_5_n_out_of_order"),
		 .data = "the key and its value" },
	[17] = { ERROR, "wrong-chap-response",
		 "The target did not prove that it knows the secret.",
		 RAISED("conformance/chap_5_1_r_invalid"),
		 .data = "nothing: a secret could be guessed by the response" },
	[18] = { ERROR, "no-header-digest",
		 "Header digests are demanded here, but the target does not do them.",
		 RAISED("conformance/login_9_2_digest_response") },
	[19] = { ERROR, "no-data-digest",
		 "Data digests are demanded here, but the target does not do them.",
		 RAISED("conformance/login_9_2_digest_response") },
	[20] = { WARNING, "connection-lost",
		 "A connection was lost in full feature phase; it is being brought back.",
		 RAISED("fuse_paths.session_is_retrying_while_its_target_is_away") },
	[21] = { WARNING, "segment-too-long",
		 "A data segment is longer than MaxRecvDataSegmentLength.",
		 RAISED("conformance/peer_datain_over_our_limit"),
		 .data = "lengths, the header" },
	[22] = { WARNING, "header-digest-error",
		 "The header digest of a PDU is wrong.",
		 RAISED("conformance/peer_digest_errors"),
		 .data = "the header" },
	[23] = { WARNING, "bad-pdu",
		 "A PDU from the target breaks the protocol.",
		 RAISED("conformance/peer_datain_out_of_order"),
		 .data = "the header" },
	[24] = { WARNING, "bad-opcode",
		 "A PDU from the target has an operation code that does not exist.",
		 RAISED("conformance/peer_garbage_opcode"),
		 .data = "the header" },
	[25] = { WARNING, "data-digest-error",
		 "The data digest of a PDU is wrong.",
		 RAISED("conformance/recovery_2_data_digest_erl_1"),
		 .data = "the checksum as computed, then as given" },
	[26] = { WARNING, "too-much-data",
		 "The target sent more data than was asked for.",
		 RAISED("conformance/peer_datain_beyond_buffer"),
		 .data = "the header" },
	[27] = { INFO, "unknown-tag",
		 "An answer belongs to no task: it may have come too late.",
		 RAISED("conformance/peer_datain_unknown_itt"),
		 .data = "the header" },
	[28] = { WARNING, "bad-r2t",
		 "A request for data (R2T) asks for what was not offered.",
		 RAISED("conformance/peer_r2t_beyond_edtl"),
		 .data = "the header" },
	[29] = { WARNING, "pdu-rejected",
		 "The target rejected a PDU of ours; reason and PDU are told.",
		 RAISED("conformance/peer_reject"),
		 .data = "the reason, the header of the rejected PDU" },
	[30] = { ERROR, "no-work-item",
		 "No helper was free for a request.",
		 NEVER("A request for a helper waits until one is free.") },
	[31] = { ERROR, "no-request-resources",
		 "No memory for a request.",
		 NEVER("A request waits until there is room: what it needs is there from the start.") },
	[32] = { WARNING, "logout-requested",
		 "The target asked us to log out (asynchronous message).",
		 RAISED("conformance/ffp_14_1_async_logout_request"),
		 .data = "the target's name" },
	[33] = { ERROR, "chap-challenge-too-long",
		 "The target's CHAP challenge is longer than 1024 bytes.",
		 RAISED("conformance/chap_3_3_c_too_big") },
	[34] = { INFO, "reconnected",
		 "A connection that had been lost is back.",
		 RAISED("fuse_paths.session_is_retrying_while_its_target_is_away"),
		 .data = "the target's name" },
	[35] = { ERROR, "target-secret-short",
		 "The secret that the target is to prove has less than 12 bytes.",
		 RAISED("fuse_state.the_chap_secret_of_all_targets") },
	[36] = { ERROR, "initiator-secret-short",
		 "Our CHAP secret has less than 12 bytes.",
		 RAISED("fuse_errors.login_keys") },
	[37] = { ERROR, "no-crypto",
		 "The library for CHAP does not work: persistent logins wait.",
		 NEVER("OpenSSL is part of the program, which does not start without it.") },
	[38] = { ERROR, "chap-not-offered",
		 "CHAP is demanded here, but the target does not do it.",
		 RAISED("conformance/chap_policy_1_target_wants_none") },
	[39] = { WARNING, "target-reset-sent",
		 "The target was reset (task management), because it did not answer or on request.",
		 RAISED("conformance/recovery_12_lun_reset_swallowed"),
		 .data = "the target's name" },
	[40] = { ERROR, "chap-required",
		 "The target demands CHAP, for which nothing is set up here.",
		 RAISED("fuse_errors.target_wants_chap") },
	[41] = { ERROR, "no-auth-method",
		 "The target left out AuthMethod in the security negotiation.",
		 RAISED("conformance/events_2_auth_method_left_out") },
	[42] = { WARNING, "bad-status-number",
		 "A PDU has an unexpected StatSN; the expected and the given one are told.",
		 RAISED("conformance/login_header_2_statsn_jumps"),
		 .data = "the StatSN expected, then the one given" },
	[43] = { ERROR, "login-timed-out",
		 "The target did not answer a login in time.",
		 RAISED("conformance/silence_4_mid_login") },
	[44] = { WARNING, "logout-timed-out",
		 "The target did not answer a logout in time.",
		 RAISED("conformance/silence_14_mid_logout") },
	[45] = { WARNING, "add-connection-timed-out",
		 "The target did not answer the login of a further connection in time.",
		 RAISED("conformance/events_3_second_connection_has_no_answer") },
	[46] = { ERROR, "discovery-timed-out",
		 "The target did not answer SendTargets in time.",
		 RAISED("conformance/silence_6_mid_text") },
	[47] = { ERROR, "verb-timed-out",
		 "The target did not answer a SCSI command of a verb in time.",
		 RAISED("conformance/events_5_verb_has_no_answer"),
		 .data = "the CDB" },
	[48] = { WARNING, "nop-timed-out",
		 "The target did not answer a ping (NOP-Out) in time.",
		 RAISED("conformance/recovery_46_ping_not_answered") },
	[49] = { WARNING, "task-management-timed-out",
		 "The target did not answer a task management request in time.",
		 RAISED("conformance/recovery_12_abort_swallowed") },
	[50] = { WARNING, "text-timed-out",
		 "The target did not answer a text request in time.",
		 RAISED("conformance/negotiate_5_target_asks_and_does_not_answer") },
	[51] = { WARNING, "asked-logout-timed-out",
		 "The target asked for a logout and then did not answer it in time.",
		 RAISED("conformance/events_6_asked_logout_has_no_answer") },
	[52] = { ERROR, "ipsec-setup-timed-out",
		 "IPsec was not set up for a connection in time.",
		 NEVER("There is no IPsec yet.") },
	[53] = { WARNING, "ipsec-release-timed-out",
		 "IPsec of a connection was not released in time.",
		 NEVER("There is no IPsec yet.") },
	[54] = { ERROR, "crypt-timed-out",
		 "Data was not encrypted or decrypted in time.",
		 NEVER("Data is encrypted by the kernel (IPsec), which nobody waits for.") },
	[55] = { ERROR, "no-send-resources",
		 "No memory to send data with.",
		 NEVER("What is sent is gathered from memory that was made at login.") },
	[56] = { ERROR, "mapping-failed",
		 "The memory of a request cannot be used; the request failed.",
		 NEVER("Nothing is mapped: a request has its memory from the start.") },
	[57] = { ERROR, "no-io-resources",
		 "No memory for a request; it failed.",
		 NEVER("Requests have memory made at login; when it is used up, the next one waits.") },
	[58] = { ERROR, "no-tag",
		 "No task tag was free for a request; it failed.",
		 NEVER("A request waits until a tag is free.") },
	[59] = { WARNING, "closed-in-login",
		 "The target closed the connection before the login was complete.",
		 RAISED("conformance/recovery_13_second_error_in_recovery") },
	[60] = { WARNING, "data-in-response",
		 "A SCSI Response carries data that is not sense data.",
		 RAISED("conformance/events_7_data_in_a_response"),
		 .data = "the header" },
	[61] = { ERROR, "data-pdu-order-refused",
		 "The target wants DataPDUInOrder=No, which was not offered.",
		 RAISED("conformance/login_20_2_data_order_keys"),
		 .data = "the key and its value" },
	[62] = { ERROR, "data-sequence-order-refused",
		 "The target wants DataSequenceInOrder=No, which was not offered.",
		 RAISED("conformance/login_20_2_data_order_keys"),
		 .data = "the key and its value" },
};

#define OWN(id) [(id) - FIRST_OWN]
static const struct row own_rows[EVENT_OWN_END - FIRST_OWN] = {
	OWN(EVENT_CONNECTION_UP) = { INFO, "connection-up",
		"A connection of a session is logged in.",
		RAISED("fuse_paths.connections_have_roles") },
	OWN(EVENT_CONNECTION_REMOVED) = { INFO, "connection-removed",
		"A connection was logged out in peace.",
		RAISED("fuse_paths.connections_have_roles") },
	OWN(EVENT_SESSION_RETRYING) = { WARNING, "session-retrying",
		"A session has no connection left; it is being brought back.",
		RAISED("fuse_paths.session_is_retrying_while_its_target_is_away") },
	OWN(EVENT_SESSION_UP) = { INFO, "session-up",
		"A session is logged in, for the first time or again.",
		RAISED("fuse_paths.events_are_lines_to_grep") },
	OWN(EVENT_SESSION_ENDED) = { INFO, "session-ended",
		"A session has ended; it is not brought back.",
		RAISED("fuse_paths.events_are_lines_to_grep") },
	OWN(EVENT_PATH_ADDED) = { INFO, "path-added",
		"A session shows a LUN: a path to it.",
		RAISED("fuse_paths.events_are_lines_to_grep") },
	OWN(EVENT_PATH_REMOVED) = { INFO, "path-removed",
		"A session does not show a LUN any more, or has ended.",
		RAISED("fuse_paths.events_are_lines_to_grep") },
	OWN(EVENT_PATH_FAILED) = { WARNING, "path-failed",
		"A path to a LUN cannot be used: requests take others, or wait.",
		RAISED("fuse_paths.session_is_retrying_while_its_target_is_away") },
	OWN(EVENT_PATH_RESTORED) = { INFO, "path-restored",
		"A path that had failed can be used again.",
		RAISED("fuse_paths.session_is_retrying_while_its_target_is_away") },
	OWN(EVENT_PATH_STATE) = { INFO, "path-state",
		"The target changed what it says of a path (ALUA): optimized, standby ...",
		RAISED("interop_multipath.alua_states_are_respected") },
	OWN(EVENT_POLICY_CHANGED) = { INFO, "policy-changed",
		"A policy, a role or a weight was set.",
		RAISED("fuse_paths.settings_that_change_are_events") },
	OWN(EVENT_LUN_ADDED) = { INFO, "lun-added", "A LUN has appeared.",
		RAISED("fuse_paths.events_are_lines_to_grep") },
	OWN(EVENT_LUN_REMOVED) = { INFO, "lun-removed", "A LUN has gone.",
		RAISED("fuse_paths.events_are_lines_to_grep") },
	OWN(EVENT_LUN_REPLACED) = { WARNING, "lun-replaced",
		"Another unit is where a LUN was: what was open of the old one fails.",
		RAISED("conformance/recovery_29_another_unit_after_restart") },
	OWN(EVENT_LUN_RESIZED) = { INFO, "lun-resized", "The size of a LUN has changed.",
		RAISED("conformance/recovery_16_seen_by_open_files") },
	OWN(EVENT_LUN_NOT_MERGED) = { WARNING, "lun-not-merged",
		"Two LUNs tell the same identity and are not one: they stay apart.",
		RAISED("conformance/events_8_alike_and_not_merged") },
	OWN(EVENT_IO_FAILED) = { ERROR, "io-failed",
		"A request of a disk failed for good, or its time was up.",
		RAISED("fuse_paths.reading_fails_when_its_time_is_up") },
	OWN(EVENT_TASKS_REASSIGNED) = { INFO, "tasks-reassigned",
		"Tasks of a lost connection go on by another one (ErrorRecoveryLevel 2).",
		RAISED("conformance/recovery_9_connection_lost_erl_2") },
	OWN(EVENT_TASK_ABORTED) = { WARNING, "task-aborted",
		"A command did not end in time: it was aborted, or the unit or session reset.",
		RAISED("conformance/recovery_12_commands_swallowed") },
	OWN(EVENT_RENEGOTIATED) = { INFO, "renegotiated",
		"Parameters of a session were negotiated anew.",
		RAISED("conformance/text_1_renegotiation") },
	OWN(EVENT_CACHE_LOST) = { ERROR, "cache-lost",
		"The unit was without power while its write cache held data: the next fsync fails.",
		RAISED("conformance/durability_7_crash_during_fsync") },
	OWN(EVENT_CACHE_IN_DOUBT) = { INFO, "cache-in-doubt",
		"The unit was reset while its write cache held data; if that was a loss of power, "
		"what was written since the last fsync is gone.",
		RAISED("conformance/durability_9_reset_is_no_loss") },
	OWN(EVENT_RESERVATION_CHANGED) = { WARNING, "reservation-changed",
		"A LUN's reservations were preempted, released or cleared, perhaps by others.",
		RAISED("interop_reservations.preempt_takes_it_away") },
	OWN(EVENT_BLOCK_ATTACHED) = { INFO, "block-attached",
		"A loop device was attached to a LUN.",
		RAISED("fuse_block.login_attaches_and_logout_detaches") },
	OWN(EVENT_BLOCK_DETACHED) = { INFO, "block-detached",
		"The loop device of a LUN was detached.",
		RAISED("fuse_block.login_attaches_and_logout_detaches") },
	OWN(EVENT_BLOCK_FAILED) = { ERROR, "block-failed",
		"No loop device could be attached to a LUN.",
		RAISED("fuse_block.without_the_right_the_login_works_and_the_attach_tells") },
	OWN(EVENT_VOLUMES_SEARCH_FAILED) = { ERROR, "volumes-search-failed",
		"Looking for the bound volumes failed.",
		RAISED("fuse_volumes.without_sysfs_nothing_is_bound") },
	OWN(EVENT_VOLUMES_TIMEOUT) = { ERROR, "volumes-timeout",
		"Not all bound volumes were there in time: what needs them may not start.",
		RAISED("fuse_volumes.ready_all_the_same_when_the_time_is_up") },
	OWN(EVENT_DYNAMIC_DISK_FAILED) = { ERROR, "dynamic-disk-failed",
		"A dynamic disk could not be brought online.",
		NEVER("Linux has no dynamic disks: LVM and md find their parts by themselves.") },
	OWN(EVENT_IPSEC_ACCESS_FAILED) = { ERROR, "ipsec-access-failed",
		"The IKE daemon cannot be reached.",
		NEVER("There is no IPsec yet.") },
	OWN(EVENT_START_FAILED) = { ERROR, "start-failed",
		"Something that the daemon does at its start failed; what, is told.",
		NEVER("The start ends then and says why, before there is a tree to read events in.") },
	OWN(EVENT_SECRET_FAILED) = { ERROR, "secret-failed",
		"The initiator's own CHAP secret, or the key of stored secrets, cannot be used.",
		RAISED("test_secret_store.test_options_state_keeps_what_does_not_open") },
	OWN(EVENT_HBA_CHECK_FAILED) = { WARNING, "hba-check-failed",
		"It cannot be told whether a device is an iSCSI adapter.",
		NEVER("There is no WMI; of adapters, only the firmware's table is read.") },
	OWN(EVENT_UPCALL_MALFORMED) = { ERROR, "upcall-malformed",
		"The driver sent the service something malformed.",
		NEVER("There is no driver that calls a service up: both are one program.") },
	OWN(EVENT_REQUEST_FAILED) = { WARNING, "request-failed",
		"A command written to a control file failed; its error is told.",
		RAISED("fuse_events.refused_commands_are_events"),
		.data = "the command, secrets blanked, and its error" },
	OWN(EVENT_STATIC_FAILED) = { ERROR, "static-discovery-failed",
		"Targets entered by hand could not be brought back.",
		RAISED("fuse_state.a_damaged_file_is_set_aside_and_the_rest_works") },
	OWN(EVENT_ISNS_FAILED) = { WARNING, "isns-discovery-failed",
		"Discovery by an iSNS server failed; error and server are told.",
		RAISED("interop_isns.server_killed_and_back") },
	OWN(EVENT_SENDTARGETS_FAILED) = { WARNING, "sendtargets-discovery-failed",
		"Discovery by SendTargets failed; error and portal are told.",
		RAISED("fuse_errors.refresh_of_two") },
	OWN(EVENT_SENDTARGETS_INVALID) = { ERROR, "sendtargets-answer-invalid",
		"The answer to SendTargets is not valid; what is wrong with it is told.",
		RAISED("conformance/discovery_3_bad_names") },
	OWN(EVENT_FIRMWARE_FAILED) = { WARNING, "firmware-discovery-failed",
		"The firmware's table of targets (iBFT) cannot be used.",
		RAISED("interop_firmware.damage_leaves_what_was_known") },
	OWN(EVENT_REMOVAL_VETOED) = { WARNING, "removal-vetoed",
		"A logout was refused since a LUN is in use; by whom, is told.",
		RAISED("fuse_events.refused_logout_is_an_event"),
		.data = "who uses it" },
	OWN(EVENT_IPSEC_REQUIRED_FAILED) = { ERROR, "ipsec-required-failed",
		"IPsec was demanded but could not be set up for a portal.",
		NEVER("There is no IPsec yet: a login that demands it is refused.") },
	OWN(EVENT_EVALUATION_OVER) = { ERROR, "evaluation-over",
		"The evaluation period has passed.",
		NEVER("This is free software: there is no evaluation period.") },
	OWN(EVENT_LOCAL_ADDRESSES_FAILED) = { ERROR, "local-addresses-failed",
		"The address by which an iSNS server could reach this host cannot be told, or its "
		"addresses cannot be listed.",
		RAISED("fuse_events.no_descriptor_to_list_addresses") },
	OWN(EVENT_FIREWALL_CLOSED) = { WARNING, "firewall-closed",
		"The firewall does not let the iSNS server reach us.",
		NEVER("Linux has no list of authorized programs to be looked up.") },
	OWN(EVENT_FIREWALL_CHECK_FAILED) = { WARNING, "firewall-check-failed",
		"It cannot be told whether the firewall lets the iSNS server reach us.",
		NEVER("Linux has no list of authorized programs to be looked up.") },
	OWN(EVENT_INVALID_NAME) = { WARNING, "invalid-name",
		"A discovery told of a target whose name is not valid; the name is told.",
		RAISED("conformance/discovery_3_bad_names") },
	OWN(EVENT_TARGET_FOUND) = { INFO, "target-found",
		"A discovery told of a target that was not known.",
		RAISED("interop_sources.targets_that_come_and_go_are_events") },
	OWN(EVENT_TARGET_VANISHED) = { INFO, "target-vanished",
		"A discovery does not tell of a target any more.",
		RAISED("interop_sources.targets_that_come_and_go_are_events") },
	OWN(EVENT_ISNS_REGISTERED) = { INFO, "isns-registered",
		"This initiator is registered at an iSNS server.",
		RAISED("interop_isns.server_killed_and_back") },
	OWN(EVENT_ISNS_CHANGED) = { INFO, "isns-changed",
		"An iSNS server told that something has changed (SCN).",
		RAISED("interop_isns.tree_follows_by_scn") },
	OWN(EVENT_PERSISTENT_LOGIN) = { INFO, "persistent-login",
		"A saved login was done.",
		RAISED("fuse_persistent.a_login_with_persist_is_done_at_the_next_start") },
	OWN(EVENT_PERSISTENT_LOGIN_FAILED) = { WARNING, "persistent-login-failed",
		"A saved login failed; it is tried again.",
		RAISED("fuse_persistent.a_target_that_is_away_at_start_is_logged_in_when_it_comes") },
	OWN(EVENT_PERSISTENT_LOGINS_TIMEOUT) = { WARNING, "persistent-logins-timeout",
		"Not all saved logins were done in time; they are tried on.",
		RAISED("fuse_persistent.logins_that_are_late_are_an_event") },
	OWN(EVENT_VOLUMES_READY) = { INFO, "volumes-ready",
		"All bound volumes are there.",
		RAISED("fuse_volumes.ready_when_a_target_that_starts_late_is_there") },
	OWN(EVENT_STATE_DAMAGED) = { ERROR, "state-damaged",
		"A file of the state directory made no sense and was set aside.",
		RAISED("test_statefile.test_statefile_damaged_ones_are_set_aside_and_never_lost") },
	OWN(EVENT_STATE_NOT_SAVED) = { ERROR, "state-not-saved",
		"A file of the state directory could not be written.",
		RAISED("test_statefile.test_statefile_tells_when_it_is_saved") },
	OWN(EVENT_CONF_RELOADED) = { INFO, "configuration-reloaded",
		"The configuration file was read again.",
		RAISED("fuse_reload.sighup_reloads") },
	OWN(EVENT_CONF_REFUSED) = { ERROR, "configuration-refused",
		"The configuration file was read again and is wrong: the old one stays in force.",
		RAISED("fuse_reload.wrong_file_changes_nothing") },
	OWN(EVENT_INITIATOR_CHANGED) = { INFO, "initiator-changed",
		"Name, alias, secret or instances of this initiator were changed.",
		RAISED("fuse_events.changes_of_the_initiator_are_events") },
};

/* clang-format on */

/* NULL: no such id. */
static const struct row *find_row(unsigned id)
{
	if (id >= 1 && id <= GUIDE_EVENTS)
		return &guide_rows[id];
	if (id >= FIRST_OWN && id < EVENT_OWN_END)
		return &own_rows[id - FIRST_OWN];
	return NULL;
}

gboolean event_info_at(size_t index, struct event_info *ret)
{
	unsigned id = (unsigned)index + 1;
	const struct row *row;

	if (index >= GUIDE_EVENTS + G_N_ELEMENTS(own_rows))
		return FALSE;
	if (id > GUIDE_EVENTS)
		id += FIRST_OWN - GUIDE_EVENTS - 1;
	row = find_row(id);
	*ret = (struct event_info){ .id = id,
				    .severity = row->severity,
				    .name = row->name,
				    .text = row->text,
				    .is_raised = row->is_raised,
				    .why_not = row->why_not,
				    .test = row->test,
				    .data = row->data };
	return TRUE;
}

const char *event_severity_name(enum event_severity s)
{
	static const char *const names[] = { "info", "warning", "error" };

	return names[s];
}

/* ---- the ring ---- */

struct event_log {
	uint64_t bytes[EVENT_FORMATS]; /* of the lines of all that there were */
	uint64_t last;	    /* seq of the newest; 0: none. Seq n is in ring[n % EVENT_RING] */
	int64_t log_second; /* the log had @log_lines in this second, and lost @log_lost */
	unsigned log_lines, log_lost;
	void (*watch)(void *arg);
	void *watch_arg;
	struct event ring[EVENT_RING];
};

struct event_log *event_log_new(void)
{
	return g_new0(struct event_log, 1);
}

void event_log_free(struct event_log *e)
{
	g_free(e);
}

#define LINE_MAX_BYTES (2 * EVENT_TEXT_MAX + 256)

static void format_time(int64_t time_us, char ret[40])
{
	time_t seconds = (time_t)(time_us / G_USEC_PER_SEC);
	char when[24] = "-";
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret, 40, "%s.%03dZ", when, (int)(time_us % G_USEC_PER_SEC / 1000));
}

/* The text is clean UTF-8 without control characters already: text_plain(). */
static void escape_json(const char *text, char ret[2 * EVENT_TEXT_MAX])
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*ret++ = '\\';
		*ret++ = *text;
	}
	*ret = '\0';
}

/* The line of @v; its length without the NUL. */
static size_t format_line(const struct event *v, enum event_format format,
			  char line[LINE_MAX_BYTES])
{
	const char *severity = event_severity_name(v->severity), *name = find_row(v->id)->name;
	char when[40], text[2 * EVENT_TEXT_MAX];
	int n;

	format_time(v->time_us, when);
	if (format == EVENT_JSON) {
		escape_json(v->text, text);
		n = snprintf(line, LINE_MAX_BYTES,
			     "{\"time\":\"%s\",\"seq\":%" G_GUINT64_FORMAT
			     ",\"id\":%u,\"name\":\"%s\",\"severity\":\"%s\",\"text\":\"%s\"}\n",
			     when, (guint64)v->seq, v->id, name, severity, text);
	} else {
		n = snprintf(line, LINE_MAX_BYTES, "%s %s %u %s %s\n", when, severity, v->id,
			     name, v->text);
	}
	assert(n > 0 && n < LINE_MAX_BYTES);
	return (size_t)n;
}

static void tell_log(struct event_log *e, const struct event *v, const char *name)
{
	static const enum log_level levels[] = { LOG_LEVEL_INFO, LOG_LEVEL_WARNING,
						 LOG_LEVEL_ERROR };
	int64_t second = v->time_us / G_USEC_PER_SEC;

	if (!log_is_enabled(levels[v->severity]))
		return;
	if (second != e->log_second) {
		if (e->log_lost)
			log_warning("%u more events: see the file `events`", e->log_lost);
		e->log_second = second;
		e->log_lines = e->log_lost = 0;
	}
	if (e->log_lines >= LOG_LINES_PER_S) {
		e->log_lost++;
		return;
	}
	e->log_lines++;
	log_event(levels[v->severity], v->id, name, v->text);
}

void event_emit(struct daemon *d, unsigned id, const char *fmt, ...)
{
	const struct row *row = find_row(id);
	struct event_log *e = d->events;
	char line[LINE_MAX_BYTES];
	char text[2 * EVENT_TEXT_MAX]; /* so that text_plain() sees that it must cut */
	struct event *v;
	va_list ap;
	int n;

	assert(row);
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v = &e->ring[++e->last % EVENT_RING];
	v->seq = e->last;
	v->time_us = g_get_real_time();
	v->id = id;
	v->severity = row->severity;
	text_plain(text, n < 0 ? 0 : MIN((size_t)n, sizeof(text) - 1), v->text,
		   sizeof(v->text));
	for (enum event_format f = 0; f < EVENT_FORMATS; f++)
		e->bytes[f] += format_line(v, f, line);
	tell_log(e, v, row->name);
	if (e->watch)
		e->watch(e->watch_arg);
}

/* ---- reading it ---- */

void event_log_watch(struct event_log *e, void (*fn)(void *arg), void *arg)
{
	e->watch = fn;
	e->watch_arg = arg;
}

uint64_t event_log_last(const struct event_log *e)
{
	return e->last;
}

uint64_t event_log_bytes(const struct event_log *e, enum event_format format)
{
	return e->bytes[format];
}

int64_t event_log_time_us(const struct event_log *e)
{
	return e->ring[e->last % EVENT_RING].time_us;
}

static void print_dropped(enum event_format format, uint64_t count, GString *out)
{
	if (format == EVENT_JSON)
		g_string_append_printf(out, "{\"missing\":%" G_GUINT64_FORMAT "}\n",
				       (guint64)count);
	else
		g_string_append_printf(out, "# %" G_GUINT64_FORMAT " older ones were dropped\n",
				       (guint64)count);
}

uint64_t event_print_after(const struct event_log *e, enum event_format format, uint64_t after,
			   size_t max_bytes, GString *out)
{
	uint64_t dropped = e->last > EVENT_RING ? e->last - EVENT_RING : 0;
	char line[LINE_MAX_BYTES];

	if (after < dropped) {
		print_dropped(format, dropped - after, out);
		after = dropped;
	}
	for (; after < e->last && out->len < max_bytes; after++) {
		size_t bytes =
			format_line(&e->ring[(after + 1) % EVENT_RING], format, line);

		g_string_append_len(out, line, (gssize)bytes);
	}
	return after;
}

void event_print(const struct event_log *e, GString *out)
{
	event_print_after(e, EVENT_LINES, 0, SIZE_MAX, out);
}
