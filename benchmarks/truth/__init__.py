"""What is published of effects, held against what is known: without faults, by injection, by leaks.

- `placebo`: virtual faults on recorded fault-free telemetry; whatever is found there is false.
- `injections`: real faults beside a twin of the run without them; what should be found is.
- `leaks`: whether windows can be told apart by anything but their values.
"""
