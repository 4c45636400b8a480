"""Message signs: NTCIP 1203 over SNMP. Purpose: keep a sign saying what it is told, with a duration, and read it back.

In: a wish for one of four texts. Out: what the sign says it shows. First file to read: `dms_sign.py`.
"""
