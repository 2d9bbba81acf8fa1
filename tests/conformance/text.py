# SPDX-License-Identifier: BSD-2-Clause
"""Text Requests of the scripted target: SendTargets and renegotiation.

RFC 7143 6.4, 11.10, 11.11 and Appendix C.  TextMixin is a part of target.Target."""

from login import NEGOTIATED
from pdu import Op, Pdu, RESERVED_TAG, make_keys, parse_keys


class TextState:
	"""A sequence of Text Requests with one ITT."""

	def __init__(self, pdu):
		self.itt, self.imm = pdu.itt, pdu.imm
		self.text = b''
		self.out = b''			# what is still to be sent
		self.ttt = RESERVED_TAG
		self.lun = bytes(8)
		self.sent_cont = False
		self.waiting_reply = False


class TextMixin:

	def text_request(self, c, pdu):
		if c.text is None or pdu.ttt == RESERVED_TAG:
			c.text = TextState(pdu)
		t = c.text
		t.waiting_reply = True
		if t.out or pdu.ttt != RESERVED_TAG and not pdu.dsl and not t.text:
			self.text_send(c, pdu)
			return
		t.text += pdu.data
		if pdu.cont:
			self.text_reply(c, pdu, b'', final=False)
			return
		text, t.text = t.text, b''
		try:
			keys = parse_keys(text)
		except ValueError as e:
			self.violation(c, pdu, 'text', 'text: %s (6.1)' % e)
			self.reject(c, pdu, 0x04)
			return
		if self.on_text(c, pdu, keys):
			return
		answer = self.text_answer(c, pdu, keys)
		if answer is None:
			c.text = None
			self.reject(c, pdu, 0x04)
			return
		t.out = answer
		self.text_send(c, pdu)

	def text_answer(self, c, pdu, keys):
		"""Bytes of the answer, None to reject."""
		names = [k for k, _ in keys]
		if 'SendTargets' in names:
			if len(keys) != 1:
				self.violation(c, pdu, 'text', 'SendTargets with other keys (Appendix C)')
			return self.send_targets(c, pdu, keys[0][1])
		if c.session.discovery:
			self.violation(c, pdu, 'text', 'keys in a discovery session: %s' % names)
		out = []
		for key, value in keys:
			if names.count(key) > 1:
				self.violation(c, pdu, 'key-twice', key)
				return None
			if key == 'MaxRecvDataSegmentLength':
				c.max_send = int(value)
			elif key in NEGOTIATED:
				self.violation(c, pdu, 'key-stage', '%s outside of login (13)' % key)
				return None
			elif key != 'InitiatorAlias':
				out.append((key, 'NotUnderstood'))
		return make_keys(out)

	def send_targets(self, c, pdu, value):
		if value == 'All' and not c.session.discovery:
			self.violation(c, pdu, 'text', 'SendTargets=All in a normal session (Appendix C)')
			return None
		records = self.records
		if records is None:
			records = [(self.iqn, ['%s,%d' % (p.address, p.tag) for p in self.portals])]
		out = []
		for name, addresses in records:
			if value not in ('All', '', name):
				continue
			out.append(('TargetName', name))
			out += [('TargetAddress', a) for a in addresses]
		return make_keys(out)

	def text_send(self, c, pdu):
		"""The next piece of a long answer (11.10.4), cut after a pair or, with text_cont,
		anywhere and with the C bit."""
		t = c.text
		size = min(c.max_send, self.text_chunk or c.max_send)
		piece = t.out[:size]
		if len(t.out) > size and not self.text_cont:
			cut = piece.rfind(b'\0') + 1
			piece = piece[:cut] if cut else piece
		t.out = t.out[len(piece):]
		cont = bool(t.out) and not piece.endswith(b'\0')
		self.text_reply(c, pdu, piece, final=not t.out, cont=cont or bool(t.out) and self.text_cont)

	def text_reply(self, c, pdu, data, final=True, cont=False, ttt=None, lun=None, **fields):
		"""One Text Response; remembers what the next request has to copy."""
		t = c.text
		if ttt is None:
			ttt = RESERVED_TAG
			if not final:
				ttt, self.next_ttt = self.next_ttt, self.next_ttt + 1
		t.ttt, t.sent_cont, t.waiting_reply = ttt, cont, False
		t.lun = lun if lun is not None else bytes(8)
		rsp = Pdu(Op.TEXT_RSP, final=final, cont=cont, itt=pdu.itt, ttt=ttt, lun=t.lun, data=data)
		for name, value in fields.items():
			setattr(rsp, name, value)
		if rsp.final:
			c.text = None
		c.send(rsp)
