"""libmodbus (C) through ctypes: another stack at the far end, as a slave or as a client."""

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from ctypes import POINTER, c_int, c_uint8, c_uint16, c_void_p
from types import TracebackType
from typing import Self

_LONGEST_FRAME = 260
_FUNCTION_AT = 7  # after the MBAP header
_WRITES = (5, 6, 15, 16)


class _Mapping(ctypes.Structure):
    """modbus_mapping_t of libmodbus 3.1."""

    _fields_ = [
        ("nb_bits", c_int),
        ("start_bits", c_int),
        ("nb_input_bits", c_int),
        ("start_input_bits", c_int),
        ("nb_input_registers", c_int),
        ("start_input_registers", c_int),
        ("nb_registers", c_int),
        ("start_registers", c_int),
        ("tab_bits", POINTER(c_uint8)),
        ("tab_input_bits", POINTER(c_uint8)),
        ("tab_input_registers", POINTER(c_uint16)),
        ("tab_registers", POINTER(c_uint16)),
    ]


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL("libmodbus.so.5", use_errno=True)
    library.modbus_new_tcp.restype = c_void_p
    library.modbus_new_rtu.restype = c_void_p
    library.modbus_mapping_new.restype = POINTER(_Mapping)
    library.modbus_strerror.restype = ctypes.c_char_p
    for name in ("close", "free", "connect"):
        getattr(library, f"modbus_{name}").argtypes = [c_void_p]
    return library


def _new_rtu(library: ctypes.CDLL, path: str, baud: int, unit: int) -> c_void_p:
    context = c_void_p(library.modbus_new_rtu(path.encode(), baud, ctypes.c_char(b"N"), 8, 1))
    if library.modbus_set_slave(context, unit) < 0 or library.modbus_connect(context) < 0:
        raise LibmodbusError(ctypes.get_errno(), f"{path} at {baud}")
    return context


def serve_rtu(path: str, baud: int, unit: int, ready: Callable[[], None]) -> None:
    """A libmodbus slave on a serial line, 8N1, until the process ends: 1024 coils, 64 inputs, 0x3000 registers. Coil 0
    is felt by inputs 8 (inverted) and 10, as a head's feedback would be."""
    library = _load()
    context = _new_rtu(library, path, baud, unit)
    table = library.modbus_mapping_new(1024, 64, 0x3000, 16).contents
    frame = (c_uint8 * _LONGEST_FRAME)()
    ready()
    while True:
        table.tab_input_bits[8], table.tab_input_bits[10] = 1 - table.tab_bits[0], table.tab_bits[0]
        size = library.modbus_receive(context, frame)
        if size > 0:
            # The map of the generic profile: writing a time starts its watchdog.
            library.modbus_reply(context, frame, size, ctypes.byref(table))
            table.tab_registers[101] = 1 if table.tab_registers[100] else 0


def generic(slave: "Slave") -> None:
    """Make a plain slave look like the generic profile's module: the head's feedback, and a watchdog that starts when a
    time is written."""
    table = slave.mapping
    table.tab_input_bits[8], table.tab_input_bits[10] = 1 - table.tab_bits[0], table.tab_bits[0]
    table.tab_registers[101] = 1 if table.tab_registers[100] else 0


class LibmodbusError(OSError):
    """A call that libmodbus refused, with its own text."""


