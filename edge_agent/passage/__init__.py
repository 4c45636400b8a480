"""The passage core: which vehicle is where, who it is, what was decided, and whether green may be asked for. Pure.

Input: the reduced inputs of `model.inputs`, one at a time. Output: the next `LaneState` and effects. No clock, no I/O;
state is a fold over the journalled inputs. Physical order creates vehicles; identity attaches to them; green is a lease
for exactly one of them. Read first: `corridor.py` (step), `state.py` (what is kept), `causes.py` (what stops green).
"""
