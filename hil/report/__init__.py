"""A run as a port engineer reads it: a timeline picture per conveyance, and a page with all of them.

Read first: `timeline.py` (what is shown), `pictures.py` (of which run), then `svg.py` and `page.py` (how).
"""
