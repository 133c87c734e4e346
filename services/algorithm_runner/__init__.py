"""Makes this machine agree with what is deployed: one host process for each version that should run.

Consumes: `algorithms` (key algorithm, AlgorithmDeployment) and `algorithm-states` (key deployment id,
AlgorithmState), from their beginnings.
Produces: `algorithm-states` of what it has stopped, and their ends where an algorithm was removed;
that of its last version stays, so that versions of a name grow for ever.

State: none of its own; what runs is what it started. Hosts end with it, on whatever way it ends, and go on
from their own memory when it starts them again. A folder for each version has what its host is told to run; a
version that the next one had not replaced is known by that.

Delivery: a state is published after its host has ended; a runner that is killed in between finds at its next
start that nothing runs, and does the same again. One runner for a broker and topic prefix.
"""
