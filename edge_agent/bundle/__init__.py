"""The record of one passage, its signing encoding and its hash chain. Pure.

Input: a sealed conveyance. Output: `BundleRecord` (record.py); digests over bytes that another layer made (seal.py).
A bundle is encoded once, elsewhere; nothing here encodes it again.
"""
