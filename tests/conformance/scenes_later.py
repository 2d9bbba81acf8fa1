# SPDX-License-Identifier: BSD-2-Clause
"""Scenes that wait for work not done yet, so that the list shows what is missing.

To write one: move it to the file of its group, drop later=, play it.  The target keeps
sessions of several connections already (Session.conns, held commands); SNACK, retry and
reassignment it answers with a Reject or "not supported" until a scene needs more."""

from harness import scene


def waiting(name, reason, doc):
	def fn(s):
		raise AssertionError('not written')
	fn.__name__, fn.__doc__ = name, doc
	scene(later=reason)(fn)


for _name, _reason, _doc in (
	('ffp_7_1_connection_reassignment', 'ERL 2', 'TCP dropped after the data: TASK REASSIGN (8).'),
	('ffp_19_1_tmf_cmdsn', 'task management', 'Immediate TMF: CmdSN of the next command.'),
	('ffp_19_2_tmf_lun', 'task management', 'LUN of the referenced command.'),
	('ffp_19_3_refcmdsn', 'task management', 'RefCmdSN is the CmdSN of the referenced command.'),
	('ffp_19_4_1_abort_task_set_nop_in', 'task management', 'NOP-In is answered after ABORT TASK SET.'),
	('ffp_19_4_2_abort_task_set_data_in_a', 'ERL 1', 'NOP-Out and DataACK after ABORT TASK SET.'),
	('ffp_19_4_3_abort_task_set_late_response', 'task management', 'A late response is accepted.'),
	('ffp_19_5_task_reassign_two_connections', 'ERL 2', 'Tasks move to the other connection.'),
	('recovery_1_header_digest_erl_1', 'ERL 1', 'The PDU is dropped, SNACK or timeout recovers.'),
	('recovery_2_data_digest_erl_1', 'ERL 1', 'Data-In with a wrong digest is asked for by SNACK.'),
	('recovery_3_recovery_r2t', 'ERL 1', 'Reject of our PDU for its digest, then a recovery R2T.'),
	('recovery_4_lost_r2t', 'ERL 1', 'SNACK for a lost R2T.'),
	('recovery_5_lost_response', 'ERL 1', 'Status SNACK.'),
	('recovery_6_lost_command', 'ERL 1', 'A CmdSN hole is filled by a retry, same ITT and CmdSN.'),
	('recovery_7_connection_lost_read', 'reconnect', 'A READ in flight at ERL 0 is issued anew.'),
	('recovery_8_connection_lost_write', 'reconnect', 'A WRITE in flight at ERL 0 is issued anew.'),
	('recovery_9_reassign_refused', 'ERL 2', 'Function responses 2, 3 and 4.'),
	('recovery_10_reassign_after_time2retain', 'ERL 2', 'Tasks are gone after Time2Retain.'),
	('recovery_11_one_of_two_connections_lost', 'MCS', 'Under load, with each policy.'),
	('recovery_12_commands_swallowed', 'task management', 'Pings answered, commands and ABORT TASK not.'),
	('recovery_13_second_error_in_recovery', 'reconnect', 'The connection fails again in the login.'),
	('recovery_14_discovery_full_of_dead_portals', 'portal hopping', 'The one that lives is found soon.'),
	('recovery_15_lun_list_changed', 'unit attentions', '3F/0E: LUNs come and go.'),
	('recovery_16_capacity_changed', 'unit attentions', '2A/09: size follows.'),
	('recovery_17_no_old_buffers', 'reconnect', 'Reads during a reconnect never return old bytes.'),
):
	waiting(_name, _reason, _doc)
