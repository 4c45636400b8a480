"""Modbus driver and virtual module, each against another Modbus stack (libmodbus, mbpoll)."""
