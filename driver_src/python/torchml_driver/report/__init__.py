"""HTML reports of `model verify` and `model bench`: one file each, with its plots inside.

Nothing here imports torch or computes; numbers come in as JSON has them, text goes out.
"""
