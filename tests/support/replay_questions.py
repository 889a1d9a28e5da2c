"""A recorded client that asks, and a server of today that answers."""

from __future__ import annotations

from tests.support.chats import Chat


def asking(count=3, *, answer=b'{"n":%d}'):
    script = Chat()
    script.accept(1)
    for number in range(count):
        script.tick(20)
        script.client(1, b'{"ask":%d}' % number)
        script.tick(20)
        script.server(1, answer % number)
    script.client(1, b"\x03\xe8bye", opcode=8)
    script.server(1, b"\x03\xe8bye", opcode=8)
    script.end(1, "server")
    return script


class Answering:
    """Answers each message by a function of its number; notes what it got."""

    def __init__(self, answer):
        self.answer = answer
        self.got = []

    def __call__(self, peer):
        peer.accept()
        number = 0
        while frame := peer.read():
            self.got.append(frame)
            opcode, _, payload = frame
            if opcode == 8:
                peer.send(8, payload)
                return
            if opcode in (1, 2):
                for one in self.answer(number):
                    peer.text(one)
                number += 1


def numbered(number):
    return f'{{"n":{number}}}'
