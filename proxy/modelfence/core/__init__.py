"""The pure centre: values in, values out.

Rule: standard library only; no clock, no input or output, no logging, no async.
"""
