"""The contract: topics, record schemas, examples, and the code made from them. No input or output.

Anything may import this package; it imports nothing of ours.
"""