class Slave:
    """A libmodbus TCP slave in a thread: 1024 coils, 64 inputs, registers 0-0x2fff. `after` sees every request after it
    was carried out, and may change the tables. `refuse_writes`: the exception code that answers writes (0: none).
    """

    def __init__(self, after: Callable[["Slave"], None] | None = None) -> None:
        self._library = _load()
        self._context = c_void_p(self._library.modbus_new_tcp(b"127.0.0.1", 0))
        self.mapping = self._library.modbus_mapping_new(1024, 64, 0x3000, 16).contents
        self._after = after
        self._listening = self._library.modbus_tcp_listen(self._context, 1)
        with socket.socket(fileno=os.dup(self._listening)) as copy:
            self.port: int = copy.getsockname()[1]
            self._waker = copy.dup()
        self._client: socket.socket | None = None
        self._ending = False
        self.requests = 0
        self.refuse_writes = 0
        self._thread = threading.Thread(target=self._serve, name="libmodbus-slave", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Cut the client, end the thread, free everything. May be called twice."""
        if self._ending:
            return
        self._ending = True
        ends = [end for end in (self._client, self._waker) if end is not None]
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        assert not self._thread.is_alive()
        for end in ends:
            end.close()
        os.close(self._listening)
        self._library.modbus_mapping_free(ctypes.byref(self.mapping))
        self._library.modbus_free(self._context)

    def _serve(self) -> None:
        frame = (c_uint8 * _LONGEST_FRAME)()
        while not self._ending:
            listening = c_int(self._listening)
            number = self._library.modbus_tcp_accept(self._context, ctypes.byref(listening))
            if number < 0:
                return
            with socket.socket(fileno=os.dup(number)) as copy:
                previous, self._client = self._client, copy.dup()
            if previous is not None:
                previous.close()
            while (size := self._library.modbus_receive(self._context, frame)) >= 0:
                if size and self.refuse_writes and frame[_FUNCTION_AT] in _WRITES:
                    self._library.modbus_reply_exception(self._context, frame, self.refuse_writes)
                elif size:
                    self._library.modbus_reply(self._context, frame, size, ctypes.byref(self.mapping))
                    self.requests += 1
                    if self._after is not None:
                        self._after(self)
            self._library.modbus_close(self._context)


class Client:
    """A libmodbus client, over TCP unless made by `rtu`. Every call raises LibmodbusError on an exception reply or a
    fault."""

    def __init__(self, port: int) -> None:
        self._library = _load()
        self._context = c_void_p(self._library.modbus_new_tcp(b"127.0.0.1", port))
        self._checked(self._library.modbus_connect(self._context))

    @classmethod
    def rtu(cls, path: str, baud: int, unit: int = 1) -> Self:
        """A client on a serial line, 8N1."""
        client = cls.__new__(cls)
        client._library = _load()
        client._context = _new_rtu(client._library, path, baud, unit)
        return client

    def close(self) -> None:
        """Close the connection."""
        self._library.modbus_close(self._context)
        self._library.modbus_free(self._context)

    def read_bits(self, address: int, count: int, inputs: bool = False) -> list[int]:
        """Functions 1 and 2."""
        values = (c_uint8 * count)()
        call = self._library.modbus_read_input_bits if inputs else self._library.modbus_read_bits
        self._checked(call(self._context, address, count, values))
        return list(values)

    def read_registers(self, address: int, count: int, inputs: bool = False) -> list[int]:
        """Functions 3 and 4."""
        values = (c_uint16 * count)()
        call = self._library.modbus_read_input_registers if inputs else self._library.modbus_read_registers
        self._checked(call(self._context, address, count, values))
        return list(values)

    def write_bit(self, address: int, on: bool) -> None:
        """Function 5."""
        self._checked(self._library.modbus_write_bit(self._context, address, int(on)))

    def write_bits(self, address: int, values: Sequence[bool]) -> None:
        """Function 15."""
        array = (c_uint8 * len(values))(*values)
        self._checked(self._library.modbus_write_bits(self._context, address, len(values), array))

    def write_register(self, address: int, value: int) -> None:
        """Function 6."""
        self._checked(self._library.modbus_write_register(self._context, address, value))

    def write_registers(self, address: int, values: Sequence[int]) -> None:
        """Function 16."""
        array = (c_uint16 * len(values))(*values)
        self._checked(self._library.modbus_write_registers(self._context, address, len(values), array))

    def _checked(self, result: int) -> None:
        if result < 0:
            number = ctypes.get_errno()
            raise LibmodbusError(number, self._library.modbus_strerror(number).decode())
