"""The vocabulary: frozen records and enums that every layer shares. Pure: no clock, no I/O, no behaviour beyond views.

Read first: `conveyance.py` (what is known of one vehicle), `inputs.py` and `effects.py` (what goes in and comes out of
the core).
"""
