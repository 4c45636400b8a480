"""RFID readers: Mercury modules (ThingMagic M5e, M6e, M7e), LLRP readers, TransCore Encompass readers.

In: reader bytes. Out: TagRead, ReaderEvent, DeviceUp. `mercury_codec` holds the wire format (pure), `mercury_dialogue`
command and reply, `mercury_setup` start-up, `mercury_reader` the source. Invariants: identity values only inside
`Secret`; a record that breaks its layout is counted and dropped, the stream goes on.
"""
