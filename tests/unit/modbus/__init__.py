"""Modbus driver: codecs, profiles, the bus against scripted servers, sessions against the virtual module."""
