"""Benchmark of latency: is it repeatable, do composed and computed numbers hold, what does a number cost?"""
